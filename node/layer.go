package node

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/sdp"
	"github.com/parley-sfu/parley/internal/udp"
)

// published is a track on the node that its publisher is connected to.
type published struct {
	Track
	room    *room
	sender  publisher // where its packets come from, and who is told which layers to send
	mid     string
	order   uint64   // of publication in the room
	layers  []*layer // lowest first; exactly one without simulcast
	ids     extensionIDs
	muted   atomic.Bool
	voice   voice
	silence silence
	gone    atomic.Bool // nothing comes any more; slots forget the track when the room looks at them again

	// Guarded by the room's mutex; see succession.go.
	before   *published // the stream that this one takes over from; nil when there is none
	liveFrom int64      // when the first packet was seen to have come; 0 before
	orphaned int64      // when the owner of a stream that is being taken over from gave it up; 0 before

	heard  atomic.Bool // of another node's microphone: its level is listened to, whether a slot shows it or not
	demand demand

	spared atomic.Int64 // until when sizes that are not sent are still to be had, of a stream that has several in itself: not all are asked for, or only just are

	toldMu    sync.Mutex               // guards what follows; taken by the room's worker and the ticker
	told      uint8                    // layers that the publisher was last told to send, as bits
	toldSizes uint8                    // likewise the spatial layers of a single stream; 0 for all
	urged     uint8                    // the priority that it was last told, if it is another node
	keep      [maxLayers]int64         // when a layer may be given up, at the earliest
	keepSizes [packet.MaxSpatial]int64 // likewise a spatial layer
	asked     [maxLayers]int64         // when the publisher was last told to send it, who had not been to
}

// demand is what all subscribers of a track want together. It is counted anew only when that may have changed: whoever changes what a
// slot or a link shows, or could use, marks it as stale.
type demand struct {
	stale atomic.Bool

	mu sync.Mutex // held while it is counted; guards what follows
	wanted
}

// wanted is what somebody wants of a track.
type wanted struct {
	layers      uint8 // as bits: those that are needed or could be used
	viewers     uint8 // those of them that viewers here need or could use. They are kept for a while after they are wanted no more; another node has done so itself
	sizes       uint8 // likewise of the spatial layers of a single stream. The highest bit stands for the largest there is
	viewerSizes uint8
	priority    uint8 // the highest that a viewer has given it
}

func (w *wanted) add(o wanted) {
	w.layers |= o.layers
	w.viewers |= o.viewers
	w.sizes |= o.sizes
	w.viewerSizes |= o.viewerSizes
	w.priority = max(w.priority, o.priority)
}

// changes notes that a subscriber wants the layer, if there is one, no more, or does from now on.
func (l *layer) changes() {
	if l != nil {
		l.track.demand.stale.Store(true)
	}
}

// subscription is one entry of a layer's list of subscribers, which is in the order of destinations.
type subscription struct {
	subscriber

	to uint64 // its destination
}

// subscriber is who shows a layer: a slot, or a link to another node.
type subscriber interface {
	// destination is a number that all subscribers have in common whose packets leave for the same remote, and no others.
	destination() uint64
	// forward takes a run of the layer's packets, on the goroutine that received them, and returns how many it sent on.
	forward(l *layer, run []*packet.Packet, out *udp.Batch) (sent int)
	// wants returns what the subscriber wants of a track.
	wants(t *published) wanted
	// waitsFor reports whether the subscriber needs a keyframe of l.
	waitsFor(l *layer) bool
}

// publisher is who a track comes from: a participant of this node (*Peer), or other nodes (*feed).
type publisher interface {
	// layersWanted says what somebody wants. It does not block.
	layersWanted(t *published, w wanted)
	// refreshLayer asks for a keyframe.
	refreshLayer(l *layer)
}

