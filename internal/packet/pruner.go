package packet

import "math/bits"

// AllSizes is the set of all spatial layers that a stream can have, as bits.
const AllSizes uint8 = 1<<MaxSpatial - 1

// Pruner says which packets of a stream with several sizes cross a link whose other end wants some of these: all that any of them is needed for, at
// every frame rate. Numbers stay as they are, and what was left out is told with the packets behind it (AppendNotice).
//
// A size goes with the next picture if all that is still wanted was carried so far, and one comes with a keyframe; until then all goes on as it was. What
// came before the first packet counts as carried. Memory is fixed. The zero value carries everything.
type Pruner struct {
	wanted    uint8      // spatial layers, as bits; 0 is all
	carried   uint8      // likewise, those that are whole at the other end; 0 before the first picture
	offered   uint8      // likewise, those that come
	structure *Structure // of the newest picture; nil where the payload alone tells
	order     arrivalOrder
	pictures  pictureLog
	fates     frameLog // by sequence number: was it carried
	marks     frameLog // likewise: has it a marker bit
	leftOut   bool     // anything was, the newest as newestOut
	newestOut uint16
}

// Want sets the spatial layers to be carried, as bits; the highest bit stands for the largest that there is. 0 is all of them.
func (s *Pruner) Want(sizes uint8) { s.wanted = sizes & AllSizes }

// Restart begins anew with a stream that begins again: everything in front of it counts as carried.
func (s *Pruner) Restart() { *s = Pruner{wanted: s.wanted} }

// Lacks reports whether only a keyframe can bring what is wanted.
func (s *Pruner) Lacks() bool { return s.carried != 0 && s.effective()&^s.carried != 0 }

// Nested reports whether each size needs all that the smaller ones do, so that the largest is as much as all of them.
func (s *Pruner) Nested() bool {
	return s.whole(1<<bits.Len8(s.offered)>>1) == s.offered || s.structure == nil
}

// Carried returns, as bits, the spatial layers that are whole at the other end.
func (s *Pruner) Carried() uint8 {
	if s.carried == 0 {
		return AllSizes
	}
	return s.carried
}

// Select reports whether a packet of the stream is to be carried, and with which marker bit: the last packet of what is left of a picture has it. It must be
// given all packets that come, in any order, and may be asked again about one of the last 1,024.
func (s *Pruner) Select(p *Packet) (carry, marker bool) {
	if carry, known := s.fates.find(p.Sequence); known {
		marker, _ = s.marks.find(p.Sequence)
		return carry, marker
	}
	if s.order.take(p.Sequence) && p.PayloadLen != 0 && s.pictures.isNew(p.Timestamp) {
		s.turn(p)
		s.pictures.begin(pictureLimit{timestamp: p.Timestamp, spatial: s.carried})
	}
	limit, ok := s.pictures.find(p.Timestamp)
	if !ok {
		limit.spatial = s.Carried()
	}
	serves, ends := p.place()
	carry = p.PayloadLen != 0 && serves&limit.spatial != 0
	marker = p.Marker || carry && ends == bits.Len8(limit.spatial)
	s.fates.note(p.Sequence, carry)
	s.marks.note(p.Sequence, marker)
	if !carry && (!s.leftOut || SeqLess(s.newestOut, p.Sequence)) {
		s.leftOut, s.newestOut = true, p.Sequence
	}
	return carry, marker
}

// place returns, as bits, the spatial layers that the packet is needed for, all where nothing tells, and how many of them have ended with it.
func (p *Packet) place() (serves uint8, ends int) {
	switch d := &p.Descriptor; {
	case d.Structure != nil && d.End:
		return d.Serves(), int(d.Spatial) + 1
	case d.Structure != nil:
		return d.Serves(), 0
	case p.VP9.HasLayers && p.VP9.End:
		return AllSizes &^ (1<<p.VP9.SID - 1), int(p.VP9.SID) + 1
	case p.VP9.HasLayers:
		return AllSizes &^ (1<<p.VP9.SID - 1), 0
	}
	return AllSizes, 0
}

