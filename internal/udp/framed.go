package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	frameHeader = 2       // RFC 4571, section 2: a length in front of each frame
	maxFrame    = 8 << 10 // payload bytes; pion takes no more either, and WebRTC sends no more than an MTU
	keepFor     = 16 << 10
)

// Errors of a FramedConn.
var (
	ErrFraming = errors.New("udp: not RFC 4571 framing")
	ErrNotSTUN = errors.New("udp: the first frame is no STUN message")
)

// FramedConfig bounds what TCP connections of strangers may cost. A field that is 0 has the value of FramedDefaults.
type FramedConfig struct {
	MaxConns        int           // connections open at a time
	MaxConnsPerAddr int           // of those, with one IPv4 address or one IPv6 /64
	Patience        time.Duration // within which a connection must have been vouched for; see FramedConn.Vouch
	WriteBuffer     int           // bytes queued for one connection; WriteFrame leaves an eighth of them to WriteUrgent
}

// FramedDefaults returns the defaults: room for an office behind one address.
func FramedDefaults() FramedConfig {
	return FramedConfig{MaxConns: 4096, MaxConnsPerAddr: 256, Patience: 10 * time.Second, WriteBuffer: 256 << 10}
}

// Validate names every field that makes no sense.
func (c FramedConfig) Validate() error {
	var faults []error
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"max_conns", int64(c.MaxConns)},
		{"max_conns_per_addr", int64(c.MaxConnsPerAddr)},
		{"patience", int64(c.Patience)},
		{"write_buffer", int64(c.WriteBuffer)},
	} {
		if f.value < 0 {
			faults = append(faults, fmt.Errorf("%s: must not be negative", f.name))
		}
	}
	return errors.Join(faults...)
}

func (c FramedConfig) withDefaults() FramedConfig {
	d := FramedDefaults()
	if c.MaxConns <= 0 {
		c.MaxConns = d.MaxConns
	}
	if c.MaxConnsPerAddr <= 0 {
		c.MaxConnsPerAddr = d.MaxConnsPerAddr
	}
	if c.Patience <= 0 {
		c.Patience = d.Patience
	}
	if c.WriteBuffer <= 0 {
		c.WriteBuffer = d.WriteBuffer
	}
	return c
}

// FramedConn is a TCP connection of ICE (RFC 6544). Frames of several writers never mix, and writing never blocks: frames
// wait in a bounded queue for one goroutine, which lives only while there are any, and are dropped whole when there is no
// room. One goroutine may read; all other methods are safe for concurrent use.
type FramedConn struct {
	conn    net.Conn
	remote  netip.AddrPort
	onClose func()
	in      frameReader
	spoke   bool // has sent a STUN message; the reader's own
	out     frameQueue
	drain   func() // writeQueued, bound once: binding it for each start would allocate
}

// NewFramedConn wraps a connection just accepted, which from then on belongs to the FramedConn. Of cfg only Patience and
// WriteBuffer matter.
func NewFramedConn(conn net.Conn, cfg FramedConfig) *FramedConn {
	cfg = cfg.withDefaults()
	c := &FramedConn{conn: conn, remote: addrPortOf(conn.RemoteAddr()), onClose: func() {}}
	c.in.src = conn
	c.out.limit = cfg.WriteBuffer
	c.drain = c.writeQueued
	c.Vouch(cfg.Patience)
	return c
}

// Remote is the peer's address, IPv4 never in its mapped form.
func (c *FramedConn) Remote() netip.AddrPort { return c.remote }

// Vouch gives the peer so much more time, from now on: then reading ends. What it sends meanwhile gives it no more, be it
// ever so little at a time.
func (c *FramedConn) Vouch(patience time.Duration) {
	if c.conn.SetReadDeadline(time.Now().Add(patience)) != nil {
		_ = c.abort() // it has gone already; reading will say so
	}
}

// ReadFrame returns the payload of the next frame that is not empty, valid until the next call. It fails with ErrNotSTUN
// when the first is something else, with ErrFraming for a frame of more than 8 KiB, with os.ErrDeadlineExceeded when nobody
// has vouched for the peer in time, and after any of these the connection is of no more use.
func (c *FramedConn) ReadFrame() ([]byte, error) {
	frame, err := c.in.next()
	if err != nil {
		return nil, err
	}
	if !c.spoke {
		if !isSTUN(frame[frameHeader:]) {
			return nil, ErrNotSTUN
		}
		c.spoke = true
	}
	return frame[frameHeader:], nil
}

// isSTUN tells by the leading zero bits and the magic cookie (RFC 8489, section 5).
func isSTUN(b []byte) bool {
	return len(b) >= 20 && b[0]>>6 == 0 && binary.BigEndian.Uint32(b[4:]) == 0x2112A442
}

// WriteFrame queues one frame with payload b and reports whether it did: false means that b was dropped, because it is
// too long, the queue has no room for media, or the connection is closed.
func (c *FramedConn) WriteFrame(b []byte) bool { return c.queue(b, c.out.limit-c.out.limit/8) }

// WriteUrgent is WriteFrame for what keeps the connection: it finds room where media has filled the queue.
func (c *FramedConn) WriteUrgent(b []byte) bool { return c.queue(b, c.out.limit) }

func (c *FramedConn) queue(b []byte, limit int) bool {
	if len(b) == 0 || len(b) > maxFrame {
		return false
	}
	header := [frameHeader]byte{byte(len(b) >> 8), byte(len(b))}
	idle, ok := c.out.add(header[:], b, limit)
	if idle {
		go c.drain()
	}
	return ok
}

// writeQueued writes until nothing is queued. Many frames leave in one system call when the peer is slower than the writers.
func (c *FramedConn) writeQueued() {
	defer c.out.done()
	for {
		b := c.out.next()
		if len(b) == 0 {
			return
		}
		if _, err := c.conn.Write(b); err != nil {
			_ = c.abort() // the write has failed already
			return
		}
	}
}

// Close closes the connection, drops what is queued, and returns when the connection's goroutine has ended. Closing
// again is an error of the wrapped connection's kind and does nothing else.
func (c *FramedConn) Close() error {
	err := c.abort()
	c.out.wait()
	return err
}

// abort is Close without waiting, so that the goroutine that Close waits for may call it.
func (c *FramedConn) abort() error {
	c.out.close()
	c.onClose()
	return c.conn.Close()
}

// addrPortOf reads any net.Addr whose text is an address and a port; others give the zero value.
func addrPortOf(a net.Addr) netip.AddrPort {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return unmapped(ap)
}

func unmapped(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