const (
	maxLayers = 3

	// unwantedFor is how long no viewer must have wanted a layer before its publisher, or the node that it is pulled from,
	// is told. It counts once on a layer's way, at the node that the viewer is on: a publisher knows within a second.
	unwantedFor = 500 * time.Millisecond

	// brokenFor is how long a layer is kept for another node after the link to it has died: it may come back another way.
	brokenFor = 2 * time.Second

	// silentAfter is how long a layer without packets still counts as being sent.
	silentAfter = 700 * time.Millisecond

	// keyframeInterval is the least time between two keyframe requests for one layer, over all who want one.
	keyframeInterval = 200 * time.Millisecond

	// cacheFor is how long packets are kept for retransmission: longer than any viewer still waits for one.
	cacheFor = 3 * time.Second

	videoCache = 1024 // packets kept of a video layer, about two seconds of 4 Mbit/s
	audioCache = 64   // about a second
)

// layer is one RTP stream of a published track. It is safe for concurrent use.
type layer struct {
	track *published
	rid   string // empty for audio and without simulcast
	rank  int    // 0 is the lowest
	cache *packet.Cache

	// A layer of another node's track can come over two links at once, while one takes over from the other: the same packets,
	// of which the cache lets each pass once.
	mu        sync.Mutex // guards what follows
	codec     codec
	frames    *packet.DescriptorReader // nil until a dependency descriptor comes
	active    uint32                   // decode targets that it said are sent
	carried   uint8                    // spatial layers that come over a link, as bits
	loss      packet.Loss
	reception packet.Reception
	lastSR    uint32 // middle 32 bits of the last sender report's NTP time
	lastSRAt  int64  // when that came; 0 before the first

	ssrc     atomic.Uint32 // 0 until the first packet of a participant; chosen by this node, whatever the link, for others
	subs     atomic.Pointer[[]subscription]
	clock    atomic.Pointer[packet.Clock]
	format   atomic.Uint32 // codec, for those who choose layers
	lastSeen atomic.Int64
	temporal atomic.Uint32                            // highest temporal layer seen
	spatial  atomic.Uint32                            // highest spatial layer of the stream itself
	highest  atomic.Uint32                            // likewise, with those that are not sent because nobody wants them
	scale                                             // of the whole stream
	scales   atomic.Pointer[[packet.MaxSpatial]scale] // by spatial layer; nil while there has been one only

	replaced atomic.Int64 // when another node last sent a lower layer in place of this one; 0 before

	asked   atomic.Int64 // when a keyframe was last requested
	wasLive atomic.Bool
	pending atomic.Bool // one more is to be requested when keyframeInterval has passed
}

func newPublished(p *Peer, id string, source Source, s *sdp.Section) *published {
	t := &published{
		Track: Track{ID: id, ParticipantID: p.id, Kind: source.Kind(), Source: source},
		room:  p.room, sender: p, mid: s.MID, ids: extensionsOf(s),
	}
	rids := s.RIDs
	switch {
	case t.Kind == Audio:
		rids = []string{""}
	case len(rids) == 0:
		rids, t.Layers = []string{""}, []string{"f"}
	default:
		rids = lowestFirst(rids)
		t.Layers = rids
	}
	t.makeLayers(rids)
	t.told = 1<<len(t.layers) - 1 // a client sends everything until it is told
	return t
}

// makeLayers gives the track a layer for each rid, lowest first.
func (t *published) makeLayers(rids []string) {
	size := videoCache
	if t.Kind == Audio {
		size = audioCache
	}
	for rank, rid := range rids {
		l := &layer{track: t, rid: rid, rank: rank, cache: packet.NewCache(size), carried: packet.AllSizes}
		l.subs.Store(&[]subscription{})
		l.asked.Store(-int64(keyframeInterval))
		t.layers = append(t.layers, l)
		t.asked[rank] = t.room.node.endpoint.Now()
		t.keep[rank] = t.asked[rank] + int64(unwantedFor)
	}
}

// lowestFirst sorts the usual names of layers; of others the offer's order counts.
func lowestFirst(rids []string) []string {
	const usual = "qhf"
	rids = slices.Clone(rids)
	for _, rid := range rids {
		if len(rid) != 1 || !contains(usual, rid[0]) {
			return rids
		}
	}
	slices.SortFunc(rids, func(a, b string) int { return index(usual, a[0]) - index(usual, b[0]) })
	return rids
}

func contains(s string, c byte) bool { return index(s, c) >= 0 }

func index(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return -1
}

// name is what clients call the layer.
func (l *layer) name() string {
	if l.track.Kind == Video && l.rid == "" {
		return "f"
	}
	return l.rid
}

