package rtc

import (
	"net"
	"os"
	"sync"
	"time"
)

// handshakeConn is the net.PacketConn that a transport's DTLS runs over: datagrams come from the endpoint's reader and
// leave to wherever the transport's media goes.
type handshakeConn struct {
	t     *Transport
	queue chan []byte

	mu       sync.Mutex
	deadline time.Time
	changed  chan struct{} // closed and replaced when the deadline changes
	once     sync.Once
	closed   chan struct{}
}

func newHandshakeConn(t *Transport) *handshakeConn {
	return &handshakeConn{t: t, queue: make(chan []byte, handshakeQueue), changed: make(chan struct{}), closed: make(chan struct{})}
}

// deliver copies a datagram into the queue and drops it when the queue is full: DTLS repeats itself.
func (c *handshakeConn) deliver(b []byte) {
	select {
	case c.queue <- append([]byte(nil), b...):
	default:
	}
}

// ReadFrom blocks until a datagram, the deadline or Close.
func (c *handshakeConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		c.mu.Lock()
		deadline, changed := c.deadline, c.changed
		c.mu.Unlock()
		var expired <-chan time.Time
		if !deadline.IsZero() {
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case p := <-c.queue:
			return copy(b, p), c.remoteAddr(), nil
		case <-expired:
			return 0, nil, os.ErrDeadlineExceeded
		case <-changed:
		case <-c.closed:
			return 0, nil, net.ErrClosed
		}
	}
}

// WriteTo sends to the transport's present remote, whatever address DTLS has in mind: the path is ICE's business.
func (c *handshakeConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	return c.t.write(b)
}

// Close implements net.PacketConn.
func (c *handshakeConn) Close() error {
	c.end()
	return nil
}

// end ends reading.
func (c *handshakeConn) end() { c.once.Do(func() { close(c.closed) }) }

func (c *handshakeConn) remoteAddr() net.Addr {
	if r := c.t.remote.Load(); r != nil {
		return net.UDPAddrFromAddrPort(r.addr.AddrPort())
	}
	return &net.UDPAddr{}
}

// LocalAddr implements net.PacketConn.
func (c *handshakeConn) LocalAddr() net.Addr { return c.t.e.mux.local[0] }

// SetDeadline implements net.PacketConn; writes do not block.
func (c *handshakeConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline implements net.PacketConn.
func (c *handshakeConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// SetWriteDeadline implements net.PacketConn.
func (c *handshakeConn) SetWriteDeadline(time.Time) error { return nil }
