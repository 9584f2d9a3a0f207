package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	frameHeader = 2       // RFC 4571, section 2: a length in front of each frame
	maxFrame    = 8 << 10 // payload bytes; pion takes no more either, and WebRTC sends no more than an MTU
	keepFor     = 16 << 10
)

// Errors of a FramedConn.
var (
	ErrQueueFull = errors.New("udp: write queue is full")
	ErrFraming   = errors.New("udp: not RFC 4571 framing")
	ErrNotSTUN   = errors.New("udp: the first frame is no STUN message")
)

// FramedConfig bounds what TCP connections of strangers may cost. A field that is 0 has the value of FramedDefaults.
type FramedConfig struct {
	MaxConns        int           // connections open at a time
	MaxConnsPerAddr int           // of those, with one IPv4 address or one IPv6 /64
	FirstFrame      time.Duration // within which a connection must have sent a whole STUN message
	WriteBuffer     int           // bytes queued for one connection; WriteFrame leaves an eighth of them to Write
}

// FramedDefaults returns the defaults: room for an office behind one address.
func FramedDefaults() FramedConfig {
	return FramedConfig{MaxConns: 4096, MaxConnsPerAddr: 256, FirstFrame: 10 * time.Second, WriteBuffer: 256 << 10}
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
		{"first_frame", int64(c.FirstFrame)},
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
	if c.FirstFrame <= 0 {
		c.FirstFrame = d.FirstFrame
	}
	if c.WriteBuffer <= 0 {
		c.WriteBuffer = d.WriteBuffer
	}
	return c
}

// FramedConn is a TCP connection of ICE (RFC 6544) that pion and the SFU share. Frames written by either never mix, and
// writing never blocks: frames wait in a bounded queue for one goroutine, which lives only while there are any. Inbound
// frames pass a tap before Read sees them. One goroutine may read; all other methods are safe for concurrent use.
type FramedConn struct {
	net.Conn
	remote  netip.AddrPort
	onClose func()
	tap     atomic.Pointer[func([]byte) bool]
	in      frameReader
	first   firstFrame
	out     frameQueue
	drain   func() // writeQueued, bound once: binding it for each start would allocate
}

// NewFramedConn wraps a connection just accepted, which from then on belongs to the FramedConn. Of cfg only FirstFrame
// and WriteBuffer matter.
func NewFramedConn(conn net.Conn, cfg FramedConfig) *FramedConn {
	cfg = cfg.withDefaults()
	c := &FramedConn{Conn: conn, remote: addrPortOf(conn.RemoteAddr()), onClose: func() {}}
	c.in.src = conn
	c.first.limit = time.Now().Add(cfg.FirstFrame)
	c.out.limit = cfg.WriteBuffer
	c.drain = c.writeQueued
	if conn.SetReadDeadline(c.first.limit) != nil {
		_ = c.Close() // it has gone already; Read will say so
	}
	return c
}

// Remote is the peer's address, IPv4 never in its mapped form.
func (c *FramedConn) Remote() netip.AddrPort { return c.remote }

// OnFrame sets the tap, nil for none. It is called on Read's goroutine for every whole inbound frame that is not empty,
// with the payload, which it must not keep or change. Frames it reports as consumed are not passed on to Read.
func (c *FramedConn) OnFrame(f func(b []byte) (consumed bool)) {
	if f == nil {
		c.tap.Store(nil)
		return
	}
	c.tap.Store(&f)
}

// Read returns the inbound frames that the tap leaves, framed as they came. It fails with ErrNotSTUN when the first
// frame is something else, with ErrFraming for a frame of more than 8 KiB, with os.ErrDeadlineExceeded when no STUN
// message came in time, and after any of these the connection is of no more use.
func (c *FramedConn) Read(p []byte) (int, error) {
	for len(c.in.rest) == 0 {
		frame, err := c.in.next()
		if err != nil {
			return 0, err
		}
		payload := frame[frameHeader:]
		if !c.first.isSeen() {
			if !isSTUN(payload) {
				return 0, ErrNotSTUN
			}
			if err := c.first.see(c.Conn); err != nil {
				return 0, err
			}
		}
		if tap := c.tap.Load(); tap == nil || !(*tap)(payload) {
			c.in.rest = frame
		}
	}
	n := copy(p, c.in.rest)
	c.in.rest = c.in.rest[n:]
	return n, nil
}

// isSTUN tells by the leading zero bits and the magic cookie (RFC 8489, section 5).
func isSTUN(b []byte) bool {
	return len(b) >= 20 && b[0]>>6 == 0 && binary.BigEndian.Uint32(b[4:]) == 0x2112A442
}

// Write queues whole frames, each with its length in front, as pion writes them. It fails with ErrFraming for anything
// else, and with ErrQueueFull when it dropped them for want of room.
func (c *FramedConn) Write(b []byte) (int, error) {
	if !wholeFrames(b) {
		return 0, ErrFraming
	}
	if err := c.queue(nil, b, c.out.limit); err != nil {
		return 0, err
	}
	return len(b), nil
}

// WriteFrame queues one frame with payload b and reports whether it did: false means that b was dropped, because it is
// too long, the queue has no room for media, or the connection is closed.
func (c *FramedConn) WriteFrame(b []byte) bool {
	if len(b) == 0 || len(b) > maxFrame {
		return false
	}
	header := [frameHeader]byte{byte(len(b) >> 8), byte(len(b))}
	return c.queue(header[:], b, c.out.limit-c.out.limit/8) == nil
}

func wholeFrames(b []byte) bool {
	for len(b) > 0 {
		if len(b) < frameHeader {
			return false
		}
		size := frameHeader + int(binary.BigEndian.Uint16(b))
		if len(b) < size {
			return false
		}
		b = b[size:]
	}
	return true
}

func (c *FramedConn) queue(header, b []byte, limit int) error {
	idle, err := c.out.add(header, b, limit)
	if err == nil && idle {
		go c.drain()
	}
	return err
}

// writeQueued writes until nothing is queued. Many frames leave in one system call when the peer is slower than the writers.
func (c *FramedConn) writeQueued() {
	defer c.out.done()
	for {
		b := c.out.next()
		if len(b) == 0 {
			return
		}
		if _, err := c.Conn.Write(b); err != nil {
			_ = c.abort() // the write has failed already
			return
		}
	}
}

// SetReadDeadline moves the deadline of Read, though not beyond the limit for the first STUN message.
func (c *FramedConn) SetReadDeadline(t time.Time) error { return c.first.setReadDeadline(c.Conn, t) }

// SetDeadline sets the deadlines of Read and of the goroutine that writes.
func (c *FramedConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
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
	return c.Conn.Close()
}

// firstFrame guards the time until a connection has shown that it speaks STUN.
type firstFrame struct {
	mu       sync.Mutex
	limit    time.Time
	deadline time.Time // what the reader asked for
	seen     bool
}

func (f *firstFrame) isSeen() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// see lifts the limit.
func (f *firstFrame) see(conn net.Conn) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = true
	return conn.SetReadDeadline(f.deadline)
}

func (f *firstFrame) setReadDeadline(conn net.Conn, t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deadline = t
	if !f.seen && (t.IsZero() || t.After(f.limit)) {
		t = f.limit
	}
	return conn.SetReadDeadline(t)
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
