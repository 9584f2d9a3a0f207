package node

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/parley-sfu/parley/internal/allocation"
	"github.com/parley-sfu/parley/internal/bandwidth"
	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/internal/sdp"
	"github.com/parley-sfu/parley/internal/udp"
)

// slot is one receiving m-line of a subscriber: an RTP stream of its own that shows one track after another.
//
// The room's worker decides what a slot shows (bound, target); the packets' way only follows: it moves current to target
// at a keyframe.
type slot struct {
	// What each packet needs comes first, in as few cache lines as may be: of very many slots nothing is in the CPU's caches.
	mu   sync.Mutex // guards what follows, but for what is fixed
	peer *Peer
	showing
	media    rtc.Stream
	packets  uint32
	octets   uint32
	lastTime uint32 // RTP timestamp last sent
	picture  uint32 // RTP timestamp of the newest picture that came, while the way is narrow
	heardTo  int64  // arrival of the packet last sent
	dated    int64  // arrival of the packet that the time of capture was last sent with; 0 before, and since something else began
	leaving  int64  // when what is being sent leaves, where the way is measured
	credit   int    // retransmissions that may be made, in halves of a packet
	numberAt uint8  // where the packet written last has its transport-wide sequence number
	thinned  bool   // not all is sent: thin says what
	starved  bool   // packets are left out up to the next keyframe

	// Fixed once negotiated.
	number  uint8 // header extension id of the transport-wide sequence number; 0 if the client does not tell which came
	capture uint8 // likewise of the time of capture; 0 if the client does not ask for it
	ids     extensionIDs
	formats [codecCount]format
	kind    Kind
	again   again // what is remembered of voices, which have no stream of retransmissions
	mid     string

	rewriter packet.Rewriter

	thin     *choice   // nil until the slot is first limited, or shows a stream with layers in itself
	climbing int64     // when more pictures were last asked for
	priority uint8     // of the wish, for links
	shown    [4]*layer // by generation of the rewriter, for retransmissions; none of a track that is gone
	repair   rtc.Stream
	repairAt uint16   // sequence number of the next retransmission
	resent   []resent // by sequence number modulo 256; made for the first retransmission
	seconds  uint32   // with a clock to report, since the slot last began with something else
	caughtUp int64    // when the slot last began from the cache; 0 before

	behind atomic.Int32 // of a hundred slots of the viewer's, how many are more important; 0 for those that nothing is taken from

	// The room's mutex guards the wish, what was last told, and the layers that list the slot.
	wish   SlotRequest
	drawn  [2]*layer
	reason string
	told   Slot

	// Likewise: the slot's share of what the way to the subscriber carries.
	limited bool             // grant counts
	grant   allocation.Grant // of the track granted
	granted string
}

// format is how a slot sends one codec; pt is 0 when the client does not know the codec.
type format struct{ pt, rtx uint8 }

// extensionIDs are the header extension ids of one m-line that are carried from publishers to subscribers; 0 is none.
type extensionIDs struct{ level, orientation, descriptor uint8 }

func extensionsOf(s *sdp.Section) extensionIDs {
	return extensionIDs{s.Extensions[uriAudioLevel], s.Extensions[uriOrientation], s.Extensions[uriDescriptor]}
}

// resent remembers when a packet was last retransmitted.
type resent struct {
	seq uint16
	at  int64
}

// resentMemory is how many retransmissions a slot remembers.
const resentMemory = 256

// resendInterval is the least time in nanoseconds between two retransmissions of one packet to one viewer.
const resendInterval = 15e6

// maxCredit bounds retransmissions to a viewer, however many it asks for: one for two packets sent, and bursts of half of
// this.
const maxCredit = 512

// headerRoom is more than any header written by a slot takes, with the descriptor's growth and the RTX number.
const headerRoom = 64

