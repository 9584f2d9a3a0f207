package node

import (
	"cmp"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/pion/rtcp"

	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/allocation"
	"github.com/parley-sfu/parley/internal/bandwidth"
	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/internal/udp"
)

// The payload types and header extension ids that all nodes use on links.
const (
	linkOpus        = 111
	linkVP8         = 96
	linkVP9         = 98
	linkAV1         = 100
	linkH264        = 102
	linkRepair      = 1 // added to a format's payload type
	linkLevel       = 1
	linkOrientation = 2
	linkNumber      = 3 // transport-wide
	linkDescriptor  = 4
	linkLeftOut     = 5 // packet.Notice
)

// linkFormats is how each codec is sent over links.
func linkFormats() [codecCount]format {
	return [codecCount]format{
		opus: {linkOpus, linkOpus + linkRepair}, vp8: {linkVP8, linkVP8 + linkRepair}, h264: {linkH264, linkH264 + linkRepair},
		vp9: {linkVP9, linkVP9 + linkRepair}, av1: {linkAV1, linkAV1 + linkRepair},
	}
}

func linkPayloads() (ps payloads) {
	for c, f := range linkFormats() {
		if f.pt == 0 {
			continue
		}
		ps[f.pt] = payload{codec: codec(c), other: f.rtx}
		if f.rtx != 0 {
			ps[f.rtx] = payload{codec: codec(c), repair: true, other: f.pt}
		}
	}
	return ps
}

// outlet sends the layers of one track that another node pulls. Sequence numbers, timestamps and payloads stay as they
// are: the layer's cache answers requests for what was lost on the link.
type outlet struct {
	relay   *relay
	key     feedKey
	link    *cascade.Link
	track   *published
	feed    *feed // of a track that is passed on; nil for an own one
	formats [codecCount]format
	asked   atomic.Uint32 // layers that the other node wants, as bits
	sends   atomic.Uint32 // those, and others in place of those that do not come; see substitute.go
	streams [maxLayers]*outletStream

	sizes    atomic.Uint32 // spatial layers of a single stream that it wants, as bits; 0 for all
	priority atomic.Uint32 // of the track, behind the link

	way *way // over the link

	standing standing // of the track; only the node's ticker uses it

	// Guarded by the room's mutex.
	limited bool             // granted counts
	granted allocation.Grant // of what the link carries
	since   [maxLayers]int64 // when a layer was first asked for
	until   [maxLayers]int64 // how long a layer is sent in place of another
}

// outletStream is one layer of an outlet. It implements sending.
type outletStream struct {
	outlet *outlet
	layer  *layer

	mu       sync.Mutex
	media    rtc.Stream
	repair   rtc.Stream
	repairAt uint16
	ext      packet.Extensions
	packets  uint32
	octets   uint32
	credit   int
	leaving  int64          // when what is being sent leaves
	numbered bool           // it has a transport-wide sequence number
	pruner   *packet.Pruner // of a stream with several sizes that not all are wanted of; nil before
	seconds  uint32         // with a clock to report, under this SSRC or since the layer began

	// No number may be sent twice under one key, and none twice in turn: see replay.
	started  bool
	newest   uint16 // number sent; valid once started
	latest   int64  // when the packet came that was sent last
	hushed   bool   // nothing was sent of late of a microphone that is not heard
	held     bool   // packets are not sent as they come: replay will find them in the cache
	replayed bool   // settled is valid
	settled  uint16 // up to here a packet that comes late is sent as a retransmission only
}

func newOutlet(r *relay, link *cascade.Link, t *published, f *feed, p *cascade.Pull) *outlet {
	o := &outlet{
		relay: r, link: link, way: r.way.Load(), track: t, feed: f, formats: linkFormats(),
		key: feedKey{t.ID, cmp.Or(p.Origin, r.node.id)},
	}
	for rank, l := range t.layers {
		o.streams[rank] = &outletStream{
			outlet: o, layer: l, credit: maxCredit / 2,
			media: rtc.Stream{SSRC: p.Streams[rank].Media}, repair: rtc.Stream{SSRC: p.Streams[rank].Repair},
		}
	}
	return o
}

