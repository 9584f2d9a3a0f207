package node

import (
	"sync/atomic"

	"github.com/parley-sfu/parley/internal/allocation"
	"github.com/parley-sfu/parley/internal/packet"
)

// A stream may have layers in itself: pictures in several sizes, of which the larger need the smaller (scalable video coding, in VP9 and AV1). A slot
// is sent some of them, as if there were no others. Over links go those that slots behind them want (prune.go), and publishers are told how many anybody does.

// extent is how much of a stream is shown: everything up to a spatial and a temporal layer.
type extent struct{ spatial, temporal uint8 }

// everySize is the spatial layer up to which a slot is sent all sizes there are.
const everySize = packet.MaxSpatial - 1

// all is the whole of any stream.
func all() extent { return extent{everySize, everything} }

// scale is what is known of a stream up to one of its spatial layers.
type scale struct {
	size    atomic.Uint64 // width<<32 | height of the last keyframe that told
	meter   packet.Meter  // counted under the layer's mu: what who is shown no more than this is sent
	profile profile       // guarded by the room's mutex
}

// scales returns what is known of the spatial layers of a track that is one stream with several, lowest first; of others nil. How many of them
// there are changes with any packet.
func (t *published) scales() *[packet.MaxSpatial]scale {
	if len(t.layers) > 1 {
		return nil
	}
	return t.layers[0].scales.Load()
}

// steps is the number of sizes in which a track can be shown: its streams, or the spatial layers of its only one, with those that its publisher would send if
// anybody wanted them.
func (t *published) steps() int {
	if t.scales() == nil {
		return len(t.layers)
	}
	return int(t.layers[0].highest.Load()) + 1
}

// stream returns the layer that has a step's pictures.
func (t *published) stream(step int) *layer { return t.layers[min(step, len(t.layers)-1)] }

// size is the size of a step's pictures; 0 when it is not known.
func (t *published) size(step int) uint64 {
	if s := t.scales(); s != nil {
		return s[step].size.Load()
	}
	return t.layers[step].size.Load()
}

// weigh counts a packet for all spatial layers that it is needed for. mu is held.
func (l *layer) weigh(p *packet.Packet) {
	size := len(p.Buf) + overhead
	l.meter.Add(size, p.Timestamp, p.TemporalID, p.Arrival)
	serves := uint8(0)
	if d := &p.Descriptor; d.Structure != nil {
		serves = d.Serves()
	} else if p.VP9.HasLayers && p.VP9.SID < packet.MaxSpatial {
		serves = uint8(1<<(l.spatial.Load()+1)-1) &^ (1<<p.VP9.SID - 1) & l.carried
	}
	scales := l.scales.Load()
	if scales == nil && serves > 1 {
		scales = &[packet.MaxSpatial]scale{}
		l.scales.Store(scales)
	}
	for s := uint8(0); scales != nil && s < packet.MaxSpatial; s++ {
		if serves>>s&1 != 0 {
			scales[s].meter.Add(size, p.Timestamp, p.TemporalID, p.Arrival)
		}
	}
}

// outline notes which layers a stream has, and how large, and reports whether that has changed. mu is held.
func (l *layer) outline(p *packet.Packet) (changed bool) {
	spatial, temporal := l.spatial.Load(), max(l.temporal.Load(), uint32(min(p.TemporalID, everything)))
	begins := p.Keyframe && p.StartOfFrame
	d := &p.Descriptor
	switch {
	case d.Structure != nil && (begins || d.Offered != l.active):
		s, t := d.Top()
		l.active, spatial, temporal = d.Offered, uint32(s), uint32(min(t, everything))
	case d.Structure == nil && begins:
		spatial = uint32(min(max(p.VP9.Spatial, 1), packet.MaxSpatial) - 1)
	}
	l.temporal.Store(temporal)
	changed = l.spatial.Swap(spatial) != spatial
	if spatial > l.highest.Load() || p.Arrival >= l.track.spared.Load() {
		changed = l.highest.Swap(spatial) != spatial || changed
	}
	if begins {
		l.pending.Store(false) // whoever asked meanwhile is served by this one
		changed = l.measure(p) || changed
	}
	return changed
}

// measure notes the sizes that a keyframe tells, and reports whether any is new. mu is held.
func (l *layer) measure(p *packet.Packet) (changed bool) {
	largest := packet.Size{Width: p.VP8.Width, Height: p.VP8.Height}
	sizes := &p.VP9.Sizes
	if s := p.Descriptor.Structure; s != nil {
		sizes = &s.Sizes
	}
	scales := l.scales.Load()
	for i, size := range sizes[:l.spatial.Load()+1] {
		if size.Width == 0 {
			continue
		}
		if largest = size; scales != nil {
			changed = note(&scales[i].size, size) || changed
		}
	}
	return largest.Width != 0 && note(&l.size, largest) || changed
}

