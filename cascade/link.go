package cascade

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/sctp"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/internal/udp"
)

// Handler is the node's side of its links with one other node.
//
// Wants, RTP and RTCP are those of rtc.Handler: they run on the goroutine that reads the socket and must not block. They
// may come a moment before Up and after Down.
//
// Serves may come at any time, and often; it must not block either. It reports whether the other end is to notice at once
// when this one dies: as long as it wants something, whether packets of that come or not.
//
// The others come one at a time, whatever becomes of links: Up, then any number of Pulled and Gone, then Down, all with
// the same link, and only then the next link's Up. They run on the link's own goroutine; while one of them blocks, the
// next link does not come up. They may call Manager.Need and the link's methods.
type Handler interface {
	Wants(h *packet.Header, b []byte) bool
	RTP(run []*packet.Packet, out *udp.Batch)
	RTCP(b []byte, out *udp.Batch)
	Serves(*Link) bool
	// Up has a link on which packets and messages can be sent, until Down. The other end pulls nothing yet.
	Up(*Link)
	// Down comes once for every Up, when the link is dead. What was pulled over it is to be pulled again over the next.
	Down(*Link)
	// Pulled has a wish of the other end. Its form is right; whether the track exists is the handler's to say.
	Pulled(*Link, Pull)
	// Gone has the answer to a pull that cannot be served.
	Gone(*Link, Gone)
}

// Link is one transport to another node, from its birth to its death. It is safe for concurrent use.
type Link struct {
	Peer string // the other node's id

	transport *rtc.Transport
	handler   Handler
	rise      func(*Link) bool // asks for the place of the link with Peer; false when another has a better claim
	beat      time.Duration
	patience  int
	log       *slog.Logger
	began     time.Time
	heard     hearing
	guarded   atomic.Bool   // something is about to be served
	rests     atomic.Bool   // the other end was told that nothing is
	over      chan struct{} // closed when the link is dead
	told      chan struct{} // closed when the handler knows that, if it ever knew of the link
	called    bool          // came of this node's own call; guarded by the Manager's mutex

	mu      sync.Mutex
	dead    bool
	up      bool
	control *sctp.Stream // nil until both ends have agreed on it
}

const (
	controlStream = 0         // the SCTP stream of control messages
	controlBuffer = 128 << 10 // bytes of control messages that wait to be read
	maxBacklog    = 4 << 20   // bytes of control messages that wait to be sent: some 10,000 pulls

	birthTimeout = 5 * time.Second // for a link to come up, and for an answer to an introduction

	// meetTimeout is for the first connectivity checks, once there is an answer: two trips. Without them the other node has
	// given up this call, and must not be kept from making another.
	meetTimeout = 1500 * time.Millisecond

	// greetTimeout is for the rest, handshake and control channel, once there is a path: six trips. The other node may have
	// given up just before its checks were answered.
	greetTimeout = 2 * time.Second
)

var (
	errDead   = errors.New("the link is dead")
	errBehind = errors.New("the other node does not read its control messages")
)

func newLink(peer string, h Handler, cfg Config, log *slog.Logger) *Link {
	return &Link{
		Peer: peer, handler: h, beat: cfg.Heartbeat, patience: cfg.Missed, log: log.With("peer_node", peer),
		began: time.Now(), over: make(chan struct{}), told: make(chan struct{}),
	}
}

// Transport is where packets for the other node are sent on.
func (l *Link) Transport() *rtc.Transport { return l.transport }

// Send sends a Pull to the other end. It does not block. Messages arrive in the order they were sent, or the link dies.
func (l *Link) Send(p Pull) error { return l.send(message{Pull: &p}) }

// Guard has the other end notice at once from now on when this one dies. It is called before the first packet of what begins to
// be served; then Serves counts.
func (l *Link) Guard() {
	l.guarded.Store(true)
	if l.rests.Load() {
		l.say(serving)
	}
}

// SendGone answers a Pull that cannot be served. It does not block.
func (l *Link) SendGone(g Gone) error { return l.send(message{Gone: &g}) }

func (l *Link) send(m message) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	l.mu.Lock()
	control, dead := l.control, l.dead
	l.mu.Unlock()
	if control == nil || dead {
		return errDead
	}
	if control.BufferedAmount() > maxBacklog {
		l.die(errBehind)
		return errBehind
	}
	_, err = control.WriteSCTP(b, sctp.PayloadTypeWebRTCString)
	return err
}

// converse is the link's conversation over DTLS, on the transport's goroutine, until the link dies.
func (l *Link) converse(conn net.Conn, client bool) {
	control, closing, err := openControl(conn, client, l.transport.RoundTrip())
	if err != nil {
		l.die(err)
		return
	}
	defer closing()
	if !l.agree(control) || !l.rise(l) {
		l.die(errDead)
		return
	}
	defer close(l.told)
	l.handler.Up(l)
	l.die(l.listen(control))
	l.handler.Down(l)
}

// agree notes the control channel, unless the link has died meanwhile.
func (l *Link) agree(control *sctp.Stream) bool {
	l.heard.life() // before up, which is when silence begins to count
	l.mu.Lock()
	defer l.mu.Unlock()
	l.control, l.up = control, !l.dead
	return l.up
}

// listen works off control messages until the link is dead. What cannot be understood is passed over, but a message that
// is too big ends the link: nothing after it could be read.
func (l *Link) listen(control *sctp.Stream) error {
	buf := make([]byte, maxMessage)
	for {
		n, err := control.Read(buf)
		if err != nil {
			return err
		}
		l.heard.life()
		m, err := decode(buf[:n])
		switch {
		case err != nil:
			l.log.Debug("control message", "error", err)
		case m.Pull != nil:
			l.handler.Pulled(l, *m.Pull)
		case m.Gone != nil:
			l.handler.Gone(l, *m.Gone)
		}
	}
}

