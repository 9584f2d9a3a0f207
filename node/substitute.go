package node

import (
	"math/bits"
	"time"

	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/packet"
)

// A node that pulls a layer which does not come knows nothing of the others: they do not come either, because nobody pulls
// them. So the node that it is pulled from, which may know better, sends what a slot there would fall back to, under the
// SSRC that the pull has named for it. The other node sees a layer that comes, shows it where it lacks the better one,
// and asks for it from then on.

// show takes what the other node wants.
func (o *outlet) show(p *cascade.Pull, now int64) {
	if p.Layers != 0 {
		o.link.Guard()
	}
	o.rename(p)
	if o.priority.Swap(uint32(p.Priority)) != uint32(p.Priority) {
		o.track.demand.stale.Store(true)
	}
	o.begin(o.ask(p.Layers, p.Sizes, now), p, now)
	o.track.room.wakeAll() // the publisher may have to send other layers
}

// begin has layers begin, given as bits, for whose packets ask has made wait. They go on behind what the other node has, else at a
// keyframe that has just gone by; else the publisher is asked for one. There is no pull where it did not ask for them.
func (o *outlet) begin(layers uint8, p *cascade.Pull, now int64) {
	for left := layers; left != 0; left &= left - 1 {
		rank := bits.TrailingZeros8(left)
		l := o.track.layers[rank]
		have := uint32(0)
		if p != nil {
			have = p.Streams[rank].Have
		}
		if !o.streams[rank].replay(have, now) && l.track.Kind == Video {
			l.requestKeyframe(now)
		}
	}
	if l := o.track.layers[0]; o.waitsFor(l) {
		l.requestKeyframe(now)
	}
}

// ask changes the layers that the other node wants, and the sizes of a single one. It returns those to begin with, as bits.
func (o *outlet) ask(layers, sizes uint8, now int64) (begin uint8) {
	r := o.track.room
	r.mu.Lock()
	defer r.mu.Unlock()
	layers &= 1<<len(o.track.layers) - 1
	for rank := range o.track.layers {
		if layers&^uint8(o.asked.Load())&(1<<rank) != 0 {
			o.since[rank] = now
		}
	}
	o.asked.Store(uint32(layers))
	o.sizes.Store(uint32(sizes & packet.AllSizes))
	o.track.demand.stale.Store(true)
	return o.reviewLocked(now)
}

// reviewLocked changes which layers are sent, and returns those to begin with. The room's mutex is held.
func (o *outlet) reviewLocked(now int64) (begin uint8) {
	o.pruneLocked()
	sends := o.dueLocked(now)
	begin = sends &^ uint8(o.sends.Load())
	for rank, l := range o.track.layers {
		if begin&(1<<rank) != 0 {
			o.streams[rank].hold()
		}
		if sends&(1<<rank) != 0 {
			l.attach(o)
		} else {
			l.detach(o)
		}
	}
	o.sends.Store(uint32(sends))
	o.track.demand.stale.Store(true)
	return begin
}

// dueLocked returns the layers to send: what is asked, which may begin to come at any time, and in place of each that does not
// the nearest that does; a higher one only when the publisher has had time to send what is asked. A substitute goes on for a moment when it is needed no more,
// so that the other node can change over.
func (o *outlet) dueLocked(now int64) (sends uint8) {
	asked := o.affordableLocked(uint8(o.asked.Load()))
	if asked == 0 || len(o.track.layers) == 1 {
		return asked
	}
	sends = asked
	for rank, l := range o.track.layers {
		if asked&(1<<rank) == 0 || l.live(now) {
			continue
		}
		instead := o.track.nearestLive(l, now)
		early := instead.rank > rank && now-o.since[rank] < int64(silentAfter)
		if instead != l && !early && o.affordableLocked(1<<instead.rank) == 1<<instead.rank && !o.streams[instead.rank].stale(now) {
			o.until[instead.rank] = now + int64(unwantedFor)
		}
	}
	for rank := range o.track.layers {
		if now < o.until[rank] {
			sends |= 1 << rank
		}
	}
	return sends
}

// replacedAfter is how long a layer that another is sent in place of still counts as being sent.
const replacedAfter = 150 * time.Millisecond

// replaces notes that the layer comes over a link without having been asked for: then one above it does not come, and those who show that
// need not wait until it has been silent for long. Packets of the track come on one goroutine at a time.
func (l *layer) replaces(now int64) {
	for _, above := range l.track.layers[l.rank+1:] {
		if was := above.replaced.Swap(now); was == 0 || now-was > int64(silentAfter) {
			l.track.room.wakeAll()
		}
	}
}

// stale reports whether a stream has not been sent for so long that it may go on under new SSRCs only, which are the other
// node's to choose.
func (s *outletStream) stale(now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started && now-s.latest > int64(staleFor)
}

// substitute looks again at what other nodes are sent of a track.
func (t *published) substitute(now int64) {
	if len(t.layers) == 1 {
		return
	}
	for _, l := range t.layers {
		for _, s := range *l.subs.Load() {
			o, ok := s.subscriber.(*outlet)
			if !ok || bits.TrailingZeros8(uint8(o.sends.Load())) != l.rank {
				continue // another, or seen with its lowest layer
			}
			t.room.mu.Lock()
			begin := o.reviewLocked(now)
			t.room.mu.Unlock()
			o.begin(begin, nil, now)
		}
	}
}
