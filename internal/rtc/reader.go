package rtc

import (
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/pion/logging"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// readBatch is how many datagrams one system call may bring.
const readBatch = 64

// gatherFor is how long packets wait for others where they come thick: a wake-up costs as much CPU as sending some fifty. It is
// well within what a hop may add (p99 of 1 ms).
const gatherFor = 300 * time.Microsecond

// setAside is what can wait a little for media to be read with: STUN (RFC 7983) and RTCP (RFC 5761 section 4). Where one voice goes to many,
// more of it comes than of the voice. Handshakes do not wait.
func setAside() udp.Aside {
	checks := udp.Class{First: udp.Span{To: 3}, Second: udp.Any()}
	reports := udp.Class{First: udp.Span{From: 128, To: 191}, Second: udp.Span{From: 192, To: 223}}
	return udp.Aside{Classes: []udp.Class{checks, reports}, Wait: 10 * time.Millisecond}
}

// reader works off what one socket brought: it sorts by first byte (RFC 7983), decrypts media and hands it over in runs
// of one remote, so that a handler can treat a frame's packets together.
type reader struct {
	e   *Endpoint
	out *udp.Batch
	t   *Transport // whose packets are in run
	run []*packet.Packet

	// came is when the datagram at hand came to the socket; 0: just now. A node that is behind with reading must not look like a
	// queue on the way to whoever estimates that.
	came int64
}

// takeReader returns a reader for whoever has packets now and then; it goes back to e.idle. A reader's send batch holds
// enough memory to make one for each connection a waste.
func (e *Endpoint) takeReader() *reader {
	if r, ok := e.idle.Get().(*reader); ok {
		return r
	}
	return &reader{e: e, out: e.conn.NewBatch()}
}

// read serves one UDP socket until it is closed. All packets of an address come on the same one.
func (e *Endpoint) read(c *udp.Conn) error {
	ms := make([]udp.Message, readBatch)
	for i := range ms {
		ms[i].Buf = make([]byte, maxDatagram)
	}
	r := reader{e: e, out: c.NewBatch()}
	for {
		n, err := c.Read(ms)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		now := e.Now()
		for i := range ms[:n] {
			r.came = now - ms[i].Waited.Nanoseconds()
			r.datagram(&ms[i])
		}
		r.flush()
	}
}

func (r *reader) datagram(m *udp.Message) {
	b, from := m.Buf[:m.N], source{addr: m.From}
	switch {
	case len(b) == 0:
	case b[0] < 4:
		r.e.mux.deliver(b, from, m.Waited)
	default:
		if bound := r.e.lookup(from); bound.t != nil {
			r.packet(bound, b, from)
		}
	}
}

// packet takes anything but STUN.
func (r *reader) packet(bound binding, b []byte, from source) {
	switch {
	case b[0] >= 20 && b[0] < 64:
		bound.t.dtls.deliver(b, from)
	case packet.IsRTPorRTCP(b):
		if r.media(bound.t, b) && bound.proven && !bound.t.goesTo(from) {
			bound.t.follow(from)
		}
	}
}

// media takes an SRTP or SRTCP packet, and reports whether it is authentic and new.
func (r *reader) media(t *Transport, b []byte) bool {
	keys := t.keys.Load()
	if keys == nil {
		if keys = t.hold(b); keys == nil {
			return false
		}
	}
	if packet.IsRTCP(b) {
		opened, err := keys.openRTCP(b)
		if err == nil {
			t.settle()
			r.hand()
			t.handler.RTCP(opened, r.out)
		}
		return err == nil
	}
	p := r.open(t, keys, b)
	if p == nil {
		return false
	}
	t.settle()
	if r.t != t {
		r.hand()
		r.t = t
	}
	r.run = append(r.run, p)
	return true
}

func (r *reader) open(t *Transport, keys *crypto, b []byte) *packet.Packet {
	p := packet.Get()
	if p.ParseSealed(b) != nil || len(b) > cap(p.Buf) || !t.handler.Wants(&p.Header, b) {
		p.Release()
		return nil
	}
	n, err := keys.open(p.Buf[:cap(p.Buf)], b, &p.Header)
	if err != nil || p.Parse(p.Buf[:n]) != nil {
		p.Release()
		return nil
	}
	p.Buf = p.Buf[:n]
	if p.Arrival = r.came; p.Arrival == 0 {
		p.Arrival = r.e.Now()
	}
	return p
}

// hand gives the run to its transport's handler.
func (r *reader) hand() {
	if len(r.run) == 0 {
		return
	}
	r.t.handler.RTP(r.run, r.out)
	clear(r.run)
	r.run, r.t = r.run[:0], nil
}

func (r *reader) flush() {
	r.hand()
	// The only error is that the socket is closed, which the next read finds.
	_ = r.out.Flush()
}

// quietLogs sends pion's warnings and errors to the log at debug level: what a stranger sends is no fault of this node.
type quietLogs struct{ log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (q quietLogs) NewLogger(scope string) logging.LeveledLogger {
	return quietLog{q.log.With("pion", scope)}
}