// openControl opens the control channel over a path with a round trip, which is 0 while it is not known. Closing it tells the other end.
func openControl(conn net.Conn, client bool, roundTrip time.Duration) (stream *sctp.Stream, closing func(), err error) {
	cfg := sctp.Config{
		NetConn: conn, LoggerFactory: rtc.Quiet(), MaxReceiveBufferSize: controlBuffer,
		RTOMax: float64(mostPatience(roundTrip).Milliseconds()),
	}
	var association *sctp.Association
	if client {
		association, err = sctp.ClientWithOptions(cfg)
	} else {
		association, err = sctp.ServerWithOptions(cfg)
	}
	if err != nil {
		return nil, nil, err
	}
	// The only error is that the conn is closed already.
	closing = func() { _ = association.Close() }
	// Both ends open the same stream, and need no messages to agree on it.
	stream, err = association.OpenStream(controlStream, sctp.PayloadTypeWebRTCString)
	if err != nil {
		closing()
		return nil, nil, err
	}
	return stream, closing, nil
}

// mostPatience is how long a packet of the control channel may be unanswered before it is sent again. SCTP begins with a second
// and goes no lower (RFC 9260 section 16), whatever the round trip: a pull that is lost as a node dies would be a picture that is
// gone for as long. Of a path's first round trip RFC 9260 section 6.3.1 makes three.
func mostPatience(roundTrip time.Duration) time.Duration {
	if roundTrip == 0 {
		return time.Second
	}
	return min(3*roundTrip+100*time.Millisecond, time.Second)
}

// Wants implements rtc.Handler.
func (l *Link) Wants(h *packet.Header, b []byte) bool { return l.handler.Wants(h, b) }

// RTP implements rtc.Handler.
func (l *Link) RTP(run []*packet.Packet, out *udp.Batch) {
	l.heard.media()
	l.handler.RTP(run, out)
}

// RTCP implements rtc.Handler.
func (l *Link) RTCP(b []byte, out *udp.Batch) {
	if p, ok := readBeat(b); ok {
		l.heard.beat(p)
		return
	}
	l.heard.life()
	l.handler.RTCP(b, out)
}

// Connected implements rtc.Handler: the link is up when the control channel is.
func (l *Link) Connected() { l.heard.life() }

// Disconnected implements rtc.Handler.
func (l *Link) Disconnected(err error) { l.die(err) }

// watch sends heartbeats, and ends the link when several in a row have not come. It counts ticks rather than time, and none while
// what this node reads is older than a tick: a node that is itself held up has all of them in its socket still, and must not take
// the others for dead. Only what the other end's keys vouch for is a sign of life.
//
// Heartbeats are RTCP packets, which are lost rather than repeated: a control channel that repeats would be late just when
// it matters.
func (l *Link) watch() {
	tick := time.NewTicker(l.beat / beatTicks)
	defer tick.Stop()
	birth := birth{began: l.began, adopted: time.Now()}
	var own pulse
	for {
		select {
		case <-l.over:
			return
		case <-tick.C:
		}
		up := l.isUp() // before the other end's silence: a link comes up with a sign of life
		late := birth.late(l.transport.Over() != "", time.Now())
		behind := l.transport.Behind() > l.beat/beatTicks
		if silent := l.heard.tick(l.patience, behind); up && silent || !up && late {
			l.die(rtc.ErrSilent)
			return
		}
		if l.transport.Ready() {
			l.pulse(&own, up)
		}
	}
}

// birth is how far a link has come that is not up yet.
type birth struct {
	began   time.Time
	adopted time.Time // when there was an answer to the introduction
	met     time.Time // when there was a path; zero before
}

// late reports whether a link must be given up that has a path or none.
func (b *birth) late(path bool, now time.Time) bool {
	if path && b.met.IsZero() {
		b.met = now
	}
	switch {
	case now.Sub(b.began) > birthTimeout:
		return true
	case path:
		return now.Sub(b.met) > greetTimeout
	}
	return now.Sub(b.adopted) > meetTimeout
}

// pulse sends a heartbeat if one is due.
func (l *Link) pulse(own *pulse, up bool) {
	a := activity{aware: l.heard.aware.Load()}
	a.media, a.control = l.transport.Sent()
	a.serves = l.guarded.Swap(false) || a.media || up && l.handler.Serves(l)
	now, due := own.tick(a)
	l.rests.Store(now == resting)
	if due {
		l.say(now)
	}
}

func (l *Link) say(p promise) {
	if err := l.transport.SendRTCP(p.beat()); err != nil {
		l.log.Debug("heartbeat", "error", err)
	}
}

// isUp reports whether packets and messages can be sent.
func (l *Link) isUp() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

// alive reports whether the link is there or on its way. No link is not.
func (l *Link) alive() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.dead
}

// die ends the link, once. It only says so, and never blocks: the link's own goroutines do the rest.
func (l *Link) die(why error) {
	l.mu.Lock()
	if l.dead {
		l.mu.Unlock()
		return
	}
	l.dead, l.up = true, false
	control := l.control
	l.mu.Unlock()
	l.log.Debug("link ends", "reason", why)
	close(l.over)
	if control != nil {
		// Frees listen, which otherwise notices only when the transport is closed. There is no error to be had.
		_ = control.SetReadDeadline(time.Now())
	}
}
