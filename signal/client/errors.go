package client

import (
	"errors"
	"fmt"

	"github.com/coder/websocket"

	"github.com/parley-sfu/parley/signal/wire"
)

// Errors that a caller may want to tell apart.
var (
	// ErrClosed is returned by calls on a client that has left or was never started.
	ErrClosed = errors.New("client is closed")
	// ErrNotConnected is returned by calls made while the socket is being resumed. Trying again later helps.
	ErrNotConnected = errors.New("signalling socket is not connected")
	// ErrReplaced ends a client whose session was resumed by somebody else.
	ErrReplaced = errors.New("session was taken over by another socket")
	// ErrNoMedia is returned by calls that need a media connection from a client that offered none.
	ErrNoMedia = errors.New("client has no media connection")
)

// Error is what the server answered instead of doing what was asked. Code is stable and part of the contract; Message is
// a sentence for people.
type Error struct {
	Status  int    // HTTP status; 0 when the error came over the socket
	Code    string // such as "room_full" or "token_expired"
	Message string
}

// Error has the code and the sentence.
func (e *Error) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("%s (HTTP %d): %s", e.Code, e.Status, e.Message)
	}
	return e.Code + ": " + e.Message
}

// closeVerdict says what a client does about a socket that has ended.
type closeVerdict int

const (
	closeResume    closeVerdict = iota // the session lives on: open another socket
	closeElsewhere                     // likewise, but to another node
	closeReplace                       // somebody else has the session now
	closeFinal                         // the server does not want this client any more
)

// judgeClose reads the close code of the error that ended a socket. Anything that is not a deliberate refusal is resumed.
func judgeClose(err error) closeVerdict {
	switch code := int(websocket.CloseStatus(err)); {
	case code == wire.CloseGoingAway || code == int(websocket.StatusGoingAway):
		return closeElsewhere
	case code == wire.CloseReplaced:
		return closeReplace
	case code >= wire.CloseBadRequest && code < 5000:
		return closeFinal
	default:
		return closeResume
	}
}