func newSlot(p *Peer, s *sdp.Section, accepted []sdp.Codec) *slot {
	sl := &slot{peer: p, mid: s.MID, kind: Video}
	if Kind(s.Kind) == Audio { // not the offer's own bytes, which are somewhere else for each viewer: it is looked at with each packet
		sl.kind = Audio
	}
	sl.media.SSRC, sl.repair.SSRC = newSSRC(), newSSRC()
	sl.repairAt, sl.credit = uint16(rand.Uint32()), maxCredit/2
	sl.ids = extensionsOf(s)
	sl.capture = s.Extensions[uriCapture]
	for _, f := range accepted {
		sl.formats[codecOf(f)] = format{f.PayloadType, f.RTX}
	}
	if slices.ContainsFunc(accepted, func(f sdp.Codec) bool { return slices.Contains(f.Feedback, feedbackTWCC) }) {
		sl.number = s.Extensions[uriTWCC]
	}
	if sl.number != 0 {
		p.way.number()
	}
	if sl.kind == Audio && slices.ContainsFunc(accepted, func(f sdp.Codec) bool { return f.RTX == 0 && slices.Contains(f.Feedback, feedbackNACK) }) {
		sl.again = newAgain()
	}
	return sl
}

// knows reports whether the subscriber can decode a codec in this slot. A codec nobody knows yet counts as known.
func (s *slot) knows(c codec) bool { return c == noCodec || s.formats[c].pt != 0 }

// destination implements subscriber.
func (s *slot) destination() uint64 { return s.peer.number }

