package node

import (
	"math"

	"github.com/parley-sfu/parley/internal/allocation"
	"github.com/parley-sfu/parley/internal/packet"
)

// A stream with temporal layers can be shown at a half or a quarter of its frame rate: pictures of upper layers are left out, and nothing that
// is sent refers to them. What is left out leaves no hole in the numbers that a viewer sees, and no keyframe is needed in either direction.

const (
	// everything is the temporal layer up to which a slot is sent all there is, however many layers that are.
	everything = packet.MaxTemporal - 1

	// unsteady is the part by which a frame rate must differ from the one last noted to be noted anew: rungs that come and go with each second's
	// measurement would take the picture with them.
	unsteady = 0.25

	// climbFor is how long a slot waits for pictures to go up at before a keyframe is asked for: encoders have one in each cycle or two.
	climbFor = 2e9
)

// profile is what one layer takes, as last measured. The room's mutex guards it.
type profile struct {
	rates [packet.MaxTemporal]int64   // bit/s, up to each temporal layer; 0 before
	paces [packet.MaxTemporal]float64 // pictures a second, likewise
}

// measure notes what comes; of a layer that does not, what is known stays.
func (p *profile) measure(m *packet.Meter, now int64) {
	if m.Usual(everything, now) == 0 {
		return
	}
	for t := range p.rates {
		p.rates[t] = m.Usual(uint8(t), now)
		if _, pace := m.Rate(uint8(t), now); math.Abs(pace-p.paces[t]) > unsteady*p.paces[t] {
			p.paces[t] = pace
		}
	}
}

// rungs appends the ways to show a layer: at lower frame rates, as far as it has temporal layers and has been measured, and as a whole. The room's
// mutex is held.
func (l *layer) rungs(dst []allocation.Layer, whole allocation.Layer) []allocation.Layer {
	if l.profile.rates[everything] > 0 {
		for t := range uint8(l.temporal.Load()) {
			part := whole
			part.Temporal, part.FrameRate, part.Bitrate = t, l.profile.paces[t], l.profile.rates[t]
			dst = append(dst, part)
		}
	}
	return append(dst, whole)
}

// temporal is the temporal layer up to which the slot is sent a layer, within its share of what the way to the viewer carries.
func (s *slot) temporal(target *layer) uint8 {
	if target == nil || !s.limited || s.grant.Reason == allocation.Satisfied || target.rank < int(s.grant.Spatial) {
		return everything
	}
	return s.grant.Temporal
}

// thinLocked has pictures left out from the next one on, or no longer, as the slot's limit asks. What is shown until a larger layer begins is
// shown as a whole.
func (s *slot) thinLocked() {
	if s.upTo < everything && s.thin == nil {
		s.thin = &packet.TemporalSelector{}
	}
	if s.current == nil {
		return
	}
	limit := s.upTo
	if s.target != nil && s.current.rank < s.target.rank {
		limit = everything
	}
	if limit < everything && !s.thinned {
		s.thin.Join(s.rewriter.Newest(), packet.MaxTemporal)
		s.thinned = true
	}
	if s.thinned && s.thin.Want(limit) {
		s.climbing = s.peer.node.endpoint.Now()
	}
}

// thinAnew has pictures left out of a stream that is about to begin, as far as they are to be. mu is held.
func (s *slot) thinAnew() {
	if s.thinned = s.upTo < everything; s.thinned {
		*s.thin = packet.TemporalSelector{}
		s.thin.Want(s.upTo)
	}
}

// keeps reports whether a packet of a stream of which pictures are left out is to be sent. When none are left out any more it is the last one
// that is asked about. mu is held.
func (s *slot) keeps(l *layer, p *packet.Packet) bool {
	kept := s.thin.Select(&p.Header, &p.VP8)
	s.thinned = !s.thin.Complete(uint8(l.temporal.Load()))
	return kept
}

// leavesOut reports whether a packet is of a picture that is not to be shown, and that is asked for because it was lost before that could be
// known: then the number is all that is sent again. mu is held.
func (s *slot) leavesOut(l *layer, p *packet.Packet) bool {
	return s.thinned && l == s.current && p.TemporalID > s.thin.Current()
}

// stuckLocked reports whether the slot has waited in vain for a picture to go up at.
func (s *slot) stuckLocked() bool {
	return s.thinned && s.thin.Climbs(uint8(s.current.temporal.Load())) && s.peer.node.endpoint.Now()-s.climbing > climbFor
}
