package rtc

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// handshakeConn is the net.PacketConn that a transport's DTLS runs over: datagrams come from the endpoint's reader and
// leave to wherever the transport's media goes.
type handshakeConn struct {
	t     *Transport
	gate  gate
	queue chan handshakeDatagram
	bids  atomic.Bool // says goodbye: after a rest that is all that is sent

	mu       sync.Mutex
	deadline time.Time
	changed  chan struct{} // closed and replaced when the deadline changes
	closed   chan struct{}
	over     bool               // closed is closed
	told     bool               // and DTLS has been told, by a read
	held     *handshakeDatagram // to be read again, by the next handshake
}

type handshakeDatagram struct {
	b    []byte
	from source
}

func newHandshakeConn(t *Transport) *handshakeConn {
	return &handshakeConn{t: t, queue: make(chan handshakeDatagram, handshakeQueue), changed: make(chan struct{}), closed: make(chan struct{})}
}

// deliver copies a datagram into the queue and drops it when the queue is full: DTLS repeats itself. Whether it may be read is
// decided when it is: clients begin as soon as their check is answered, which may be before they have answered one.
func (c *handshakeConn) deliver(b []byte, from source) {
	if len(b) < recordHeader || len(b) > maxDatagram || len(c.queue) == cap(c.queue) || c.t.keys.Load() != nil && !hasEncrypted(b) {
		return
	}
	settled := c.t.settled.Load()
	if settled && b[0] != recordAlert {
		return // all that is left to be said is that the remote closes
	}
	select {
	case c.queue <- handshakeDatagram{append([]byte(nil), b...), from}:
	default:
	}
	if settled {
		c.t.wake()
	}
}

// hasEncrypted reports whether a datagram's last record can be an encrypted one: clear text comes first.
func hasEncrypted(b []byte) bool {
	for len(b) >= recordHeader {
		if b[3] != 0 || b[4] != 0 {
			return true
		}
		b = b[min(len(b), recordHeader+int(binary.BigEndian.Uint16(b[11:]))):]
	}
	return false
}

// read copies what of a datagram may pass into b.
func (c *handshakeConn) read(b []byte, d handshakeDatagram) int {
	if bound := c.t.e.lookup(d.from); bound.t != c.t || !bound.proven {
		return 0
	}
	return copy(b, c.gate.pass(d.b))
}

// ReadFrom blocks until a datagram, the deadline or Close.
func (c *handshakeConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		d, err := c.next()
		if err != nil {
			return 0, nil, err
		}
		if n := c.read(b, d); n > 0 {
			return n, c.remoteAddr(), nil
		}
		if c.gate.superseded() {
			c.mu.Lock()
			c.held = &d
			c.mu.Unlock()
			return 0, nil, errSuperseded
		}
	}
}

// errSuperseded ends a handshake that began with somebody else's ClientHello.
var errSuperseded = errors.New("another ClientHello counts")

// next returns the datagram that has waited longest.
func (c *handshakeConn) next() (handshakeDatagram, error) {
	for {
		c.mu.Lock()
		deadline, changed, closed, held := c.deadline, c.changed, c.closed, c.held
		c.held = nil
		c.mu.Unlock()
		if held != nil {
			return *held, nil
		}
		var expired <-chan time.Time
		stop := func() bool { return true }
		if !deadline.IsZero() {
			timer := time.NewTimer(time.Until(deadline))
			expired, stop = timer.C, timer.Stop
		}
		select {
		case d := <-c.queue:
			stop()
			return d, nil
		case <-expired:
			return handshakeDatagram{}, os.ErrDeadlineExceeded
		case <-changed:
			stop()
		case <-closed:
			stop()
			c.mu.Lock()
			c.told = true
			c.mu.Unlock()
			return handshakeDatagram{}, net.ErrClosed
		}
	}
}

// WriteTo sends to the transport's present remote, whatever address DTLS has in mind: the path is ICE's business.
func (c *handshakeConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	if c.t.settled.Load() && !c.bids.Load() || !c.gate.answers() || c.gate.superseded() {
		return len(b), nil
	}
	return c.t.write(b)
}

// Close implements net.PacketConn. DTLS calls it when the remote has closed, too.
func (c *handshakeConn) Close() error {
	c.end()
	return nil
}

// left reports of a DTLS connection whose end has been read whether the remote has ended it: then DTLS reads no further by itself.
func (c *handshakeConn) left() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.told
}

// end ends reading.
func (c *handshakeConn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over = true
		close(c.closed)
	}
}

// begin readies it for another handshake, when the one before has ended.
func (c *handshakeConn) begin() {
	c.reopen()
	c.gate.begin()
}

// reopen has it read again after its end.
func (c *handshakeConn) reopen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		c.over, c.told, c.closed, c.deadline = false, false, make(chan struct{}), time.Time{}
	}
}

func (c *handshakeConn) remoteAddr() net.Addr {
	if r := c.t.remote.Load(); r != nil {
		return net.UDPAddrFromAddrPort(r.addr.AddrPort())
	}
	return &net.UDPAddr{}
}

// LocalAddr implements net.PacketConn.
func (c *handshakeConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.t.e.Addr()) }

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
