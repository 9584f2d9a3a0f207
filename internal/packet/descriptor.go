package packet

// Descriptor is a frame's dependency descriptor as one packet carries it (RTP header extension of the AV1 RTP specification,
// appendix A, which senders of VP9 and H.264 use too): where the frame stands among layers, and what it needs. It can
// be read without the payload, so also where that is encrypted end to end.
type Descriptor struct {
	Start, End        bool // first, last packet of the frame
	Frame             uint16
	Spatial, Temporal uint8
	Attached          bool       // the structure came in this packet: the frame begins anew, a decoder can start with it
	Structure         *Structure // what the descriptor refers to
	Offered           uint32     // decode targets that the sender sends, as bits
	Active            uint32     // those of them that come

	indications uint64
	diffCount   uint8
	diffs       [maxDiffs]uint16
	chains      [maxChains]uint8
}

// Indication returns what the frame means to a decode target.
func (d *Descriptor) Indication(target int) Indication {
	return Indication(d.indications >> (2 * target) & 3)
}

// Limit notes that the decode targets of no spatial layers but the given ones, as bits, come.
func (d *Descriptor) Limit(spatial uint8) {
	for target := range d.Structure.Targets {
		if s, _ := d.Structure.Layers(target); spatial>>s&1 == 0 {
			d.Active &^= 1 << target
		}
	}
}

// Top returns the highest spatial and temporal layers of all that the sender sends.
func (d *Descriptor) Top() (spatial, temporal uint8) {
	for target := range d.Structure.Targets {
		if d.Offered>>target&1 != 0 {
			s, t := d.Structure.Layers(target)
			spatial, temporal = max(spatial, s), max(temporal, t)
		}
	}
	return spatial, temporal
}

// Serves returns, as bits, the spatial layers for which the frame is needed: by who is shown the stream up to there.
func (d *Descriptor) Serves() (spatial uint8) {
	for target := range d.Structure.Targets {
		if d.Active>>target&1 != 0 && d.Indication(target) != Absent {
			s, _ := d.Structure.Layers(target)
			spatial |= 1 << s
		}
	}
	return spatial
}

// Diffs returns how many frames back those are that this one refers to. The slice aliases d.
func (d *Descriptor) Diffs() []uint16 { return d.diffs[:d.diffCount] }

// ChainDiff returns how many frames back the one before is of the chain that protects a decode target: 0 when the chain
// begins with this frame. ok is false when nothing protects the target.
func (d *Descriptor) ChainDiff(target int) (diff uint16, ok bool) {
	if d.Structure.Chains == 0 {
		return 0, false
	}
	return uint16(d.chains[d.Structure.protectedBy[target]]), true
}

// DescriptorReader reads the dependency descriptors of one stream, which refer to a structure that comes with
// keyframes only. It allocates for a new structure and for nothing else. The zero value is ready.
type DescriptorReader struct {
	structure *Structure
	since     uint16 // frame that structure came with
	active    uint32
	activeAt  uint16 // frame that active came with

	scratch Structure
}

// Read reads the value of the header extension into d. A packet that comes late does not bring an older structure back.
// After an error d is of no use.
func (r *DescriptorReader) Read(ext []byte, d *Descriptor) error {
	if len(ext) < 3 {
		return ErrDescriptor
	}
	bits := bitReader{b: ext}
	*d = Descriptor{Start: bits.flag(), End: bits.flag()}
	id := uint8(bits.bits(6))
	d.Frame = uint16(bits.bits(16))
	var active, indications, diffs, chains bool
	if len(ext) > 3 {
		d.Attached = bits.flag()
		active, indications, diffs, chains = bits.flag(), bits.flag(), bits.flag(), bits.flag()
	}
	structure, mask := r.structure, r.active
	if d.Attached {
		var err error
		if structure, err = r.readStructure(&bits); err != nil {
			return err
		}
		mask = uint32(1<<structure.Targets - 1)
	}
	if structure == nil {
		return ErrNoStructure
	}
	if active {
		mask = bits.bits(structure.Targets)
	}
	d.Structure, d.Offered, d.Active = structure, mask, mask
	if err := d.define(&bits, id, indications, diffs, chains); err != nil {
		return err
	}
	r.learn(d, d.Attached || active)
	return nil
}

// readStructure returns the structure in use when it has come again, and a new one otherwise.
func (r *DescriptorReader) readStructure(bits *bitReader) (*Structure, error) {
	r.scratch = Structure{}
	if err := r.scratch.read(bits); err != nil {
		return nil, err
	}
	if r.structure != nil && *r.structure == r.scratch {
		return r.structure, nil
	}
	s := r.scratch
	return &s, nil
}

// learn keeps what later descriptors refer to.
func (r *DescriptorReader) learn(d *Descriptor, mask bool) {
	if d.Attached && (r.structure == nil || !SeqLess(d.Frame, r.since)) {
		r.structure, r.since = d.Structure, d.Frame
		r.active, r.activeAt = d.Active, d.Frame
	} else if mask && !SeqLess(d.Frame, r.activeAt) {
		r.active, r.activeAt = d.Active, d.Frame
	}
}

// define reads frame_dependency_definition: a template, and where the frame differs from it.
func (d *Descriptor) define(bits *bitReader, id uint8, indications, diffs, chains bool) error {
	s := d.Structure
	index := int(id-s.offset) & (maxTemplates - 1)
	if index >= s.templateCount {
		return ErrDescriptor
	}
	t := &s.templates[index]
	d.Spatial, d.Temporal = t.spatial, t.temporal
	d.indications, d.diffCount, d.chains = t.indications, t.diffCount, t.chains
	for i, diff := range t.diffs {
		d.diffs[i] = uint16(diff)
	}
	if indications {
		d.indications = readIndications(bits, s.Targets)
	}
	if diffs && !d.readDiffs(bits) {
		return ErrDescriptor
	}
	if chains {
		for chain := range s.Chains {
			d.chains[chain] = uint8(bits.bits(8))
		}
	}
	if bits.short {
		return ErrDescriptor
	}
	return nil
}

// readDiffs reads differences of 4, 8 or 12 bits, each behind its size.
func (d *Descriptor) readDiffs(bits *bitReader) bool {
	d.diffCount = 0
	for size := bits.bits(2); size != 0; size = bits.bits(2) {
		if d.diffCount == maxDiffs {
			return false
		}
		d.diffs[d.diffCount] = uint16(bits.bits(4*int(size))) + 1
		d.diffCount++
	}
	return true
}