// turn moves to what is wanted as far as that can be done in front of p, the first packet of a picture.
func (s *Pruner) turn(p *Packet) {
	s.structure, s.offered = p.Descriptor.Structure, AllSizes
	if s.structure != nil {
		s.offered = s.structure.spatials(p.Descriptor.Active)
	}
	want := s.effective()
	if p.Keyframe && p.StartOfFrame || want&^s.Carried() == 0 {
		s.carried = s.whole(want)
	}
}

// effective is what is wanted of what comes: for each size the largest that is not larger, else the smallest.
func (s *Pruner) effective() (sizes uint8) {
	if s.wanted == 0 {
		return s.offered
	}
	for left := s.wanted; left != 0; left &= left - 1 {
		upTo := s.offered & (left&-left<<1 - 1)
		if upTo == 0 {
			upTo = s.offered & -s.offered
		}
		sizes |= 1 << bits.Len8(upTo) >> 1
	}
	return sizes
}

// whole returns the sizes of which nothing is missing where those of a set are carried.
func (s *Pruner) whole(sizes uint8) uint8 {
	if s.structure == nil { // each is needed for those above it
		return 1<<bits.Len8(sizes) - 1
	}
	return s.structure.whole(sizes) & s.offered
}

// spatials returns, as bits, the highest spatial layers of the decode targets of a mask.
func (s *Structure) spatials(active uint32) (spatial uint8) {
	for t := range s.Targets {
		if active>>t&1 != 0 {
			spatial |= 1 << s.spatial[t]
		}
	}
	return spatial
}

// whole returns the spatial layers, as bits, whose frames are all among those that some of the given ones need.
func (s *Structure) whole(given uint8) uint8 {
	all := s.spatials(1<<s.Targets - 1)
	for i := range s.templateCount {
		present := uint32(0)
		for t := range s.Targets {
			if s.templates[i].indications>>(2*t)&3 != 0 {
				present |= 1 << t
			}
		}
		if serves := s.spatials(present); serves&given == 0 {
			all &^= serves
		}
	}
	return all
}

// A notice has the spatial layers that are carried, as bits, and then by turns how many packets were left out and how many were not, from the packet in front
// of its own on back. A packet that is lost takes its notice with it, so each has those of the packets before it.
const (
	noticeRuns  = 5
	noticeReach = 255
)

// AppendNotice appends what goes with the packet of a sequence number: nothing where nothing was left out.
func (s *Pruner) AppendNotice(dst []byte, seq uint16) []byte {
	recent := s.leftOut && SeqDiff(seq, s.newestOut) <= noticeReach
	if !recent && s.offered&^s.carried == 0 {
		return dst
	}
	if dst = append(dst, s.Carried()); !recent {
		return dst
	}
	begin, end, out, run := len(dst), len(dst), true, uint8(0)
	for back := uint16(1); back <= noticeReach; back++ {
		carried, known := s.fates.find(seq - back)
		if is := known && !carried; is != out {
			dst = append(dst, run)
			if out && run > 0 {
				end = len(dst)
			}
			if out, run = is, 0; len(dst)-begin == noticeRuns {
				return dst[:end]
			}
		}
		run++
	}
	if out {
		return append(dst, run)
	}
	return dst[:end]
}

// Notice is what a Pruner tells with a packet: nothing where all is carried.
type Notice []byte

// Carried returns, as bits, the spatial layers that come.
func (n Notice) Carried() uint8 {
	if len(n) == 0 {
		return AllSizes
	}
	return n[0] & AllSizes
}

// LeftOut calls f in order for the numbers in front of the packet's own that were left out.
func (n Notice) LeftOut(seq uint16, f func(seq uint16)) {
	if len(n) == 0 {
		return
	}
	for _, run := range n[1:] {
		seq -= uint16(run)
	}
	for i := len(n) - 1; i > 0; i-- {
		for range n[i] {
			if i%2 == 1 {
				f(seq)
			}
			seq++
		}
	}
}
