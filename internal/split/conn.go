package split

import (
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// What a connection may send before it is handed on. A ClientHello has 2 kB at most in the field; the first record of a
// client has at most 16 kB.
const (
	maxHandshakeBytes = 32 << 10
	maxFirstBytes     = 32 << 10
)

// conn is a connection below TLS: it bounds what is read of it until it is handed on, and tells the door when it is closed.
type conn struct {
	net.Conn
	from  netip.Addr
	until time.Time     // the handshake's deadline; set before TLS begins
	gone  chan struct{} // closed by Close

	bounded atomic.Bool
	left    atomic.Int64 // bytes that may still be read, while it is bounded
	onEnd   func()       // called once, when it is closed; set before it is used
	end     sync.Once
	flight  atomic.Pointer[func()] // called once, when the server's first flight is sent
}

func newConn(tcp net.Conn) *conn {
	return &conn{Conn: tcp, from: addressOf(tcp), gone: make(chan struct{})}
}

// addressOf is what the connection is counted by.
func addressOf(c net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	addr := ap.Addr().Unmap().WithZone("")
	if p, err := addr.Prefix(64); err == nil && addr.Is6() {
		return p.Addr()
	}
	return addr
}

// allow lets n more bytes in.
func (c *conn) allow(n int64) {
	c.left.Store(n)
	c.bounded.Store(true)
}

// free lifts all bounds.
func (c *conn) free() error {
	c.bounded.Store(false)
	return c.SetDeadline(time.Time{})
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if !c.bounded.Load() {
		return c.Conn.Read(b)
	}
	left := c.left.Load()
	if left <= 0 {
		return 0, errTooMuch
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), left)])
	c.left.Add(-int64(n))
	return n, err
}

// Write implements net.Conn. The first write of a handshake is the server's flight: all that is costly was computed.
func (c *conn) Write(b []byte) (int, error) {
	c.flown()
	return c.Conn.Write(b)
}

// onFlight has f called once: when the next bytes are written, or by flown.
func (c *conn) onFlight(f func()) { c.flight.Store(&f) }

func (c *conn) flown() {
	if f := c.flight.Load(); f != nil && c.flight.CompareAndSwap(f, nil) {
		(*f)()
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.end.Do(func() {
		close(c.gone)
		if c.onEnd != nil {
			c.onEnd()
		}
	})
	return c.Conn.Close()
}

// reset closes the connection without a word and without keeping anything of it in the kernel.
func (c *conn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// begun is a TLS connection of which the first byte was read already. It is as safe for concurrent use as any net.Conn.
type begun struct {
	*tls.Conn
	first  [1]byte
	unread atomic.Bool
}

// Read implements net.Conn.
func (c *begun) Read(b []byte) (int, error) {
	if len(b) > 0 && c.unread.Load() && c.unread.CompareAndSwap(true, false) {
		return copy(b, c.first[:]), nil
	}
	return c.Conn.Read(b)
}
