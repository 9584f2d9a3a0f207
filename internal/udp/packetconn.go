package udp

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	maxDelivered = 2048 // bytes; STUN and DTLS datagrams fit any path's MTU
	deliverQueue = 1024 // datagrams waiting for ReadFrom
)

// PacketConn is a Conn as pion's UDPMux wants it: a net.PacketConn that also has the methods of pion's
// ice.AddrPortReaderWriter, which spare allocations. It does not read the socket. Whoever does hands over, with Deliver,
// the datagrams meant for pion. All methods are safe for concurrent use.
type PacketConn struct {
	conn   *Conn
	queue  chan *datagram
	free   chan *datagram
	closed *latch
	read   deadline
}

type datagram struct {
	data []byte
	from Addr
}

var _ net.PacketConn = (*PacketConn)(nil)

// PacketConn returns a new adapter. Closing it leaves c open; closing c ends it.
func (c *Conn) PacketConn() *PacketConn {
	p := &PacketConn{
		conn:   c,
		queue:  make(chan *datagram, deliverQueue),
		free:   make(chan *datagram, deliverQueue),
		closed: newLatch(),
		read:   newDeadline(),
	}
	for range deliverQueue {
		p.free <- &datagram{}
	}
	return p
}

// Deliver copies a datagram for ReadFrom to return. It never blocks, and reports false when it dropped the datagram: too
// many wait already, it has more than 2,048 bytes, or p is closed.
func (p *PacketConn) Deliver(b []byte, from Addr) bool {
	if len(b) > maxDelivered || p.closed.isSet() {
		return false
	}
	select {
	case d := <-p.free:
		d.data, d.from = append(d.data[:0], b...), from
		p.queue <- d // there are no more datagrams than places
		return true
	default:
		return false
	}
}

// ReadFromAddrPort waits for a datagram delivered and copies it to b; what does not fit is cut off. It returns
// net.ErrClosed after Close, and os.ErrDeadlineExceeded after the read deadline.
func (p *PacketConn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := p.receive(b)
	return n, from.AddrPort(), err
}

// ReadFrom does what ReadFromAddrPort does; the address is a *net.UDPAddr.
func (p *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := p.receive(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from.AddrPort()), nil
}

// WriteToAddrPort sends one datagram at once on the Conn's socket.
func (p *PacketConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if p.closed.isSet() {
		return 0, net.ErrClosed
	}
	return p.conn.WriteTo(b, AddrFrom(to))
}

// WriteTo does what WriteToAddrPort does, for any net.Addr whose text is an address and a port.
func (p *PacketConn) WriteTo(b []byte, to net.Addr) (int, error) {
	if u, ok := to.(*net.UDPAddr); ok {
		return p.WriteToAddrPort(b, u.AddrPort())
	}
	ap, err := netip.ParseAddrPort(to.String())
	if err != nil {
		return 0, fmt.Errorf("udp: write: %w", err)
	}
	return p.WriteToAddrPort(b, ap)
}

// LocalAddr is the Conn's, as a *net.UDPAddr.
func (p *PacketConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.conn.local) }

// SetReadDeadline ends reads under way and to come at t; the zero time means never.
func (p *PacketConn) SetReadDeadline(t time.Time) error {
	p.read.set(t)
	return nil
}

// SetWriteDeadline does nothing: no write ever waits.
func (p *PacketConn) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (p *PacketConn) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// Close ends reads and makes later calls fail with net.ErrClosed. Closing again does nothing.
func (p *PacketConn) Close() error {
	p.closed.set()
	p.read.set(time.Time{}) // stops its timer
	return nil
}

func (p *PacketConn) receive(b []byte) (int, Addr, error) {
	for {
		if err := p.ended(); err != nil {
			return 0, Addr{}, err
		}
		select {
		case d := <-p.queue:
			n, from := copy(b, d.data), d.from
			p.free <- d
			return n, from, nil
		case <-p.closed.done:
		case <-p.conn.done:
		case <-p.read.passed():
		}
	}
}

// ended says why nothing can be read now. It comes before the queue, so that closing and deadlines win.
func (p *PacketConn) ended() error {
	select {
	case <-p.closed.done:
		return net.ErrClosed
	case <-p.conn.done:
		return net.ErrClosed
	case <-p.read.passed():
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}
