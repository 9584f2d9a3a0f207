package packet

// Selector says which packets of a scalable stream of any codec a viewer gets who is to see it up to a spatial and a
// temporal layer, by the dependency descriptor. It goes down at the next picture if the chain of the lower decode target is
// whole, as it always is with full scalability, and up at a frame that is a place to switch to the higher one. No frame is
// forwarded when one that it refers to was left out.
//
// How many spatial layers a picture has is settled with its first frame: a layer that came behind the marker bit would come
// too late for the receiver. So a layer that begins in the middle of a picture waits for the next keyframe.
//
// What is not forwarded is for Rewriter.Skip. It starts anew with each source. The zero value forwards the lowest layers.
type Selector struct {
	spatial, temporal uint8 // wanted
	structure         *Structure
	target            int    // decode target that is forwarded; of structure
	active            uint32 // decode targets that were sent last
	stuck             bool
	timestamp         uint32 // of the newest picture
	order             arrivalOrder
	frames            frameLog
}

// Want sets the highest layers to be forwarded, and reports whether any is higher than what was wanted before.
func (s *Selector) Want(spatial, temporal uint8) (higher bool) {
	higher = spatial > s.spatial || temporal > s.temporal
	s.spatial, s.temporal = spatial, temporal
	return higher
}

// Lacks reports whether other spatial layers are forwarded than are wanted and sent, and whether fewer temporal ones.
func (s *Selector) Lacks() (spatial, temporal bool) {
	if s.structure == nil {
		return true, true
	}
	want, ok := s.structure.Target(s.spatial, s.temporal, s.active)
	if !ok {
		return false, false
	}
	isSpatial, isTemporal := s.structure.Layers(s.target)
	wantSpatial, wantTemporal := s.structure.Layers(want)
	return isSpatial != wantSpatial, isTemporal < wantTemporal
}

// LeftOut reports whether the frame of a descriptor was left out.
func (s *Selector) LeftOut(d *Descriptor) bool {
	sent, known := s.frames.find(d.Frame)
	return known && !sent
}

// Current returns the highest layers that are forwarded; ok is false before the first keyframe. Where it stays away from what
// is wanted, only a keyframe helps.
func (s *Selector) Current() (spatial, temporal uint8, ok bool) {
	if s.structure == nil {
		return 0, 0, false
	}
	spatial, temporal = s.structure.Layers(s.target)
	return spatial, temporal, true
}

// Stuck reports whether only a keyframe helps: the newest frame of what is forwarded refers to one that was left out, or
// nothing has begun yet.
func (s *Selector) Stuck() bool { return s.structure == nil || s.stuck }

// Select reports whether a packet of the stream with the descriptor d is to be forwarded, and with which marker bit: the
// last packet of what is left of a picture has it. Select must be given all packets that come, in any order. All packets of
// a frame share its fate.
func (s *Selector) Select(h *Header, d *Descriptor) (forward, marker bool) {
	inOrder := s.order.take(h.Sequence)
	first := inOrder && (s.structure == nil || h.Timestamp != s.timestamp)
	if first {
		s.timestamp = h.Timestamp
	}
	if inOrder {
		s.active = d.Active
	}
	forward, known := s.frames.find(d.Frame)
	if !known {
		if inOrder && d.Start {
			s.retarget(d, first)
		}
		forward = s.wants(d)
		s.frames.note(d.Frame, forward)
	}
	if !forward {
		return false, false
	}
	top, _ := s.structure.Layers(s.target)
	return true, h.Marker || d.End && d.Spatial == top
}

// wants decides about a frame.
func (s *Selector) wants(d *Descriptor) bool {
	if s.structure != d.Structure {
		s.stuck = true
		return false
	}
	if d.Indication(s.target) == Absent {
		return false
	}
	whole := s.decodable(d)
	s.stuck = !whole
	return whole
}

