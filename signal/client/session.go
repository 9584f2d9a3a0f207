package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/signal/wire"
)

const (
	resumeBase  = 250 * time.Millisecond
	resumeLimit = 10 * time.Second
	resumeTime  = 2 * time.Second // for a socket to open at the first try; later ones have longer, up to dialTimeout
)

// session is what a client has to know to come back: how far it has read, and the token to show. The socket's reader
// alone uses it.
type session struct {
	seq         sequence
	joinToken   string // shown until there is a resume token
	resumeToken string
	returning   atomic.Bool // the socket was opened to resume, and the server has not said that it knows no session
}

// serve opens sockets one after the other until the session is over.
func (c *Client) serve(ctx context.Context) error {
	s := &session{joinToken: c.ticket.JoinToken}
	sock, err := c.open(ctx, s.joinToken)
	if err != nil {
		return err
	}
	for {
		err := c.attend(ctx, sock, s)
		s, err = c.follow(s, err)
		if ctx.Err() != nil {
			return nil
		}
		if final := c.judge(err); final != nil {
			return final
		}
		if !c.isSettled() {
			return fmt.Errorf("socket lost before joining: %w", err)
		}
		if sock, err = c.reopen(ctx, s); err != nil || sock == nil {
			return err
		}
	}
}

// open opens the first socket, to the first candidate that can be reached.
func (c *Client) open(ctx context.Context, token string) (sock *socket, err error) {
	for range len(c.ticket.Alternates) + 1 {
		c.mu.Lock()
		door := c.doors.current()
		c.mu.Unlock()
		started := time.Now()
		if sock, err = c.dial(ctx, door, token, dialTimeout); err == nil {
			c.watch.socketOpen(time.Since(started))
			return sock, nil
		}
		if isRefusal(err) || ctx.Err() != nil {
			break
		}
		c.nextDoor()
	}
	return nil, err
}

// dial opens a socket to a node, and notes where it was reached.
func (c *Client) dial(ctx context.Context, door, token string, limit time.Duration) (*socket, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	sock, err := dial(ctx, door, token, c.opts)
	if err != nil {
		return nil, err
	}
	c.network.reached(sock.server)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doors.use(door)
	return sock, nil
}

func (c *Client) nextDoor() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.doors.next()
}

// reopen tries until a socket is open, the server refuses, or the time for it is over. The first try is made at once, and
// so is one when the network has changed: all before it are forgotten then. Where there is no network none is wasted.
func (c *Client) reopen(ctx context.Context, s *session) (*socket, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.ResumeFor, fmt.Errorf("not resumed within %s", c.opts.ResumeFor))
	defer cancel()
	token := s.resumeToken
	if token == "" { // lost in the lobby, where nobody has a resume token yet
		token = s.joinToken
	}
	s.returning.Store(s.resumeToken != "")
	pause := backoff{base: resumeBase, limit: resumeLimit}
	var last error
	for ctx.Err() == nil {
		c.network.await(ctx)
		changed := c.network.next()
		sock, err := c.retry(ctx, token, pause.tries)
		if err == nil {
			return sock, nil
		}
		if isRefusal(err) {
			return nil, err
		}
		last = err
		c.log.Debug("socket not resumed yet", "error", err)
		if !pause.wait(ctx, changed) {
			pause.tries = 0
		}
	}
	return nil, errors.Join(context.Cause(ctx), last)
}

// retry is the n-th try, from 0, to come back. It is given up when the network changes meanwhile.
func (c *Client) retry(ctx context.Context, token string, n int) (*socket, error) {
	ctx, cancel := c.network.until(ctx)
	defer cancel()
	c.mu.Lock()
	door := c.doors.try(n)
	c.mu.Unlock()
	return c.dial(ctx, door, token, min(dialTimeout, resumeTime<<min(n/2, 8)))
}