func note(at *atomic.Uint64, size packet.Size) (changed bool) {
	v := uint64(size.Width)<<32 | uint64(size.Height)
	return at.Swap(v) != v
}

// extent is how much of a layer the slot is sent: what its place is large enough for, within its share of what the way to the viewer carries.
func (s *slot) extent(target *layer) extent {
	e := all()
	if target == nil {
		return e
	}
	step, short := target.rank, s.limited && s.grant.Reason != allocation.Satisfied
	if target.track.scales() != nil {
		step = target.track.fit(s.wish.MaxWidth, s.wish.MaxHeight)
		if short {
			step = min(step, int(s.grant.Spatial))
		}
		if step < target.track.steps()-1 || target.track.size(step) != 0 && target.track.fills(step, s.wish.MaxWidth, s.wish.MaxHeight) {
			e.spatial = uint8(step)
		}
	}
	if short && step >= int(s.grant.Spatial) {
		e.temporal = s.grant.Temporal
	}
	return e
}

// chosenBy is what says which packets of a stream are sent.
type chosenBy uint8

const (
	byPicture    chosenBy = iota // VP8's payload descriptor, or none: there are temporal layers at most
	byVP9                        // VP9's payload descriptor
	byDescriptor                 // the dependency descriptor
)

func chooses(p *packet.Packet) chosenBy {
	switch {
	case p.Descriptor.Structure != nil && p.Descriptor.Structure.Targets > 1:
		return byDescriptor
	case p.Descriptor.Structure == nil && p.VP9.HasLayers:
		return byVP9
	}
	return byPicture
}

// choice is which packets of a stream are sent, that is not sent as a whole or has layers in itself.
type choice struct {
	by      chosenBy
	size    uint8 // spatial layer up to which was sent when moved was last asked
	picture packet.TemporalSelector
	vp9     packet.VP9Selector
	frames  packet.Selector
}

// begin starts anew with another stream.
func (c *choice) begin(by chosenBy, e extent) {
	*c = choice{by: by}
	c.want(e)
}

// want sets what is to be sent, and reports whether any of it is more than was wanted before.
func (c *choice) want(e extent) (more bool) {
	switch c.by {
	case byVP9:
		return c.vp9.Want(e.spatial, e.temporal)
	case byDescriptor:
		return c.frames.Want(e.spatial, e.temporal)
	case byPicture:
	}
	return c.picture.Want(e.temporal)
}

// keeps reports whether a packet is to be sent, and with which marker bit.
func (c *choice) keeps(p *packet.Packet) (keep, marker bool) {
	switch c.by {
	case byVP9:
		return c.vp9.Select(&p.Header, &p.VP9)
	case byDescriptor:
		return c.frames.Select(&p.Header, &p.Descriptor)
	case byPicture:
	}
	return c.picture.Select(&p.Header, &p.VP8), p.Marker
}

// sends is the spatial layer up to which is sent.
func (c *choice) sends() uint8 {
	switch c.by {
	case byVP9:
		spatial, _ := c.vp9.Current()
		return spatial
	case byDescriptor:
		spatial, _, _ := c.frames.Current()
		return spatial
	case byPicture:
	}
	return everySize
}

// moved reports whether another size is sent than when it was last asked.
func (c *choice) moved() bool {
	was := c.size
	c.size = c.sends()
	return was != c.size
}

// leftOut reports whether a packet of the stream is of what is not sent.
func (c *choice) leftOut(p *packet.Packet) bool {
	switch c.by {
	case byVP9:
		return c.vp9.LeftOut(&p.Header, &p.VP9)
	case byDescriptor:
		return p.Descriptor.Structure == nil || c.frames.LeftOut(&p.Descriptor)
	case byPicture:
	}
	return p.TemporalID > c.picture.Current()
}

// lacks reports whether the sizes that are sent are not those that are wanted, which takes a keyframe, and whether the pictures are fewer, of a stream with the
// highest temporal layer top.
func (c *choice) lacks(top uint8) (sizes, pictures bool) {
	switch c.by {
	case byVP9:
		return c.vp9.Lacks()
	case byDescriptor:
		return c.frames.Lacks()
	case byPicture:
	}
	return false, c.picture.Climbs(top)
}
