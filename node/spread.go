package node

import (
	"cmp"
	"math"
	"slices"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// spread is what one read of a socket brought to be forwarded, of however many publishers. It goes out viewer by viewer: equal
// packets to one of them leave as one segmented message, and what is kept of a viewer is fetched into the CPU's caches once.
//
// It belongs to whoever fills a batch, which has it queued before it is flushed. It holds a reference of each packet until then.
type spread struct {
	bundles []bundle // one a layer
}

// bundle is the packets of one layer, in the order in which they came.
type bundle struct {
	layer *layer
	run   []*packet.Packet
	left  []subscription // those who have not been given them yet
}

// spreadOf returns the spread of what leaves with a batch.
func spreadOf(out *udp.Batch) *spread {
	if s, ok := out.Deferred().(*spread); ok {
		return s
	}
	s := &spread{}
	out.Defer(s)
	return s
}

// add takes over one reference of a packet of a layer.
func (s *spread) add(l *layer, p *packet.Packet) {
	for i := range s.bundles {
		if s.bundles[i].layer == l {
			s.bundles[i].run = append(s.bundles[i].run, p)
			return
		}
	}
	s.bundles = slices.Grow(s.bundles, 1)[:len(s.bundles)+1] // a former bundle's run is memory for this one's
	last := &s.bundles[len(s.bundles)-1]
	last.layer, last.run = l, append(last.run, p)
}

// QueueOn implements udp.Deferred: it forwards everything, room by room.
func (s *spread) QueueOn(out *udp.Batch) {
	for rest := s.bundles; len(rest) > 0; {
		n := gatherRoom(rest)
		if n == 1 {
			rest[0].layer.forward(rest[0].run, out)
		} else {
			forwardTogether(rest[:n], out)
		}
		rest = rest[n:]
	}
	for i := range s.bundles {
		s.bundles[i].empty()
	}
	s.bundles = s.bundles[:0]
}

// empty gives back what the bundle holds.
func (s *bundle) empty() {
	for _, p := range s.run {
		p.Release()
	}
	clear(s.run)
	s.layer, s.run, s.left = nil, s.run[:0], nil
}

// gatherRoom brings all bundles of the first one's room to the front, and returns how many there are.
func gatherRoom(bundles []bundle) (n int) {
	n = 1
	for i := 1; i < len(bundles); i++ {
		if bundles[i].layer.track.room == bundles[0].layer.track.room {
			bundles[i], bundles[n] = bundles[n], bundles[i]
			n++
		}
	}
	return n
}

// forwardTogether gives the bundles of one room to everyone who shows them: to each all that is for them, before the next. Lists of
// subscribers are in one order of destinations, so that this is a merge.
func forwardTogether(bundles []bundle, out *udp.Batch) {
	// A segmented message ends with the first datagram that is shorter than those before.
	slices.SortFunc(bundles, func(a, b bundle) int { return cmp.Compare(len(b.run[0].Buf), len(a.run[0].Buf)) })
	next, sent := uint64(math.MaxUint64), 0
	for i := range bundles {
		s := &bundles[i]
		if !s.layer.track.muted.Load() {
			s.left = *s.layer.subs.Load()
		}
		next = s.nearest(next)
	}
	for turn := next; turn != math.MaxUint64; turn = next {
		next = math.MaxUint64
		for i := range bundles {
			s := &bundles[i]
			for len(s.left) > 0 && s.left[0].to == turn {
				sent += s.left[0].forward(s.layer, s.run, out)
				s.left = s.left[1:]
			}
			next = s.nearest(next)
		}
	}
	bundles[0].layer.track.room.node.count.sent.Add(sent)
}

// nearest is the destination that comes first: the bundle's next one, or another.
func (s *bundle) nearest(other uint64) uint64 {
	if len(s.left) == 0 {
		return other
	}
	return min(s.left[0].to, other)
}
