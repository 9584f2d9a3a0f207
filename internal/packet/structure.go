package packet

import "errors"

// What can be wrong with a dependency descriptor.
var (
	ErrDescriptor  = errors.New("packet: dependency descriptor cannot be read")
	ErrNoStructure = errors.New("packet: dependency descriptor of a structure that has not come")
)

const (
	maxTemplates = 64
	maxTargets   = 32
	maxChains    = 32
	maxDiffs     = 8 // frames that one frame may refer to; AV1 has seven, VP9 three

	// MaxSpatial is how many spatial layers a stream can have here.
	MaxSpatial = 4
)

// Indication is what a frame means to a decode target.
type Indication uint8

// The indications (section A.4 of the AV1 RTP specification).
const (
	Absent      Indication = iota // not part of the target
	Discardable                   // nothing else of the target needs it
	Switch                        // who can decode it can decode all that follows of the target
	Required                      // others of the target need it
)

// Structure is what all dependency descriptors of a stream refer to, from one keyframe to the next: templates for frames,
// and the decode targets, each a choice of spatial and temporal layers. It does not change once read.
type Structure struct {
	Targets int // decode targets
	Chains  int // chains that protect them; 0 when there are none

	Sizes         [MaxSpatial]Size // of the picture by spatial layer; zero when the sender does not tell
	spatial       [maxTargets]uint8
	temporal      [maxTargets]uint8
	protectedBy   [maxTargets]uint8 // chain, by decode target
	offset        uint8
	templateCount int
	templates     [maxTemplates]template
}

// Size is a picture's, in pixels.
type Size struct{ Width, Height uint16 }

// template is a frame as it comes again and again.
type template struct {
	spatial, temporal uint8
	indications       uint64 // two bits a decode target
	diffCount         uint8
	diffs             [maxDiffs]uint8
	chains            [maxChains]uint8
}

// Target returns the decode target for a viewer who is to get no more than the given layers: of those in the bit mask
// active the one with the highest spatial, then temporal layer. Without any such it is the lowest active one; ok is false
// when none is active.
func (s *Structure) Target(spatial, temporal uint8, active uint32) (target int, ok bool) {
	best, lowest := -1, -1
	rank := func(t int) int { return int(s.spatial[t])<<8 | int(s.temporal[t]) }
	for t := range s.Targets {
		if active>>t&1 == 0 {
			continue
		}
		if lowest < 0 || rank(t) < rank(lowest) {
			lowest = t
		}
		if s.spatial[t] <= spatial && s.temporal[t] <= temporal && (best < 0 || rank(t) > rank(best)) {
			best = t
		}
	}
	if best < 0 {
		best = lowest
	}
	return best, best >= 0
}

// Layers returns the highest spatial and temporal layer of a decode target.
func (s *Structure) Layers(target int) (spatial, temporal uint8) {
	return s.spatial[target], s.temporal[target]
}

// read reads template_dependency_structure of the specification into s, which must be zero.
func (s *Structure) read(r *bitReader) error {
	s.offset = uint8(r.bits(6))
	s.Targets = int(r.bits(5)) + 1
	if !s.readLayers(r) {
		return ErrDescriptor
	}
	for i := range s.templateCount {
		s.templates[i].indications = readIndications(r, s.Targets)
	}
	for i := range s.templateCount {
		if !s.templates[i].readDiffs(r) {
			return ErrDescriptor
		}
	}
	s.readChains(r)
	s.deriveLayers()
	if r.flag() {
		for i := range int(s.templates[s.templateCount-1].spatial) + 1 {
			s.Sizes[i] = Size{r.side(), r.side()}
		}
	}
	if r.short {
		return ErrDescriptor
	}
	return nil
}

// side reads a width or height, which is sent less one. The largest that a codec could have is out of reach of all of them.
func (r *bitReader) side() uint16 { return uint16(min(r.bits(16)+1, 1<<16-1)) }

// readLayers reads how the layers of the templates follow each other.
func (s *Structure) readLayers(r *bitReader) bool {
	var spatial, temporal uint8
	for {
		if s.templateCount == maxTemplates || spatial == MaxSpatial || temporal == 2*MaxTemporal || r.short {
			return false
		}
		t := &s.templates[s.templateCount]
		t.spatial, t.temporal = spatial, temporal
		s.templateCount++
		switch r.bits(2) {
		case 1:
			temporal++
		case 2:
			spatial, temporal = spatial+1, 0
		case 3:
			return true
		}
	}
}

func readIndications(r *bitReader, targets int) (all uint64) {
	for target := range targets {
		all |= uint64(r.bits(2)) << (2 * target)
	}
	return all
}

func (t *template) readDiffs(r *bitReader) bool {
	for r.flag() {
		if t.diffCount == maxDiffs {
			return false
		}
		t.diffs[t.diffCount] = uint8(r.bits(4)) + 1
		t.diffCount++
	}
	return true
}

func (s *Structure) readChains(r *bitReader) {
	s.Chains = int(r.nonSymmetric(uint32(s.Targets) + 1))
	if s.Chains == 0 {
		return
	}
	for target := range s.Targets {
		s.protectedBy[target] = uint8(r.nonSymmetric(uint32(s.Chains)))
	}
	for i := range s.templateCount {
		for chain := range s.Chains {
			s.templates[i].chains[chain] = uint8(r.bits(4))
		}
	}
}

// deriveLayers finds the highest layers of each decode target among the templates that belong to it.
func (s *Structure) deriveLayers() {
	for i := range s.templateCount {
		t := &s.templates[i]
		for target := range s.Targets {
			if t.indications>>(2*target)&3 != 0 {
				s.spatial[target] = max(s.spatial[target], t.spatial)
				s.temporal[target] = max(s.temporal[target], t.temporal)
			}
		}
	}
}
