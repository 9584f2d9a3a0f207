package split

import (
	"net"
	"net/netip"
	"sync"
)

// pipes is a listener in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

// pipeEnd is the server's end, which seems to be connected from somewhere.
type pipeEnd struct {
	net.Conn
	from net.Addr
}

func (e pipeEnd) RemoteAddr() net.Addr { return e.from }

// connect opens a connection that seems to come from the address.
func (p *pipes) connect(from string) net.Conn {
	ours, theirs := net.Pipe()
	end := pipeEnd{theirs, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 40000))}
	select {
	case p.conns <- end:
	case <-p.closed:
		theirs.Close()
	}
	return ours
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443} }
