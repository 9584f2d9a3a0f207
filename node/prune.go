package node

import (
	"math/bits"

	"github.com/parley-sfu/parley/internal/allocation"
	"github.com/parley-sfu/parley/internal/packet"
)

// Of a stream with several sizes a link carries those that somebody behind it wants. Numbers stay as they are, so that any parent will do; what is left out
// is told with what is not, and takes its place at the other end as a packet of nothing, which slots and outlets pass over.

// carries reports whether the other node is to have a packet, and with which marker bit. mu is held.
func (s *outletStream) carries(p *packet.Packet) (carry, marker bool) {
	if s.pruner == nil {
		return len(p.Buf) != 0, p.Marker
	}
	if p.Keyframe && p.StartOfFrame {
		s.layer.changes() // what was carried so far may be needed no more
	}
	return s.pruner.Select(p)
}

// pruneLocked has the sizes carried that are asked for and that the link carries. The room's mutex is held.
func (o *outlet) pruneLocked() {
	sizes := uint8(o.sizes.Load())
	if o.limited && o.granted.Shown && sizes != 0 {
		if all := o.track.among(sizes); all>>o.granted.Spatial > 1 {
			sizes = all&(1<<o.granted.Spatial-1) | 1<<o.granted.Spatial
		}
	}
	s := o.streams[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pruner == nil && sizes != 0 && len(o.track.layers) == 1 {
		s.pruner = &packet.Pruner{}
	}
	if s.pruner != nil {
		s.pruner.Want(sizes)
	}
}

// among names the largest size there is, for which the highest bit stands, by its own bit.
func (t *published) among(sizes uint8) uint8 {
	top := uint8(1) << (t.steps() - 1)
	if sizes >= top {
		sizes = sizes&(top-1) | top
	}
	return sizes
}

// sizesNeeded returns what is asked for, and what goes on until that can begin. 0 is nothing of any one size.
func (o *outlet) sizesNeeded() uint8 {
	s := o.streams[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	switch sizes := uint8(o.sizes.Load()); {
	case o.asked.Load() == 0:
		return 0
	case sizes == 0:
		return 1 << everySize
	case s.pruner != nil && s.pruner.Lacks():
		return sizes | s.pruner.Carried()
	default:
		return sizes
	}
}

// waitsFor implements subscriber: the node at the other end asks for what its own subscribers wait for, but for sizes that do not cross the link.
func (o *outlet) waitsFor(l *layer) bool {
	s := o.streams[l.rank]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pruner != nil && s.wanted() && s.pruner.Lacks()
}

// sizeSteps returns the sizes of a single stream up to the largest that is wanted, as steps of what it takes to carry them together.
func (o *outlet) sizeSteps(now int64) []allocation.Layer {
	t, sizes := o.track, o.track.among(uint8(o.sizes.Load()))
	scales, top := t.scales(), bits.Len8(sizes)-1
	steps := make([]allocation.Layer, 0, packet.MaxSpatial)
	for step := range top + 1 {
		steps = append(steps, t.wholeStep(step, &scales[step], now))
	}
	s := o.streams[0]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pruner != nil && s.pruner.Nested() {
		return steps
	}
	return allocation.Union(nil, steps, sizes)
}

// pruned takes what a packet of a link tells of others that were left out: they are not missed any more, and go on as packets of nothing to those who show
// the layer. mu and l.mu are held.
func (in *ingress) pruned(l *layer, p *packet.Packet) (carried uint8) {
	notice := packet.Notice(p.Extension(p.Buf, linkLeftOut))
	notice.LeftOut(p.Sequence, func(seq uint16) {
		if !l.loss.LeftOut(seq, p.Arrival) {
			return
		}
		nothing := packet.Get()
		nothing.Sequence, nothing.Timestamp, nothing.SSRC, nothing.Arrival = seq, p.Timestamp, p.SSRC, p.Arrival
		if l.cache.Put(nothing) {
			in.recovered = append(in.recovered, recovered{l, nothing})
		} else {
			nothing.Release()
		}
	})
	return notice.Carried()
}