// renamed reports whether a pull has nothing to do with the outlet any more: it names other SSRCs for all layers.
func (o *outlet) renamed(p *cascade.Pull) bool {
	for rank := range o.track.layers {
		if o.streams[rank].media.SSRC == p.Streams[rank].Media {
			return false
		}
	}
	return true
}

// destination implements subscriber.
func (o *outlet) destination() uint64 { return o.relay.number }

// forward implements subscriber.
func (o *outlet) forward(l *layer, run []*packet.Packet, out *udp.Batch) (sent int) {
	t := o.link.Transport()
	if uint8(o.sends.Load())&(1<<l.rank) == 0 || !t.Ready() {
		return 0
	}
	s := o.streams[l.rank]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = o.relay.node.endpoint.Now()
	quiets := o.feed == nil && l.track.Source == Microphone
	for _, p := range run {
		if !s.late(p) && (!quiets || s.speaks(p, out)) && s.send(t, p, out) {
			sent++
		}
	}
	return sent
}

// late reports whether a packet is not to be sent as it comes. mu is held.
func (s *outletStream) late(p *packet.Packet) bool {
	if !s.replayed {
		return s.held
	}
	ahead := packet.SeqDiff(p.Sequence, s.settled)
	s.replayed = ahead < settledFor
	return s.held || ahead <= 0
}

// settledFor is how many packets behind a replay no packet in front of it is expected any more.
const settledFor = 4096

// send writes one packet into the batch. mu is held.
func (s *outletStream) send(t *rtc.Transport, p *packet.Packet, out *udp.Batch) bool {
	carry, marker := s.carries(p)
	if !carry {
		return false
	}
	f := s.outlet.formats[s.layer.format.Load()]
	buf := t.Reserve(out, len(p.Buf)+headerRoom)
	if f.pt == 0 || buf == nil {
		return false
	}
	head := len(packet.AppendHeader(buf[:0], marker, f.pt, p.Sequence, p.Timestamp, s.media.SSRC, s.extensions(p, marker, true)))
	n := head + copy(buf[head:], p.Payload())
	if !s.dispatch(out, &s.media, buf, head, n, bandwidth.Media, s.leaving) {
		return false
	}
	if !s.started || packet.SeqLess(s.newest, p.Sequence) {
		s.started, s.newest, s.latest = true, p.Sequence, p.Arrival
	}
	s.credit = min(s.credit+1, maxCredit)
	s.packets++
	s.octets += uint32(n - head)
	return true
}

// extensions returns the header extensions that go with a packet, which ends a picture or does not, or with its number alone.
func (s *outletStream) extensions(p *packet.Packet, ends, whole bool) *packet.Extensions {
	s.ext.Reset()
	s.numberLocked(s.outlet.track.Kind == Video && (s.outlet.relay.pacer.narrow.Load() || ends && s.outlet.way.due()))
	if s.pruner != nil {
		var room [8]byte
		if notice := s.pruner.AppendNotice(room[:0], p.Sequence); len(notice) > 0 {
			s.ext.Add(linkLeftOut, notice)
		}
	}
	if !whole {
		return &s.ext
	}
	from := s.outlet.track.ids
	for _, e := range [...]struct{ to, from uint8 }{{linkLevel, from.level}, {linkOrientation, from.orientation}, {linkDescriptor, from.descriptor}} {
		if e.from != 0 {
			if v := p.Extension(p.Buf, e.from); v != nil {
				s.ext.Add(e.to, v)
			}
		}
	}
	return &s.ext
}

