package split

import (
	"context"
	"net"
	"sync"
	"time"
)

// side is the listener of one kind of connections. It implements net.Listener.
type side struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newSide(addr net.Addr) *side {
	return &side{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// deliver hands a connection to whoever accepts next, and gives up after limit.
func (s *side) deliver(ctx context.Context, c net.Conn, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case s.conns <- c:
		return nil
	case <-s.closed:
		return errNoReceiver
	case <-timer.C:
		return errNoReceiver
	case <-ctx.Done():
		return net.ErrClosed
	}
}

// Accept implements net.Listener.
func (s *side) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (s *side) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// Addr implements net.Listener.
func (s *side) Addr() net.Addr { return s.addr }
