package client

import (
	"context"
	"strconv"
	"sync"

	"github.com/parley-sfu/parley/signal/wire"
)

// reply is the server's answer to one request.
type reply struct {
	kind string
	raw  []byte
	err  error
}

// calls matches answers to requests by id.
type calls struct {
	mu      sync.Mutex // protects following
	last    uint64
	pending map[string]chan reply
}

func newCalls() *calls { return &calls{pending: map[string]chan reply{}} }

// begin reserves an id. The channel gets exactly one reply, unless forget comes first.
func (c *calls) begin() (string, <-chan reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	id := strconv.FormatUint(c.last, 10)
	ch := make(chan reply, 1)
	c.pending[id] = ch
	return id, ch
}

func (c *calls) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// finish delivers an answer and reports whether anybody waited for it.
func (c *calls) finish(id string, r reply) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch, ok := c.pending[id]
	if ok {
		delete(c.pending, id)
		ch <- r
	}
	return ok
}

// failAll ends every request that waits: its socket is gone.
func (c *calls) failAll(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, ch := range c.pending {
		delete(c.pending, id)
		ch <- reply{err: err}
	}
}

// call sends a request on the live socket and waits for its answer.
func (c *Client) call(ctx context.Context, kind string, body any) (reply, error) {
	sock, err := c.liveSocket()
	if err != nil {
		return reply{}, err
	}
	return c.callOn(ctx, sock, kind, body)
}

func (c *Client) liveSocket() (*socket, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.started || c.state == StateClosed:
		return nil, ErrClosed
	case c.sock == nil:
		return nil, ErrNotConnected
	}
	return c.sock, nil
}

func (c *Client) callOn(ctx context.Context, sock *socket, kind string, body any) (reply, error) {
	sock.begin()
	defer sock.end()
	id, answer := c.calls.begin()
	defer c.calls.forget(id)
	if err := sock.send(wire.Envelope{Type: kind, ID: id}, body); err != nil {
		return reply{}, err
	}
	select {
	case r := <-answer:
		return r, r.err
	case <-sock.lost:
		return reply{}, ErrNotConnected
	case <-ctx.Done():
		return reply{}, context.Cause(ctx)
	}
}
