package node

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/allocation"
	"github.com/parley-sfu/parley/internal/bandwidth"
	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/internal/udp"
)

const (
	// paceCatchesUp is for how many nanoseconds at the pace a late round makes up: what leaves at once waits as long on the way.
	paceCatchesUp = 20e6

	// paceOwes is for how many nanoseconds at the pace voices, which never wait, have pictures wait at the most.
	paceOwes = 100e6

	// A part of what a way carries is for retransmissions, and so many nanoseconds of it at once: what a queue that was too long lost,
	// with nothing to bound it, fills the queue again.
	repairShare = 0.25
	repairBurst = 200e6

	// When more than littleWaits of what should wait at most does, no more comes to wait of a layer that is to be left for a lower one, and nothing grows.
	// From muchWaits on the slots begin to leave pictures out, the least important first, and from mostWaits on all do: whoever does is frozen until the
	// next keyframe, which is longer than to wait, even for a keyframe of the largest layer before it.
	littleWaits = 0.25
	muchWaits   = 1.0
	mostWaits   = 1.5

	// waitsMost is how long a packet of a picture may wait. Only where voices take all that the way carries it does so long, and what is shown then
	// has changed: it is asked for again by whoever needs it.
	waitsMost = time.Second

	// pleadEvery is how often a viewer whose slots have left pictures out asks for a keyframe of one.
	pleadEvery = 100 * time.Millisecond
)

// pacer has pictures wait here for a viewer or another node to whom the way is narrow, instead of on the way, where voices would wait behind them. Voices
// leave with the next round, and then as fast as the way carries it: retransmissions, pictures, and what probes lack. It costs nothing while the way is not
// narrow.
//
// Packets wait as they were written and are numbered and sealed when they leave. It is safe for concurrent use; who sends through it calls it with its
// mutex held.
type pacer struct {
	narrow  atomic.Bool // packets go through it
	useless atomic.Bool // pictures may wait that are of no use any more

	mu       sync.Mutex // guards what follows
	voices   line
	repairs  line
	pictures line
	sifting  bool // pictures are being looked through elsewhere
	bytes    int  // that wait, without voices
	pace     bandwidth.Pacing
	looked   int64     // when the credits were last counted
	credit   float64   // bytes that may leave now; negative when voices have taken more
	again    allowance // of retransmissions that may come to wait
	pleaded  int64     // when a slot was last let ask for a keyframe
	widened  bool      // it is to end once nothing waits
}

// holder is what has packets held by a pacer: a slot, or a layer over a link.
type holder interface {
	// depart sends a packet that has waited.
	depart(h *held, out *udp.Batch, now int64)

	// empty takes out of a packet that waits what is of no use any more, and reports whether anything was.
	empty(h *held) bool
}

// held is a packet that waits, with what is needed to send it.
type held struct {
	next   *held
	from   holder
	voice  bool
	stream *rtc.Stream
	layer  *layer // that it is of
	kind   bandwidth.Kind
	head   int    // bytes of its header
	number int    // where its transport-wide sequence number is; 0 if it has none
	packet []byte // in the clear
	since  int64  // when it came to wait
	late   bool   // it is not to be sent any more
}

// line is packets that wait, first come first served.
type line struct{ first, last *held }

func (l *line) push(h *held) {
	if l.last == nil {
		l.first = h
	} else {
		l.last.next = h
	}
	l.last = h
}

func (l *line) pop() *held {
	h := l.first
	if h == nil {
		return nil
	}
	if l.first = h.next; l.first == nil {
		l.last = nil
	}
	h.next = nil
	return h
}

// append moves what waits in another line behind this one.
func (l *line) append(other line) {
	switch {
	case other.first == nil:
	case l.last == nil:
		*l = other
	default:
		l.last.next, l.last = other.first, other.last
	}
}

// set has the pacer work from now on, or end as soon as nothing waits: in a round, which is to come when it reports true.
func (c *pacer) set(narrow bool, pace bandwidth.Pacing, now int64) (ends bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pace, c.widened = pace, !narrow
	works := c.narrow.Load()
	if narrow && !works {
		c.looked, c.credit, c.again = now, 0, allowance{}
		c.narrow.Store(true)
	}
	return !narrow && works
}

// adjust has packets leave at another pace, and reports whether a queue on the way has been waited for until now.
func (c *pacer) adjust(pace bandwidth.Pacing) (emptied bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	emptied = c.pace.Emptying
	c.pace = pace
	return emptied
}

func (c *pacer) waitsLocked() bool {
	return c.sifting || c.voices.first != nil || c.repairs.first != nil || c.pictures.first != nil
}

