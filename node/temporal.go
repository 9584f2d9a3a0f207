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
		p.rates[t] = m.Usual(uint8(t), now) + m.Spare()
		if _, pace := m.Rate(uint8(t), now); math.Abs(pace-p.paces[t]) > unsteady*p.paces[t] {
			p.paces[t] = pace
		}
	}
}

// rungs appends the ways to show a stream, up to a spatial layer, with so many temporal layers above the lowest: at lower frame rates, as far as it
// has been measured, and as a whole. The room's mutex is held.
func (s *scale) rungs(dst []allocation.Layer, whole allocation.Layer, temporal uint8) []allocation.Layer {
	if s.profile.rates[everything] > 0 {
		for t := range temporal {
			part := whole
			part.Temporal, part.FrameRate, part.Bitrate = t, s.profile.paces[t], s.profile.rates[t]
			dst = append(dst, part)
		}
	}
	return append(dst, whole)
}

// thinLocked has less or more sent from the next picture on at which that is possible, as the slot's limit asks. What is shown until a larger layer begins
// is shown as a whole.
func (s *slot) thinLocked() {
	if s.current == nil {
		return
	}
	limit := s.upTo
	if s.target != nil && s.current.rank < s.target.rank {
		limit.temporal = everything
	}
	if limit.temporal < everything && !s.thinned {
		s.chooser().begin(byPicture, extent{})
		s.thin.picture.Join(s.rewriter.Newest(), packet.MaxTemporal)
		s.thinned = true
	}
	if s.thinned && s.thin.want(limit) {
		s.climbing = s.peer.node.endpoint.Now()
	}
}

// chooser returns thin, which is made when it is first needed.
func (s *slot) chooser() *choice {
	if s.thin == nil {
		s.thin = &choice{}
	}
	return s.thin
}

// thinAnew has a stream that begins with p sent as far as it is to be. mu is held.
func (s *slot) thinAnew(p *packet.Packet) {
	by := chooses(p)
	if s.thinned = by != byPicture || s.upTo.temporal < everything; s.thinned {
		s.chooser().begin(by, s.upTo)
	}
}

// keeps reports whether a packet of a stream that is not sent as a whole, or has layers in itself, is to be sent, and with which marker bit. When
// nothing is left out any more it is the last one that is asked about. mu is held.
func (s *slot) keeps(l *layer, p *packet.Packet) (keep, marker bool) {
	if !s.thinned || s.thin.by != chooses(p) {
		if !p.Keyframe || !p.StartOfFrame { // nothing tells of what it is part
			return !s.thinned, p.Marker
		}
		if s.thinAnew(p); !s.thinned {
			return true, p.Marker
		}
	}
	if keep, marker = s.thin.keeps(p); p.StartOfFrame && s.thin.moved() {
		l.changes() // what was sent so far is needed no more
	}
	if s.thin.by == byPicture {
		s.thinned = !s.thin.picture.Complete(uint8(l.temporal.Load()))
	}
	return keep, marker
}

// leavesOut reports whether a packet is of what is not to be shown, and that is asked for because it was lost before that could be
// known: then the number is all that is sent again. mu is held.
func (s *slot) leavesOut(l *layer, p *packet.Packet) bool {
	return s.thinned && l == s.current && s.thin.leftOut(p)
}

// misfitsLocked reports whether the slot shows other sizes than it should of a stream that has several, which takes a keyframe to change.
func (s *slot) misfitsLocked() bool {
	if !s.thinned || s.current != s.target {
		return false
	}
	sizes, _ := s.thin.lacks(0)
	return sizes
}

// stuckLocked reports whether only a keyframe helps: for other sizes, or because the slot has waited in vain for a picture to go up at.
func (s *slot) stuckLocked() bool {
	if !s.thinned {
		return false
	}
	sizes, pictures := s.thin.lacks(uint8(s.current.temporal.Load()))
	return sizes || s.thin.by == byDescriptor && s.thin.frames.Stuck() || pictures && s.peer.node.endpoint.Now()-s.climbing > climbFor
}
