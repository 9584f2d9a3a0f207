package node

import (
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor/pkg/twcc"

	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/internal/sdp"
	"github.com/parley-sfu/parley/internal/udp"
)

// ingress is the receiving side of a transport, whether a participant's or a link's: which SSRC is which layer, and what
// is known of its reception.
type ingress struct {
	node      *Node
	link      bool                          // it is a link's: the other end has no use for reception reports
	transport atomic.Pointer[rtc.Transport] // nil while a link is down
	log       *slog.Logger
	rtt       atomic.Int64  // to the other end, in nanoseconds; 0 until known
	requested atomic.Uint64 // packets that were missing and asked for again

	mu         sync.Mutex
	payloads   payloads
	mid        uint8 // header extension ids; 0 where the client offers none
	rid        uint8
	repaired   uint8
	level      uint8
	twcc       uint8
	byMID      map[string]*published
	streams    map[uint32]stream
	declared   map[uint32]stream // SSRCs named in the offer, for clients that send no mid
	arrivals   *twcc.Recorder    // nil until a packet carries a transport-wide sequence number
	reported   int64             // when feedback was last sent over a link
	unreported int               // numbered packets that came since
	unnumbered int               // others of pictures
	lagging    bool              // one came later than its stream did before
	missing    []uint16          // scratch
	recovered  []recovered       // scratch: what the packet just received has repeated and was missing, or told to have been left out
	late       map[uint32]int64  // SSRCs of pulls that have ended, of which packets may still be on their way, and until when
}

// stream is what an SSRC carries.
type stream struct {
	layer  *layer
	repair bool  // retransmissions of the layer
	pull   *pull // that it came of; nil for a participant's
}

// recovered is a packet that came with another.
type recovered struct {
	layer  *layer
	packet *packet.Packet
}

// maxStreams bounds the SSRCs that one peer may use: eight simulcast tracks with retransmissions fit.
const maxStreams = 64

func newIngress(n *Node, log *slog.Logger) *ingress {
	return &ingress{node: n, log: log, byMID: map[string]*published{}, streams: map[uint32]stream{}, declared: map[uint32]stream{}}
}

// learn takes what an offered sending m-line says of the packets to come.
func (in *ingress) learn(t *published, s *sdp.Section, accepted []sdp.Codec) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.payloads.learn(accepted)
	for uri, id := range map[string]*uint8{
		uriMID: &in.mid, uriRID: &in.rid, uriRepairedRID: &in.repaired, uriAudioLevel: &in.level, uriTWCC: &in.twcc,
	} {
		if offered := s.Extensions[uri]; offered != 0 {
			*id = offered
		}
	}
	in.byMID[t.mid] = t
	if len(s.RIDs) == 0 && s.SSRC != 0 {
		in.declared[s.SSRC] = stream{layer: t.layers[0]}
		if s.RTXSSRC != 0 {
			in.declared[s.RTXSSRC] = stream{layer: t.layers[0], repair: true}
		}
	}
}

// expect chooses the SSRCs that layers of a pull are to come under: each is of one stream only, for as long as the link
// lives.
func (in *ingress) expect(p *pull, layers []*layer) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.level = linkLevel
	for _, l := range layers {
		in.forgetLocked(func(s stream) bool { return s.pull == p && s.layer == l })
		p.Streams[l.rank] = cascade.Stream{
			Media:  in.declareLocked(stream{layer: l, pull: p}),
			Repair: in.declareLocked(stream{layer: l, repair: true, pull: p}),
		}
	}
}

func (in *ingress) declareLocked(s stream) uint32 {
	ssrc := newSSRC()
	for {
		if _, taken := in.declared[ssrc]; !taken {
			in.declared[ssrc] = s
			return ssrc
		}
		ssrc = newSSRC()
	}
}

// restart begins anew with a link whose packets are numbered from the start.
func (in *ingress) restart() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.arrivals, in.late = nil, nil
}

// expire forgets SSRCs under which nothing comes any more.
func (in *ingress) expire(now int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	maps.DeleteFunc(in.late, func(_ uint32, until int64) bool { return now > until })
}

// forget drops everything about a track that is gone.
func (in *ingress) forget(t *published) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.byMID[t.mid] == t {
		delete(in.byMID, t.mid)
	}
	in.forgetLocked(func(s stream) bool { return s.layer.track == t })
}

// forgetPull drops the streams of a pull that has ended.
func (in *ingress) forgetPull(p *pull) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.late == nil {
		in.late = map[uint32]int64{}
	}
	for ssrc, s := range in.streams {
		if s.pull == p {
			in.late[ssrc] = in.node.endpoint.Now() + int64(lateFor)
		}
	}
	in.forgetLocked(func(s stream) bool { return s.pull == p })
}

func (in *ingress) forgetLocked(over func(stream) bool) {
	for _, m := range []map[uint32]stream{in.streams, in.declared} {
		maps.DeleteFunc(m, func(_ uint32, s stream) bool { return over(s) })
	}
}

// identify finds the layer of a packet: by SSRC, else by the mid and rid it carries (RFC 8852), else by what the offer
// declared.
func (in *ingress) identify(h *packet.Header, b []byte) (stream, bool) {
	if s, ok := in.streams[h.SSRC]; ok {
		return s, true
	}
	pl := in.payloads[h.PayloadType]
	if pl.codec == noCodec {
		return stream{}, false
	}
	if s, ok := in.declared[h.SSRC]; ok {
		return s, true
	}
	if len(in.streams) >= maxStreams {
		return stream{}, false
	}
	t := in.byMID[string(h.Extension(b, in.mid))]
	if t == nil || (t.Kind == Audio) != (pl.codec == opus) {
		return stream{}, false
	}
	rid := h.Extension(b, in.rid)
	if pl.repair {
		rid = h.Extension(b, in.repaired)
	}
	for _, l := range t.layers {
		if l.rid == string(rid) {
			return stream{layer: l, repair: pl.repair}, true
		}
	}
	return stream{}, false
}