// countLocked adds what may leave since it was last called.
func (c *pacer) countLocked(now int64) {
	passed := float64(now - c.looked)
	if passed <= 0 {
		return
	}
	c.looked = now
	rate := float64(c.pace.Rate) / 8e9 // bytes a nanosecond
	c.credit = min(max(c.credit, -paceOwes*rate)+passed*rate, paceCatchesUp*rate)
}

// full reports whether more waits than a part of what may in all.
func (c *pacer) full(part float64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fullLocked(part)
}

func (c *pacer) fullLocked(part float64) bool { return float64(c.bytes) > part*float64(c.pace.Queue) }

// crowded reports whether so much waits, here or on the way, that no keyframe should join it.
func (c *pacer) crowded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pace.Emptying || c.fullLocked(littleWaits)
}

// brief tells who divides a budget what waits here.
func (c *pacer) brief(s *allocation.Solver, d *dip, budget, now int64) {
	s.Grace, s.Full = 0, false
	if s.Paced = c.narrow.Load(); s.Paced {
		s.Grace, s.Full = d.grace(budget, c.full(littleWaits), now), c.crowded()
	}
}

// mayPlead reports whether a keyframe may be asked for at now for a slot that has left pictures out: there is room for it, and for none of another
// slot's at the same time.
func (c *pacer) mayPlead(now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fullLocked(littleWaits) || now-c.pleaded < int64(pleadEvery) {
		return false
	}
	c.pleaded = now
	return true
}

// mayRepair reports whether one more retransmission of about n bytes may be sent at now, and counts it. A way that is not narrow may turn out to be: what
// is asked for again then is what it did not carry.
func (c *pacer) mayRepair(n int, now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	rate := c.pace.Estimate
	if !c.narrow.Load() {
		rate = max(rate, openingBudget)
	}
	return c.again.take(n, repairShare*float64(rate), now)
}

// hold has a packet wait. It reports false when the way is not narrow any more: then the packet may leave. first is true when nothing
// has waited before.
func (c *pacer) hold(h *held) (first, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.narrow.Load() {
		return false, false
	}
	first = !c.waitsLocked()
	switch {
	case h.voice:
		c.voices.push(h)
		return first, true
	case h.kind == bandwidth.Retransmission:
		c.repairs.push(h)
	default:
		c.pictures.push(h)
	}
	c.bytes += len(h.packet) + overhead
	return first, true
}

// next takes out the packet that may leave at now, nil if none may. One that is late does not count.
func (c *pacer) next(now int64) *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.countLocked(now)
	if h := c.voices.pop(); h != nil {
		c.credit -= float64(len(h.packet) + overhead)
		return h
	}
	if c.credit <= 0 {
		return nil
	}
	h := c.repairs.pop()
	if h == nil {
		h = c.pictures.pop()
	}
	if h == nil {
		return nil
	}
	c.bytes -= len(h.packet) + overhead
	if h.late = h.late || now-h.since > int64(waitsMost); !h.late {
		c.credit -= float64(len(h.packet) + overhead)
	}
	return h
}

// spend counts n bytes that have left without having waited.
func (c *pacer) spend(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.credit -= float64(n)
}

// rest reports whether anything waits. If nothing does and the pacer is to end, it ends, behind what is queued: what comes next must not overtake.
func (c *pacer) rest(out *udp.Batch) (waits bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	waits = c.waitsLocked()
	if !waits && c.widened {
		_ = out.Flush() // the only error is that the socket is closed
		c.narrow.Store(false)
	}
	return waits
}

// dispatch sends the packet buf[:n], which came from Reserve and has a header of so many bytes, or has it wait for its turn. It returns how many
// bytes that are, 0 if it is lost. mu is held.
func (s *slot) dispatch(out *udp.Batch, stream *rtc.Stream, buf []byte, head, n int, kind bandwidth.Kind, now int64) int {
	if s.peer.pacer.narrow.Load() && kind != bandwidth.Padding && s.hold(stream, buf[:n], head, kind) {
		return n
	}
	s.leaves(buf, head, n, kind, now)
	if s.again != nil {
		s.again.left(binary.BigEndian.Uint16(buf[2:]), s.numberIn(buf))
	}
	return s.peer.transport.Send(out, stream, buf, head, n)
}

// hold has a packet wait, and reports false if there is no need. mu is held.
func (s *slot) hold(stream *rtc.Stream, packet []byte, head int, kind bandwidth.Kind) bool {
	h := s.peer.node.takeHeld(packet)
	h.from, h.voice, h.stream, h.layer, h.kind, h.head = s, s.kind == Audio, stream, s.current, kind, head
	if s.number != 0 {
		h.number = int(s.numberAt)
	}
	return s.peer.node.wait(&s.peer.pacer, s.peer, h)
}

