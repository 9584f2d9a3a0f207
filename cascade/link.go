package cascade

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/sctp"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/internal/udp"
)

// Handler is the node's side of its links with one other node. Wants, RTP and RTCP run on the goroutine that reads the
// socket and must not block; the others come one at a time.
type Handler interface {
	Wants(h *packet.Header, b []byte) bool
	RTP(run []*packet.Packet, out *udp.Batch)
	RTCP(b []byte, out *udp.Batch)
	// Up has a link on which packets and messages can be sent, until Down.
	Up(*Link)
	// Down comes when the link is dead. What was pulled over it is to be pulled again over the next.
	Down(*Link)
	// Pulled has a wish of the other end.
	Pulled(*Link, Pull)
	// Gone has the answer to a pull that cannot be served.
	Gone(*Link, Gone)
}

// Link is one transport to another node, from its birth to its death. It is safe for concurrent use.
type Link struct {
	Peer string // the other node's id

	transport *rtc.Transport
	handler   Handler
	beat      time.Duration
	patience  int
	log       *slog.Logger
	heardAt   atomic.Int64 // by now
	began     time.Time
	forget    func() // set when the link is adopted

	mu      sync.Mutex
	control *sctp.Stream // nil until both ends have agreed on it
	up      bool
	over    bool
	done    chan struct{} // closed when the link is dead
}

// controlStream is the SCTP stream of control messages.
const controlStream = 0

var errDead = errors.New("the link is dead")

func newLink(peer string, h Handler, cfg Config, log *slog.Logger) *Link {
	return &Link{
		Peer: peer, handler: h, beat: cfg.Heartbeat, patience: cfg.Missed, log: log.With("peer_node", peer),
		began: time.Now(), done: make(chan struct{}),
	}
}

// Transport is where packets for the other node are sent on.
func (l *Link) Transport() *rtc.Transport { return l.transport }

// Send sends a Pull to the other end.
func (l *Link) Send(p Pull) error { return l.send(message{Pull: &p}) }

// SendGone answers a Pull that cannot be served.
func (l *Link) SendGone(g Gone) error { return l.send(message{Gone: &g}) }

func (l *Link) send(m message) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	l.mu.Lock()
	control := l.control
	l.mu.Unlock()
	if control == nil {
		return errDead
	}
	_, err = control.WriteSCTP(b, sctp.PayloadTypeWebRTCString)
	return err
}

// converse is the link's conversation over DTLS, on the transport's goroutine, until the link dies.
func (l *Link) converse(conn net.Conn, client bool) {
	defer l.die()
	stream, closing, err := openControl(conn, client)
	if err != nil {
		l.log.Debug("no control channel", "error", err)
		return
	}
	defer closing()
	l.mu.Lock()
	l.control = stream
	l.up = !l.over
	up := l.up
	l.mu.Unlock()
	if !up {
		return
	}
	l.handler.Up(l)
	buf := make([]byte, maxMessage)
	for {
		n, err := stream.Read(buf)
		if err != nil {
			return
		}
		l.hear()
		if m, err := decode(buf[:n]); err == nil {
			l.dispatch(m)
		} else {
			l.log.Debug("control message", "error", err)
		}
	}
}

func openControl(conn net.Conn, client bool) (stream *sctp.Stream, closing func(), err error) {
	cfg := sctp.Config{NetConn: conn, LoggerFactory: rtc.Quiet(), RTOMax: 1000}
	var association *sctp.Association
	if client {
		association, err = sctp.Client(cfg)
	} else {
		association, err = sctp.Server(cfg)
	}
	if err != nil {
		return nil, nil, err
	}
	closing = func() { association.Abort("") }
	// Both ends open the same stream, and need no messages to agree on it.
	stream, err = association.OpenStream(controlStream, sctp.PayloadTypeWebRTCString)
	if err != nil {
		closing()
		return nil, nil, err
	}
	return stream, closing, nil
}

func (l *Link) dispatch(m message) {
	switch {
	case m.Pull != nil:
		l.handler.Pulled(l, *m.Pull)
	case m.Gone != nil:
		l.handler.Gone(l, *m.Gone)
	}
}

// Wants implements rtc.Handler.
func (l *Link) Wants(h *packet.Header, b []byte) bool { return l.handler.Wants(h, b) }

// RTP implements rtc.Handler.
func (l *Link) RTP(run []*packet.Packet, out *udp.Batch) {
	l.hear()
	l.handler.RTP(run, out)
}

// RTCP implements rtc.Handler.
func (l *Link) RTCP(b []byte, out *udp.Batch) {
	l.hear()
	l.handler.RTCP(b, out)
}

// Connected implements rtc.Handler: the link is up when the control channel is.
func (l *Link) Connected() { l.hear() }

// Disconnected implements rtc.Handler.
func (l *Link) Disconnected(err error) {
	l.log.Debug("link disconnected", "error", err)
	l.die()
}

func (l *Link) hear() { l.heardAt.Store(int64(time.Since(l.began))) }

// watch sends heartbeats, and ends the link when nothing has been heard for as long as several take. Heartbeats are RTCP
// packets, which are lost rather than repeated: a control channel that repeats would be late just when it matters.
func (l *Link) watch() {
	tick := time.NewTicker(l.beat)
	defer tick.Stop()
	beat, err := rtcp.Marshal([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: heartbeatSSRC}})
	if err != nil {
		l.log.Error("heartbeat", "error", err)
		l.die()
		return
	}
	for {
		select {
		case <-l.done:
			return
		case <-tick.C:
		}
		silence := time.Since(l.began) - time.Duration(l.heardAt.Load())
		limit := time.Duration(l.patience) * l.beat
		if !l.isUp() {
			limit = birthTimeout
		}
		if silence > limit {
			l.log.Debug("link is silent", "for", silence)
			l.die()
			return
		}
		if l.transport.Ready() {
			if err := l.transport.SendRTCP(beat); err != nil {
				l.log.Debug("heartbeat", "error", err)
			}
		}
	}
}

const (
	heartbeatSSRC = 2
	birthTimeout  = 5 * time.Second // for a new link to come up
)

func (l *Link) isUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

// die ends the link once. The transport is closed beside it: it may be what is calling.
func (l *Link) die() {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		return
	}
	l.over = true
	wasUp := l.up
	l.up, l.control = false, nil
	l.mu.Unlock()
	l.forget()
	if wasUp {
		l.handler.Down(l)
	}
	close(l.done)
}