// judge turns the end of a socket into the end of the client, or into nil when it is worth coming back.
func (c *Client) judge(err error) error {
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	switch judgeClose(err) {
	case closeReplace:
		return ErrReplaced
	case closeFinal:
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.lastRefusal != nil {
			return c.lastRefusal
		}
		return fmt.Errorf("server closed the session: %w", err)
	case closeElsewhere:
		c.nextDoor()
	case closeResume:
	}
	c.setState(StateReconnecting, err)
	return nil
}

// attend uses one socket from its greeting to its end.
func (c *Client) attend(ctx context.Context, sock *socket, s *session) error {
	c.setSocket(sock)
	defer c.dropSocket(sock)
	own, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	failed := make(chan error, 1)
	greet := c.hello
	if s.returning.Load() {
		last := s.seq.last
		greet = func(ctx context.Context, sock *socket) error { return c.resume(ctx, sock, s, last) }
	} else {
		s.seq = sequence{}
	}
	c.background(func(context.Context) {
		if err := greet(own, sock); err != nil {
			failed <- err
			sock.abort()
		}
	})
	err := c.readOut(ctx, sock, func(e wire.Envelope, raw []byte) error { return c.receive(own, sock, s, e, raw) })
	select {
	case refusal := <-failed:
		return refusal
	default:
		return err
	}
}

// readOut hands on every message of a socket until it ends, or until ctx does and the client leaves with it.
func (c *Client) readOut(ctx context.Context, sock *socket, handle func(wire.Envelope, []byte) error) error {
	left := make(chan struct{})
	stay := context.AfterFunc(ctx, func() {
		defer close(left)
		sock.leave()
	})
	c.background(func(context.Context) { sock.keepAlive() })
	err := sock.read(handle)
	if !stay() {
		<-left
	}
	sock.abort()
	return err
}

// dropSocket forgets a socket that has ended, unless the client has another one by now.
func (c *Client) dropSocket(sock *socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sock == sock {
		c.sock = nil
	}
}

func (c *Client) setSocket(sock *socket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sock = sock
}

// hello greets the server on a socket of its own session, with the offer where there is media.
func (c *Client) hello(ctx context.Context, sock *socket) error {
	if m := c.currentMedia(); m != nil && m.spent() {
		if err := c.renewMedia(); err != nil {
			return err
		}
	}
	hello := wire.Hello{ParticipantID: c.ticket.ParticipantID, DisplayName: c.opts.DisplayName}
	m := c.currentMedia()
	if m == nil {
		return sock.send(wire.Envelope{Type: wire.TypeHello}, hello)
	}
	offer, err := m.offer(ctx, false)
	if err != nil {
		return err
	}
	hello.SDPOffer, hello.Tracks = offer.SDPOffer, offer.Tracks
	return c.exchange(ctx, sock, m, wire.TypeHello, hello)
}

// exchange sends an offer that m has made and applies the answer.
func (c *Client) exchange(ctx context.Context, sock *socket, m *media, kind string, body any) error {
	sent := time.Now()
	answer, err := c.callOn(ctx, sock, kind, body)
	if err == nil && answer.kind != wire.TypeAnswer {
		err = fmt.Errorf("offer was answered by %q", answer.kind)
	}
	if err != nil {
		m.abandon()
		return err
	}
	c.watch.answered(time.Since(sent))
	return c.accept(m, answer.raw)
}

// resume asks for what was missed on a new socket, and looks after media that died meanwhile. A server that has nothing to
// resume is greeted anew.
func (c *Client) resume(ctx context.Context, sock *socket, s *session, last uint64) error {
	_, err := c.callOn(ctx, sock, wire.TypeResume, wire.Resume{LastSeq: last})
	if refusal, ok := errors.AsType[*Error](err); ok && refusal.Code == wire.CodeSessionUnknown {
		s.returning.Store(false)
		return c.greetAgain(ctx, sock)
	}
	if err != nil {
		return err
	}
	c.setState(StateJoined, nil)
	c.lookAfterMedia()
	return nil
}