// forward gives a run of the layer's packets to everyone who shows it, on the goroutine that received them. Each gets the
// whole run before the next, so that a frame's packets to one viewer stand side by side in the batch. Of several layers
// forwardTogether takes care.
func (l *layer) forward(run []*packet.Packet, out *udp.Batch) {
	if l.track.muted.Load() {
		return
	}
	sent := 0
	for _, s := range *l.subs.Load() {
		sent += s.forward(l, run, out)
	}
	l.track.room.node.count.sent.Add(sent)
}

// remote reports whether the track comes from another node.
func (t *published) remote() bool {
	_, remote := t.sender.(*feed)
	return remote
}

// live reports whether packets of the track have come of late.
func (t *published) live(now int64) bool {
	return slices.ContainsFunc(t.layers, func(l *layer) bool { return l.live(now) })
}

// live reports whether packets of the layer have come of late.
func (l *layer) live(now int64) bool {
	seen, replaced := l.lastSeen.Load(), l.replaced.Load()
	patience := silentAfter
	if replaced != 0 && now-replaced < int64(silentAfter) {
		patience = replacedAfter
	}
	return seen != 0 && now-seen < int64(patience)
}

// requestKeyframe asks the publisher for a keyframe, at once or, if none has come by then, as soon as the last request is keyframeInterval old.
// Whoever else asks meanwhile is served by the same one. A layer that does not come from another node yet begins with a
// keyframe anyway.
func (l *layer) requestKeyframe(now int64) {
	if l.track.remote() && !l.live(now) {
		return
	}
	last := l.asked.Load()
	if now-last < int64(keyframeInterval) || !l.asked.CompareAndSwap(last, now) {
		l.pending.Store(true)
		l.track.room.node.hurry()
		return
	}
	l.pending.Store(false)
	l.track.sender.refreshLayer(l)
}

// retryKeyframe serves a request that had to wait.
func (l *layer) retryKeyframe(now int64) {
	if l.pending.Load() && now-l.asked.Load() >= int64(keyframeInterval) {
		l.requestKeyframe(now)
	}
}

// attach and detach change who is given the layer's packets. They copy, so that forward needs no lock; callers hold the
// room's mutex, which is what orders them.
func (l *layer) attach(s subscriber) {
	if old, at, found := l.find(s); !found {
		l.set(slices.Insert(slices.Clone(old), at, subscription{s, s.destination()}))
	}
}

func (l *layer) detach(s subscriber) {
	if old, at, found := l.find(s); found {
		l.set(slices.Delete(slices.Clone(old), at, at+1))
	}
}

// find returns where a subscriber is in the list of this moment, or would be.
func (l *layer) find(s subscriber) (subs []subscription, at int, found bool) {
	subs = *l.subs.Load()
	at, _ = slices.BinarySearchFunc(subs, s.destination(), func(o subscription, to uint64) int { return cmp.Compare(o.to, to) })
	for ; at < len(subs) && subs[at].to == s.destination(); at++ {
		if subs[at].subscriber == s {
			return subs, at, true
		}
	}
	return subs, at, false
}

func (l *layer) set(subs []subscription) {
	l.subs.Store(&subs)
	l.track.demand.stale.Store(true)
}

// dimensions returns the size in pixels of a step's pictures, guessed from the others (each half of the next) while no
// keyframe has told it.
func (t *published) dimensions(step int) (width, height int) {
	steps := t.steps()
	for distance := range steps {
		for _, r := range []int{step - distance, step + distance} {
			if r < 0 || r >= steps {
				continue
			}
			if size := t.size(r); size != 0 {
				return shift(int(size>>32), step-r), shift(int(uint32(size)), step-r)
			}
		}
	}
	above := max(steps-1-step, 0)
	return 1280 >> above, 720 >> above
}

func shift(v, by int) int {
	if by < 0 {
		return v >> -by
	}
	return v << by
}

// close frees the caches. Slots still holding the track forward nothing any more.
func (t *published) close() {
	t.gone.Store(true)
	for _, l := range t.layers {
		l.set(nil)
		l.cache.Close()
	}
}