// retarget moves to the decode target that is wanted, as far as that can be done in front of the frame d, which may be the
// first of a picture.
func (s *Selector) retarget(d *Descriptor, first bool) {
	if s.structure != d.Structure {
		if first && d.Attached {
			s.begin(d)
		}
		return
	}
	want, ok := s.structure.Target(s.spatial, s.temporal, d.Active)
	if !ok || want == s.target {
		return
	}
	if lower, ok := s.lower(want, d); ok && first && s.whole(lower, d) {
		s.target = lower
	}
	is, _ := s.structure.Layers(s.target)
	top, _ := s.structure.Layers(want)
	if (first || is == top) && d.Indication(want) == Switch && s.decodable(d) {
		s.target = want
	}
}

// begin starts a new structure with what is wanted of the decode targets that begin with the frame.
func (s *Selector) begin(d *Descriptor) {
	if !s.decodable(d) {
		return
	}
	var beginning uint32
	for t := range d.Structure.Targets {
		if d.Indication(t) != Absent {
			beginning |= 1 << t
		}
	}
	if target, ok := d.Structure.Target(s.spatial, s.temporal, d.Active&beginning); ok {
		s.structure, s.target = d.Structure, target
	}
}

// lower returns the decode target that has nothing of what the present one has not, nor of what is not wanted.
func (s *Selector) lower(want int, d *Descriptor) (target int, ok bool) {
	spatial, temporal := s.structure.Layers(s.target)
	wantSpatial, wantTemporal := s.structure.Layers(want)
	target, ok = s.structure.Target(min(spatial, wantSpatial), min(temporal, wantTemporal), d.Active)
	if !ok {
		return 0, false
	}
	isSpatial, isTemporal := s.structure.Layers(target)
	return target, isSpatial <= spatial && isTemporal <= temporal
}

// whole reports whether a lower decode target can be gone over to in front of the frame d: the frame before of its chain
// was forwarded. Without chains only pictures can be left out, not their resolution.
func (s *Selector) whole(target int, d *Descriptor) bool {
	diff, protected := d.ChainDiff(target)
	if !protected {
		was, _ := s.structure.Layers(s.target)
		is, _ := s.structure.Layers(target)
		return was == is
	}
	return diff == 0 || s.frames.has(d.Frame-diff)
}

// decodable reports whether nothing that the frame refers to was left out.
func (s *Selector) decodable(d *Descriptor) bool {
	for _, diff := range d.Diffs() {
		if !s.frames.has(d.Frame - diff) {
			return false
		}
	}
	return true
}

const frameLogSize = 1024

// frameLog remembers which of the last frames were forwarded, and which were left out.
type frameLog struct {
	span   int // frames back from newest that are remembered
	newest uint16
	seen   [frameLogSize / 64]uint64
	sent   [frameLogSize / 64]uint64
}

// note remembers a frame's fate.
func (l *frameLog) note(frame uint16, sent bool) {
	ahead := SeqDiff(frame, l.newest)
	switch {
	case l.span == 0 || ahead >= frameLogSize || ahead <= -frameLogSize:
		*l = frameLog{span: 1, newest: frame}
	case ahead > 0:
		for n := l.newest + 1; n != frame+1; n++ {
			l.seen[n%frameLogSize/64] &^= 1 << (n % 64)
			l.sent[n%frameLogSize/64] &^= 1 << (n % 64)
		}
		l.newest, l.span = frame, min(l.span+ahead, frameLogSize)
	}
	l.seen[frame%frameLogSize/64] |= 1 << (frame % 64)
	if sent {
		l.sent[frame%frameLogSize/64] |= 1 << (frame % 64)
	}
}

// find returns a frame's fate; known is false when it has none yet.
func (l *frameLog) find(frame uint16) (sent, known bool) {
	back := SeqDiff(l.newest, frame)
	if l.span == 0 || back < 0 || back >= frameLogSize {
		return false, false
	}
	known = l.seen[frame%frameLogSize/64]>>(frame%64)&1 != 0
	return known && l.sent[frame%frameLogSize/64]>>(frame%64)&1 != 0, known
}

// has reports whether a frame was forwarded, or may yet be: nothing of it has come, so it was lost and will be asked for, be it newer than all that
// have. What was in front of the first frame, or is too far back to be remembered, was not.
func (l *frameLog) has(frame uint16) bool {
	if l.span == 0 || SeqDiff(l.newest, frame) >= l.span {
		return false
	}
	sent, known := l.find(frame)
	return sent || !known
}