// forward implements subscriber: it sends a run of packets of one layer if the slot shows the layer, or can begin to.
func (s *slot) forward(l *layer, run []*packet.Packet, out *udp.Batch) (sent int) {
	if !s.peer.transport.Ready() {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.departLocked()
	for _, p := range run {
		if s.forwardLocked(l, p, out) {
			sent++
		}
	}
	return sent
}

// forwardLocked sends one packet, and reports whether it did.
func (s *slot) forwardLocked(l *layer, p *packet.Packet, out *udp.Batch) bool {
	if l != s.current && s.kind == Audio {
		s.beginEarly(l, p, out)
	}
	if l != s.current && !s.begin(l, p) {
		return false
	}
	return s.pass(l, p, out)
}

// pass sends one packet of the layer that the slot shows. mu is held.
func (s *slot) pass(l *layer, p *packet.Packet, out *udp.Batch) bool {
	keep, marker := p.PayloadLen != 0, p.Marker
	if keep && (s.thinned || p.VP9.HasLayers || p.Descriptor.Structure != nil) {
		keep, marker = s.keeps(l, p)
	}
	if !keep {
		s.rewriter.Skip(p)
		return false
	}
	if s.kind == Video && s.starves(l, p) {
		s.rewriter.Skip(p)
		return false
	}
	o, ok := s.rewriter.Rewrite(p)
	if ok && marker != o.Marker {
		s.rewriter.Mark(&o)
	}
	return ok && s.send(l, p, o, out)
}

// begin switches to l if that is what the slot waits for and p is a place where a decoder can start.
func (s *slot) begin(l *layer, p *packet.Packet) bool {
	if l != s.target || p.PayloadLen == 0 {
		return false
	}
	if s.kind == Video && (!p.Keyframe || !p.StartOfFrame) {
		return false
	}
	hint := packet.TimestampHint{ClockRate: l.track.clockRate()}
	if s.current != nil && s.current.track.ID == l.track.ID {
		if previous, next := s.current.clock.Load(), l.clock.Load(); previous != nil && next != nil {
			hint = packet.Align(*previous, *next, p.Timestamp)
		}
	}
	if s.current != nil && s.current.rank > l.rank {
		s.peer.pacer.useless.Store(true)
	}
	s.current.changes()
	l.changes()
	s.rewriter.Switch(p, hint)
	s.current, s.seconds, s.dated = l, 0, 0
	s.picture, s.starved = p.Timestamp, false
	s.thinAnew(p)
	s.shown[s.rewriter.Generation()%uint32(len(s.shown))] = l
	s.peer.room.wake(s.peer)
	return true
}

// send writes one packet into the batch. mu is held.
func (s *slot) send(l *layer, p *packet.Packet, o packet.Out, out *udp.Batch) bool {
	f := s.formats[l.format.Load()]
	if f.pt == 0 {
		return false
	}
	buf := s.peer.transport.Reserve(out, len(p.Buf)+headerRoom)
	if buf == nil {
		return false
	}
	captured := s.captured(l, p)
	head := s.header(buf, l, p, o, f.pt, o.Sequence, s.media.SSRC, captured)
	n := head + s.payload(buf[head:], p, o)
	if s.again != nil {
		s.again.wrote(o.Sequence, captured)
	}
	if s.dispatch(out, &s.media, buf, head, n, bandwidth.Media, s.leaving) == 0 {
		return false
	}
	s.credit = min(s.credit+1, maxCredit)
	s.packets++
	s.octets += uint32(n - head)
	s.lastTime, s.heardTo = o.Timestamp, p.Arrival
	return true
}

// payload copies the payload as this slot numbers it and returns its length.
func (s *slot) payload(dst []byte, p *packet.Packet, o packet.Out) int {
	switch {
	case p.VP8.Size != 0:
		return packet.RewriteVP8(dst, p.Payload(), &p.VP8, o.PictureID, o.TL0)
	case p.VP9.Size != 0:
		return packet.RewriteVP9(dst, p.Payload(), &p.VP9, o.PictureID, o.TL0)
	}
	return copy(dst, p.Payload())
}

// header writes the RTP header of a packet, with the header extensions that go along under the subscriber's ids, and returns how long it is. The
// time of capture is 0 where it does not go along. mu is held.
func (s *slot) header(buf []byte, l *layer, p *packet.Packet, o packet.Out, pt uint8, seq uint16, ssrc uint32, captured uint64) int {
	var ext packet.Extensions
	s.numberedLocked(&ext)
	if captured != 0 {
		var date [8]byte
		binary.BigEndian.PutUint64(date[:], captured)
		ext.Add(s.capture, date[:])
	}
	from := l.track.ids
	if s.ids.level != 0 && from.level != 0 {
		if v := p.Extension(p.Buf, from.level); v != nil {
			ext.Add(s.ids.level, v)
		}
	}
	if s.ids.orientation != 0 && from.orientation != 0 {
		if v := p.Extension(p.Buf, from.orientation); v != nil {
			ext.Add(s.ids.orientation, v)
		}
	}
	if s.ids.descriptor != 0 && p.Descriptor.Structure != nil {
		ext.AddDescriptor(s.ids.descriptor, p.Extension(p.Buf, from.descriptor), o.Frame)
	}
	s.numberAt = uint8(ext.First())
	return len(packet.AppendHeader(buf[:0], o.Marker, pt, seq, o.Timestamp, ssrc, &ext))
}

// resend answers one requested sequence number from the layer's cache (RFC 4588), and reports whether it did.
func (s *slot) resend(seq uint16, now int64, out *udp.Batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resendLocked(seq, s.patience(), now, out)
}

// resendLocked does so for a packet that was not sent again for so many nanoseconds.
func (s *slot) resendLocked(seq uint16, patience, now int64, out *udp.Batch) bool {
	if s.again != nil {
		return s.resendVoice(seq, now, out)
	}
	if s.resent == nil {
		s.resent = make([]resent, resentMemory)
	}
	last := &s.resent[seq%resentMemory]
	if s.credit < 2 || last.seq == seq && last.at != 0 && now-last.at < patience {
		return false
	}
	if !s.resendPicture(seq, now, out) {
		return false
	}
	*last = resent{seq, now}
	s.repeat(seq, now)
	return true
}

// resendPicture sends a packet of a picture again, in the stream of retransmissions. mu is held.
func (s *slot) resendPicture(seq uint16, now int64, out *udp.Batch) bool {
	l, p, o := s.sentAsLocked(seq)
	if p == nil {
		return false
	}
	defer p.Release()
	f := s.formats[l.format.Load()]
	if f.rtx == 0 || !s.peer.pacer.mayRepair(len(p.Buf)+overhead, now) {
		return false
	}
	s.credit -= 2
	buf := s.peer.transport.Reserve(out, len(p.Buf)+headerRoom)
	if buf == nil {
		return false
	}
	head := s.header(buf, l, p, o, f.rtx, s.repairAt, s.repair.SSRC, 0)
	body := len(packet.AppendRTX(buf[:head], o.Sequence))
	n := body
	if !o.Empty && !s.leavesOut(l, p) {
		n += s.payload(buf[body:], p, o)
	}
	s.repairAt++
	return s.dispatch(out, &s.repair, buf, head, n, bandwidth.Retransmission, now) != 0
}

// sentAsLocked finds the packet that has a sequence number of the slot's, its layer and how it was rewritten. The caller releases it; it is
// nil when it is not to be had any more.
func (s *slot) sentAsLocked(seq uint16) (l *layer, p *packet.Packet, o packet.Out) {
	generation, in, ok := s.rewriter.Source(seq)
	l = s.shown[generation%uint32(len(s.shown))]
	if !ok || l == nil {
		return nil, nil, o
	}
	if p = l.cache.Get(in); p == nil {
		return nil, nil, o
	}
	if o, ok = s.rewriter.RewriteAgain(generation, p); !ok {
		p.Release()
		return nil, nil, o
	}
	return l, p, o
}

// departLocked notes the time at which what is sent next leaves.
func (s *slot) departLocked() {
	if s.peer.way.measured.Load() {
		s.leaving = s.peer.node.endpoint.Now()
	}
}

// numberedLocked makes room for a packet's transport-wide sequence number, in front of all other extensions.
func (s *slot) numberedLocked(ext *packet.Extensions) {
	if s.number != 0 {
		ext.Add(s.number, []byte{0, 0})
	}
}

// numberIn is where the packet that was written last has its transport-wide sequence number; nil when it has none.
func (s *slot) numberIn(buf []byte) []byte {
	if s.number == 0 {
		return nil
	}
	return buf[s.numberAt:][:2]
}

// leaves notes a packet of n bytes, the first head of them a header with the extensions of the slot, that leaves at now. mu is held.
func (s *slot) leaves(buf []byte, head, n int, kind bandwidth.Kind, now int64) {
	w := &s.peer.way
	if !w.measured.Load() {
		return
	}
	w.left(s.numberIn(buf), n, kind, now)
	if w.manifest.on.Load() {
		w.note(s, buf, head, kind)
	}
}

// showing is what a slot does at one moment.
type showing struct {
	bound   *published // nil when empty
	best    *layer     // the most the slot could use, sent or not
	target  *layer     // to be shown; nil while paused
	upTo    extent     // how much of the target
	current *layer     // being shown; nil until the target's first keyframe
}

// show says what the slot is to show from now on: some extent of a layer of a track, nothing of a track (paused), or nothing at all. It
// reports whether a keyframe is needed for that. Before is the stream that t takes over from, if any: it may be shown until then.
func (s *slot) show(t, before *published, best, target *layer, upTo extent, priority uint8) (needsKeyframe bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.best != best || s.target != target || s.upTo.spatial != upTo.spatial || s.priority != priority {
		for _, l := range [...]*layer{s.best, s.target, best, target} {
			l.changes()
		}
	}
	s.bound, s.best, s.target, s.upTo, s.priority = t, best, target, upTo, priority
	if c := s.current; c != nil && (target == nil || c.track != t && c.track != before) {
		c.changes()
		s.current = nil
		s.peer.pacer.useless.Store(true)
	}
	s.thinLocked()
	s.forgetLocked()
	return target != nil && s.kind == Video && (s.current != target || s.misfitsLocked())
}

// urgency is a priority as links tell it.
func urgency(priority int) uint8 { return uint8(min(max(priority, 0), math.MaxUint8)) }

// forgetLocked lets go of tracks that are gone: nothing of them can be sent again. A layer leads to its publisher, and so to what that
// one was shown: whoever kept it would keep everybody who was ever here.
func (s *slot) forgetLocked() {
	for i, l := range s.shown {
		if l != nil && l.track.gone.Load() {
			s.shown[i] = nil
		}
	}
}

// leave empties the slot of a subscriber who has left.
func (s *slot) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.showing, s.shown = showing{}, [len(s.shown)]*layer{}
}

func (s *slot) state() showing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.showing
}

// waitsFor reports whether the slot needs a keyframe of l. One whose viewer is still connecting does not: it would be lost.
func (s *slot) waitsFor(l *layer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.target == l && (s.current != l || s.stuckLocked()) && s.peer.transport.Ready()
}