// takeHeld returns a copy of a packet that can be held.
func (n *Node) takeHeld(packet []byte) *held {
	h, ok := n.held.Get().(*held)
	if !ok {
		h = &held{}
	}
	*h = held{packet: append(h.packet[:0], packet...), since: n.endpoint.Now()}
	return h
}

func (n *Node) giveHeld(h *held) {
	*h = held{packet: h.packet}
	n.held.Put(h)
}

// wait has a packet wait in the pacer of whoever it is for, and reports false, and takes it back, when there is no need any more.
func (n *Node) wait(c *pacer, to prober, h *held) bool {
	first, ok := c.hold(h)
	switch {
	case !ok:
		n.giveHeld(h)
	case first:
		n.probes.add(to)
	}
	return ok
}

// release queues what may leave of a pacer at now, and reports whether anything still waits.
func (n *Node) release(c *pacer, w *way, out *udp.Batch, now int64) (waits bool) {
	if !c.narrow.Load() {
		return false
	}
	c.adjust(w.pacing(now))
	c.empty()
	for h := c.next(now); h != nil; h = c.next(now) {
		if !h.late {
			h.from.depart(h, out, now)
		}
		n.giveHeld(h)
	}
	return c.rest(out)
}

// depart implements holder.
func (s *slot) depart(h *held, out *udp.Batch, now int64) {
	n := len(h.packet)
	s.mu.Lock()
	defer s.mu.Unlock()
	buf := s.peer.transport.Reserve(out, n)
	if buf == nil {
		return
	}
	copy(buf, h.packet)
	var number []byte
	if h.number != 0 {
		number = buf[h.number:][:2]
	}
	s.peer.way.left(number, n, h.kind, now)
	if s.again != nil {
		s.again.left(binary.BigEndian.Uint16(buf[2:]), number)
	}
	s.peer.transport.Send(out, h.stream, buf, h.head, n)
}

// empty takes out of pictures that wait what is of no use any more, and has what is left of them leave first. Only who releases calls it.
func (c *pacer) empty() {
	if !c.useless.Swap(false) {
		return
	}
	c.mu.Lock()
	waiting := c.pictures
	c.pictures, c.sifting = line{}, true
	c.mu.Unlock()
	var hollow, rest line
	freed := 0
	for h := waiting.pop(); h != nil; h = waiting.pop() {
		before := len(h.packet)
		if h.from.empty(h) {
			freed += before - len(h.packet)
			hollow.push(h)
		} else {
			rest.push(h)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes -= freed
	hollow.append(rest)
	hollow.append(c.pictures)
	c.pictures, c.sifting = hollow, false
}

// empty implements holder: what is left of a packet is its number, which would be a hole.
func (s *slot) empty(h *held) bool {
	if !s.shuns(h.layer) {
		return false
	}
	h.packet = h.packet[:h.head]
	return true
}

// shuns reports whether pictures of a layer that still wait are of no use: the slot shows nothing of the track any more, or has begun with a smaller
// layer, or waits for one and has left out what follows.
func (s *slot) shuns(l *layer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch c := s.current; {
	case c == nil || c.track != l.track:
		return true
	case c != l:
		return l.rank > c.rank
	default:
		return s.starved && s.descends(l)
	}
}

// descends reports whether the slot is to go from a layer down to a smaller one. mu is held.
func (s *slot) descends(l *layer) bool {
	t := s.target
	return t != nil && t.track == l.track && t.rank < l.rank
}

// starves reports whether a packet of the layer that the slot shows is to be left out, because too much waits for the viewer. Then all are, up to
// the next keyframe: a picture is sent as a whole, and none that builds upon one that is missing. mu is held.
func (s *slot) starves(l *layer, p *packet.Packet) bool {
	c := &s.peer.pacer
	narrow := c.narrow.Load()
	switch {
	case s.starved:
		s.starved = !p.Keyframe || !p.StartOfFrame || narrow && (s.descends(l) || c.full(1))
		if s.starved && s.target == l && (!narrow || c.mayPlead(p.Arrival)) {
			l.requestKeyframe(p.Arrival)
		}
		s.picture = p.Timestamp
		return s.starved
	case !narrow || packet.TimestampDiff(p.Timestamp, s.picture) <= 0:
		return false
	}
	s.picture = p.Timestamp
	part := mostWaits - (mostWaits-muchWaits)*float64(s.behind.Load())/100
	if s.bound != l.track || s.best != nil && s.best.rank < l.rank {
		part = littleWaits
	}
	if s.starved = c.full(part); s.starved && part == littleWaits {
		c.useless.Store(true)
	}
	return s.starved
}