// wants says whether packets of an SSRC are worth decrypting: only those of known tracks are.
func (in *ingress) wants(h *packet.Header, b []byte) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	_, ok := in.identify(h, b)
	if !ok {
		_, ok = in.late[h.SSRC]
	}
	return ok
}

// lateFor is how long packets of a pull that has ended are still counted as having come: they are not lost.
const lateFor = time.Second

// take accounts for a run of packets, whose references it takes over. They are forwarded when out is flushed, together with
// what others sent at the same time.
func (in *ingress) take(run []*packet.Packet, out *udp.Batch) {
	in.node.count.received.Add(len(run))
	together := spreadOf(out)
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, pkt := range run {
		l := in.receive(pkt)
		for _, r := range in.recovered {
			together.add(r.layer, r.packet)
		}
		in.recovered = in.recovered[:0]
		if l != nil {
			together.add(l, pkt)
		} else {
			pkt.Release()
		}
	}
}

// receive accounts for one packet and returns the layer to forward it in, or nil. in.mu is held, and l.mu is taken under it.
func (in *ingress) receive(p *packet.Packet) *layer {
	s, ok := in.identify(&p.Header, p.Buf)
	if !ok {
		if _, late := in.late[p.SSRC]; late {
			in.arrived(p)
		}
		return nil
	}
	in.streams[p.SSRC] = s
	in.arrived(p)
	l := s.layer
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case s.repair:
		if ssrc := l.ssrc.Load(); ssrc == 0 || packet.UnwrapRTX(p, ssrc, in.payloads[p.PayloadType].other) != nil {
			return nil // padding that probes the bandwidth
		}
	case s.pull == nil:
		if l.ssrc.Swap(p.SSRC) != p.SSRC {
			l.frames = nil
		}
		l.reception.Update(&p.Header, p.Arrival, l.track.clockRate())
	default:
		l.reception.Update(&p.Header, p.Arrival, l.track.clockRate())
		in.lagging = in.lagging || l.reception.Lag(l.track.clockRate()) > int64(linkLag)
		p.SSRC = l.ssrc.Load() // whichever link it came over, viewers' rewriters see one stream
		s.pull.seen[l.rank].Store(p.Arrival)
		if uint8(s.pull.sent.Load())&(1<<l.rank) == 0 {
			l.replaces(p.Arrival)
		}
	}
	carried := packet.AllSizes
	if s.pull != nil && l.track.Kind == Video {
		carried = in.pruned(l, p)
	}
	if s.repair {
		l.loss.Resent(p.Sequence, p.Arrival)
	} else {
		l.loss.Received(p.Sequence, p.Arrival)
	}
	if l.track.Kind == Video && l.loss.Missing() > 0 {
		in.node.hurry()
	}
	if in.payloads[p.PayloadType].red && !in.unwrap(l, p) {
		return nil
	}
	c := in.payloads[p.PayloadType].codec
	if c != l.codec {
		l.codec, l.frames = c, nil
		l.format.Store(uint32(c))
		l.track.room.wakeAll()
	}
	l.describe(p)
	l.limit(p, carried)
	if !l.cache.Put(p) {
		return nil
	}
	l.weigh(p)
	in.observe(l, p)
	return l
}

// observe keeps what others want to know of the layer without looking at packets.
func (in *ingress) observe(l *layer, p *packet.Packet) {
	was := l.lastSeen.Swap(p.Arrival)
	if in.link && l.track.Source == Microphone && p.Arrival-was > int64(hangFor) {
		l.loss.Forget(p.Sequence) // it was hushed meanwhile, or silent
	}
	if was == 0 || p.Arrival-was > int64(silentAfter) && l.track.Source != Microphone { // which may have been quiet
		l.track.room.wakeAll() // a layer that somebody may wait for
	}
	if l.track.Kind == Audio {
		if in.level != 0 {
			l.track.hear(p.Extension(p.Buf, in.level), p.Arrival)
		}
		return
	}
	if p.Keyframe && p.StartOfFrame {
		l.loss.Forget(p.Sequence)
	}
	if l.outline(p) {
		l.track.room.wakeAll()
	}
}

// arrived notes the packet for transport-wide feedback.
func (in *ingress) arrived(p *packet.Packet) {
	if in.twcc == 0 {
		return
	}
	ext := p.Extension(p.Buf, in.twcc)
	if len(ext) < 2 {
		if in.payloads[p.PayloadType].codec != opus {
			in.unnumbered++
		}
		return
	}
	if in.arrivals == nil {
		in.arrivals = twcc.NewRecorder(reportSSRC)
	}
	in.unreported++
	in.arrivals.Record(p.SSRC, uint16(ext[0])<<8|uint16(ext[1]), p.Arrival/1000)
}

// clockRate is the RTP clock of the track in ticks a second.
func (t *published) clockRate() uint32 {
	if t.Kind == Audio {
		return audioRate
	}
	return videoRate
}

// unknownRoundTrip is what is assumed of the other end before ICE has measured it.
const unknownRoundTrip = 60 * time.Millisecond

// roundTrip is the time to the other end and back, with a guess while it is not known.
func (in *ingress) roundTrip() time.Duration {
	if rtt := in.rtt.Load(); rtt != 0 {
		return time.Duration(rtt)
	}
	return unknownRoundTrip
}

// measure takes over how long the way to the other end and back has been found to take.
func (in *ingress) measure() {
	if t := in.transport.Load(); t != nil {
		in.rtt.Store(int64(t.RoundTrip()))
	}
}
