package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/parley-sfu/parley/signal/wire"
)

const (
	dialTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
	pingEvery    = 10 * time.Second
	pingTimeout  = 5 * time.Second
)

// socket is one WebSocket to the server. One goroutine reads; any may send.
type socket struct {
	conn   *websocket.Conn
	server netip.AddrPort // where the server, or the proxy before it, was reached
	lost   chan struct{}  // closed when reading has ended

	mu   sync.Mutex    // protects following
	open int           // requests that wait for their answers
	idle chan struct{} // closed when there are none any more; nil while nobody waits for that
}

// dial opens a socket with a token. A refusal by the server is an *Error.
func dial(ctx context.Context, endpoint, token string, opts Options) (*socket, error) {
	s := &socket{lost: make(chan struct{})}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			s.server = addrOf(info.Conn.RemoteAddr())
		},
	})
	conn, resp, err := websocket.Dial(ctx, endpoint, &websocket.DialOptions{ //nolint:bodyclose // Dial closes it
		HTTPClient:      opts.HTTPClient,
		HTTPHeader:      http.Header{"Authorization": {"Bearer " + token}},
		Subprotocols:    []string{wire.Subprotocol},
		CompressionMode: websocket.CompressionNoContextTakeover,
	})
	if err != nil {
		if resp != nil && resp.StatusCode >= http.StatusBadRequest && resp.StatusCode < http.StatusInternalServerError {
			body, _ := io.ReadAll(resp.Body) // what came of it; the library keeps at most 1 kB
			return nil, problem(resp.StatusCode, body)
		}
		return nil, fmt.Errorf("dial %s: %w", endpoint, err)
	}
	conn.SetReadLimit(opts.ReadLimit)
	s.conn = conn
	return s, nil
}

// send writes one message. It takes no context of the caller's: giving up in the middle of a frame would end the socket.
func (s *socket) send(envelope wire.Envelope, body any) error {
	data, err := wire.Encode(envelope, body)
	if err != nil {
		return fmt.Errorf("encode %s: %w", envelope.Type, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	if err := s.conn.Write(ctx, websocket.MessageText, data); err != nil {
		return fmt.Errorf("%w: send %s: %w", ErrNotConnected, envelope.Type, err)
	}
	return nil
}

// begin counts a request that waits for its answer, until end.
func (s *socket) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
}

func (s *socket) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open--; s.open == 0 && s.idle != nil {
		once(s.idle)
	}
}

// settle waits until nobody waits for an answer any more, but not for ever.
func (s *socket) settle(ctx context.Context, limit time.Duration) {
	s.mu.Lock()
	if s.open == 0 {
		s.mu.Unlock()
		return
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-idle:
	case <-s.lost:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// read hands on every message until the socket ends, and returns why it did.
func (s *socket) read(handle func(wire.Envelope, []byte) error) error {
	defer close(s.lost)
	for {
		_, data, err := s.conn.Read(context.Background()) // ended by leave or abort
		if err != nil {
			return err
		}
		var envelope wire.Envelope
		if err := json.Unmarshal(data, &envelope); err != nil {
			return fmt.Errorf("decode message: %w", err)
		}
		if err := handle(envelope, data); err != nil {
			return err
		}
	}
}

// keepAlive notices a path that swallows everything, and closes the socket then.
func (s *socket) keepAlive() {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.lost:
			return
		case <-ticker.C:
		}
		s.probe(context.Background(), pingTimeout)
	}
}

// probe closes a socket on which nothing comes back.
func (s *socket) probe(ctx context.Context, limit time.Duration) {
	pong, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := s.conn.Ping(pong); err != nil && ctx.Err() == nil {
		s.abort()
	}
}

// leave closes with a handshake: the server then knows that the participant is gone for good.
func (s *socket) leave() {
	_ = s.conn.Close(websocket.StatusNormalClosure, "left") // a socket that is already gone needs no goodbye
}

// abort drops the connection as a broken network would.
func (s *socket) abort() { _ = s.conn.CloseNow() }

// isRefusal says whether the server itself said no, which trying again will not change.
func isRefusal(err error) bool {
	refusal, ok := errors.AsType[*Error](err)
	return ok && refusal.Status != http.StatusTooManyRequests
}
