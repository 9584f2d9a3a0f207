package lean

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

const (
	writeTimeout = 10 * time.Second
	readLimit    = 4 << 20 // bytes of a message
	maxProblem   = 1 << 10 // bytes of a refusal that are read
)

// The reasons for Options.OnLost besides ErrSilent and what the socket says.
var (
	ErrEnded = errors.New("the meeting has ended for this participant")
	ErrMoved = errors.New("the node drains, and lean viewers do not move")
	ErrLobby = errors.New("the viewer was sent to the lobby, where lean viewers do not wait")
)

// signalling is the WebSocket of one viewer. One goroutine reads; any may call.
type signalling struct {
	conn    *websocket.Conn
	buffers *sync.Pool    // of *bytes.Buffer
	done    chan struct{} // closed when reading has ended

	mu      sync.Mutex // protects following
	last    uint64
	waiting map[string]chan reply
}

type reply struct {
	kind string
	raw  []byte
}

// dial opens the socket. A refusal by the server is a *client.Error.
func dial(ctx context.Context, ticket client.Ticket, through *http.Client, buffers *sync.Pool) (*signalling, error) {
	conn, resp, err := websocket.Dial(ctx, ticket.SignalEndpoint, &websocket.DialOptions{ //nolint:bodyclose // Dial closes it
		HTTPClient:      through,
		HTTPHeader:      http.Header{"Authorization": {"Bearer " + ticket.JoinToken}},
		Subprotocols:    []string{wire.Subprotocol},
		CompressionMode: websocket.CompressionNoContextTakeover,
	})
	if err != nil {
		if resp != nil && resp.StatusCode >= http.StatusBadRequest {
			said, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem)) // what came of it
			return nil, &client.Error{Status: resp.StatusCode, Code: "http_status", Message: string(said)}
		}
		return nil, fmt.Errorf("dial %s: %w", ticket.SignalEndpoint, err)
	}
	conn.SetReadLimit(readLimit)
	return &signalling{conn: conn, buffers: buffers, done: make(chan struct{}), waiting: map[string]chan reply{}}, nil
}

// call sends a request and waits for its answer, which it decodes into out unless that is nil.
func (s *signalling) call(ctx context.Context, kind string, body any, want string, out any) error {
	s.mu.Lock()
	s.last++
	id, answered := strconv.FormatUint(s.last, 10), make(chan reply, 1)
	s.waiting[id] = answered
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, id)
		s.mu.Unlock()
	}()
	if err := s.send(ctx, wire.Envelope{Type: kind, ID: id}, body); err != nil {
		return err
	}
	select {
	case r := <-answered:
		if r.kind == wire.TypeError {
			return refusal(r.raw)
		}
		if r.kind != want {
			return fmt.Errorf("%s was answered by %q", kind, r.kind)
		}
		if out == nil {
			return nil
		}
		return json.Unmarshal(r.raw, out)
	case <-s.done:
		return client.ErrNotConnected
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *signalling) send(ctx context.Context, e wire.Envelope, body any) error {
	data, err := wire.Encode(e, body)
	if err != nil {
		return fmt.Errorf("encode %s: %w", e.Type, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout) // half a frame would end the socket
	defer cancel()
	if err := s.conn.Write(ctx, websocket.MessageText, data); err != nil {
		return fmt.Errorf("%w: send %s: %w", client.ErrNotConnected, e.Type, err)
	}
	return nil
}

func refusal(raw []byte) error {
	var said wire.Error
	if err := json.Unmarshal(raw, &said); err != nil {
		return fmt.Errorf("decode error: %w", err)
	}
	return &client.Error{Code: said.Code, Message: said.Message}
}

// read hands on every message until the socket ends, and returns why it did. The message is valid during the call: it lies
// in memory that all viewers share, for nearly all of them are skipped.
func (s *signalling) read(handle func(kind string, raw []byte) error) error {
	defer close(s.done)
	defer s.conn.CloseNow() //nolint:errcheck // it has ended
	for {
		_, from, err := s.conn.Reader(context.Background()) // ended by close
		if err != nil {
			return err
		}
		if err := s.readOne(from, handle); err != nil {
			return err
		}
	}
}

func (s *signalling) readOne(from io.Reader, handle func(kind string, raw []byte) error) error {
	buf, ok := s.buffers.Get().(*bytes.Buffer)
	if !ok {
		buf = &bytes.Buffer{}
	}
	defer s.buffers.Put(buf)
	buf.Reset()
	if _, err := buf.ReadFrom(from); err != nil {
		return err
	}
	return s.message(buf.Bytes(), handle)
}

// message gives an answer to who asked, and anything else to handle.
func (s *signalling) message(raw []byte, handle func(kind string, raw []byte) error) error {
	kind, known := typeOf(raw)
	if known && !concerns(kind) {
		return nil
	}
	var e wire.Envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	if e.ReplyTo == "" {
		return handle(e.Type, raw)
	}
	s.mu.Lock()
	answered := s.waiting[e.ReplyTo]
	delete(s.waiting, e.ReplyTo)
	s.mu.Unlock()
	if answered != nil {
		answered <- reply{e.Type, bytes.Clone(raw)}
	}
	return nil
}

// typeOf reads the type of a message that begins with it, as those of the server do, without decoding the rest.
func typeOf(raw []byte) (kind string, ok bool) {
	rest, ok := bytes.CutPrefix(raw, []byte(`{"type":"`))
	if !ok {
		return "", false
	}
	end := bytes.IndexByte(rest, '"')
	if end < 0 || bytes.IndexByte(rest[:end], '\\') >= 0 {
		return "", false
	}
	return string(rest[:end]), true // does not escape: no memory
}

// concerns says whether a viewer does anything about messages of a type. In a large room nearly all say who came and went.
func concerns(kind string) bool {
	switch kind {
	case wire.TypeAnswer, wire.TypeOK, wire.TypeError, wire.TypeSnapshot, wire.TypeSlots, wire.TypePresenceChanged,
		wire.TypeChat, wire.TypeEnded, wire.TypeMigrate, wire.TypeWaiting:
		return true
	default:
		return false
	}
}

// leave says that the participant is gone for good, and ends reading.
func (s *signalling) leave() {
	_ = s.conn.Close(websocket.StatusNormalClosure, "left") // a socket that is already gone needs no goodbye
	<-s.done
}