// resend implements sending.
func (s *outletStream) resend(seq uint16, now int64, out *udp.Batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.outlet.formats[s.layer.format.Load()]
	if s.credit < 2 || f.rtx == 0 || !s.started || s.outlet.feed == nil && s.layer.track.voice.hushed.Load() {
		return false
	}
	p := s.layer.cache.Get(seq)
	if p == nil {
		return false
	}
	defer p.Release()
	if s.outlet.track.Kind == Video && !s.outlet.repairs(s.layer, len(p.Buf)+overhead, now) {
		return false
	}
	t := s.outlet.link.Transport()
	buf := t.Reserve(out, len(p.Buf)+headerRoom)
	if buf == nil {
		return false
	}
	s.credit -= 2
	carry, marker := s.carries(p)
	head := len(packet.AppendHeader(buf[:0], marker, f.rtx, s.repairAt, p.Timestamp, s.repair.SSRC, s.extensions(p, marker, carry)))
	n := len(packet.AppendRTX(buf[:head], p.Sequence))
	if carry { // else it was lost before it was known that it is left out: its number is all that is missing
		n += copy(buf[n:], p.Payload())
	} else {
		s.outlet.relay.voids.Add(1)
	}
	s.repairAt++
	s.outlet.relay.resent.Add(1)
	return s.dispatch(out, &s.repair, buf, head, n, bandwidth.Retransmission, now)
}

// repairs reports whether n bytes of a layer may be sent again. A link that is too narrow does not carry what a layer lost that was
// given up for it.
func (o *outlet) repairs(l *layer, n int, now int64) bool {
	if o.way.narrowed.Load() && uint8(o.sends.Load())&(1<<l.rank) == 0 {
		return false
	}
	return o.way.repairs(n, now)
}

// refresh implements sending.
func (s *outletStream) refresh(now int64) { s.layer.requestKeyframe(now) }

// wants implements subscriber.
func (o *outlet) wants(*published) wanted {
	return wanted{layers: o.wanted(), sizes: o.sizesNeeded(), priority: uint8(o.priority.Load())}
}

// wanted returns, as bits, the layers that are asked for or sent.
func (o *outlet) wanted() uint8 { return uint8(o.asked.Load() | o.sends.Load()) }

// rename takes new SSRCs for layers that have been off for long.
func (o *outlet) rename(p *cascade.Pull) {
	r := o.relay
	r.mu.Lock()
	defer r.mu.Unlock()
	renamed := false
	for rank := range o.track.layers {
		s, to := o.streams[rank], p.Streams[rank]
		if s.media.SSRC == to.Media || to.Media == 0 || !r.take(to.Media) || !r.take(to.Repair) {
			continue
		}
		renamed = true
		s.mu.Lock()
		s.media, s.repair = rtc.Stream{SSRC: to.Media}, rtc.Stream{SSRC: to.Repair}
		s.started, s.replayed, s.seconds = false, false, 0
		s.mu.Unlock()
	}
	if renamed {
		r.relabel()
	}
}

const (
	// The first reports of a stream come every second, so that picture and sound find together soon; later ones, which say
	// nothing new, every reportRarer seconds.
	firstReports = 5
	reportRarer  = 5

	// maxReports is how many sender reports fit into a datagram.
	maxReports = 40
)

// senderReports passes the publisher's clocks on, unchanged: timestamps are the same on both sides of a link. It is
// called every second.
func (o *outlet) senderReports(now int64) []rtcp.Packet {
	var reports []rtcp.Packet
	for left := uint8(o.sends.Load()); left != 0; left &= left - 1 {
		s := o.streams[bits.TrailingZeros8(left)]
		clock := s.layer.clock.Load()
		s.mu.Lock()
		if clock != nil && s.started {
			if s.seconds++; s.seconds <= firstReports || s.seconds%reportRarer == 0 {
				reports = append(reports, report(*clock, now, 0, s.media.SSRC, s.packets, s.octets))
			}
		}
		s.mu.Unlock()
	}
	return reports
}
