package packet

import "math/bits"

// pictureMemory is how many pictures back a late packet can still be numbered: the bits of pictures.skipped.
const pictureMemory = 64

// pictures renumbers the VP8 picture ids and TL0PICIDX of one source so that they go on from the source before.
// Pictures lost on the way keep their number free; pictures that were skipped do not.
type pictures struct {
	counting bool // out is meaningful: some source had picture ids
	started  bool // this source had one: newest and wide are meaningful
	wide     bool // ids of this source have 15 bits
	newest   uint16
	out      uint16 // id sent for newest, or for the one in front when newest was skipped
	skipped  uint64 // bit i: the picture i before newest was skipped

	tl0 serial
}

// serial is a kind of number that goes on from one source to the next. Within a source all are moved by the same, and what is left out leaves a
// gap: pictures refer to others by the distance.
type serial struct {
	counting bool   // out is meaningful: some source had such numbers
	started  bool   // this source had one: offset is meaningful
	out      uint16 // newest sent
	offset   uint16
}

func (s *serial) succeed() serial { return serial{counting: s.counting, out: s.out} }

// take returns the number to send for in, of so many bits.
func (s *serial) take(in uint16, bits int) uint16 {
	if !s.started {
		s.started = true
		if s.counting {
			s.offset = s.out + 1 - in
		}
		s.counting, s.out = true, in+s.offset
	}
	out := in + s.offset
	if int16((out-s.out)<<(16-bits)) > 0 {
		s.out = out
	}
	return out & (1<<bits - 1)
}

// again returns what take returned for in.
func (s *serial) again(in uint16, bits int) uint16 { return (in + s.offset) & (1<<bits - 1) }

// layered renumbers what streams with layers count: frames of the dependency descriptor, pictures of VP9 and those of their lowest temporal layer.
type layered struct{ frames, pictures, tl0 serial }

func (s *layered) succeed() layered {
	return layered{s.frames.succeed(), s.pictures.succeed(), s.tl0.succeed()}
}

// number puts what p is sent with into out, again or for the first time.
func (s *layered) number(p *Packet, out *Out, next func(*serial, uint16, int) uint16) {
	if d := &p.Descriptor; d.Structure != nil {
		out.Frame = next(&s.frames, d.Frame, 16)
	}
	if d := &p.VP9; d.HasPictureID {
		out.PictureID = next(&s.pictures, d.PictureID, d.pictureBits())
	}
	if d := &p.VP9; d.HasTL0 {
		out.TL0 = uint8(next(&s.tl0, uint16(d.TL0), 8))
	}
}

// succeed returns the numbering for the next source.
func (s *pictures) succeed() pictures {
	return pictures{counting: s.counting, out: s.out, tl0: s.tl0.succeed()}
}

// ahead returns how many pictures d is in front of newest. In order, each packet's picture is the newest or a later one,
// so that an id that went back, or changed its width, is a new count that starts with the next picture.
func (s *pictures) ahead(d *VP8, inOrder bool) (n int, ok bool) {
	if !s.started {
		return 1, true
	}
	if d.Wide != s.wide {
		return 1, inOrder
	}
	shift := 1 // 15 bits to the top of an int16, where the sign is
	if !d.Wide {
		shift = 9
	}
	n = int(int16((d.PictureID-s.newest)<<shift) >> shift)
	if n < 0 && inOrder {
		return 1, true
	}
	return n, inOrder || n < pictureMemory
}

// advance makes d the newest picture, n in front of the one so far.
func (s *pictures) advance(d *VP8, n int) {
	if !s.counting {
		s.counting, s.out = true, d.PictureID-1
	}
	s.started, s.wide, s.newest = true, d.Wide, d.PictureID
	s.out += uint16(n)
	s.skipped <<= n
}

// take returns the id to send for d. It fails for a picture that was skipped and for one too old to tell.
func (s *pictures) take(d *VP8, inOrder bool) (id uint16, ok bool) {
	n, ok := s.ahead(d, inOrder)
	if !ok {
		return 0, false
	}
	if n > 0 {
		s.advance(d, n)
		n = 0
	}
	return s.numbered(-n)
}

// again returns the id that take returned for d.
func (s *pictures) again(d *VP8) (id uint16, ok bool) {
	n, ok := s.ahead(d, false)
	if !ok || n > 0 {
		return 0, false
	}
	return s.numbered(-n)
}

// numbered returns the id of the picture age before newest.
func (s *pictures) numbered(age int) (id uint16, ok bool) {
	if age >= pictureMemory || s.skipped>>age&1 != 0 {
		return 0, false
	}
	between := bits.OnesCount64(s.skipped & (1<<age - 1))
	return (s.out - uint16(age) + uint16(between)) & 0x7FFF, true
}

// leftOut reports whether the number of d was closed.
func (s *pictures) leftOut(d *VP8) bool {
	n, ok := s.ahead(d, false)
	return ok && n <= 0 && -n < pictureMemory && s.skipped>>-n&1 != 0
}

// skip closes the number of d when none of it was sent and nothing newer either.
func (s *pictures) skip(d *VP8, inOrder bool) {
	if n, ok := s.ahead(d, inOrder); ok && n > 0 {
		s.advance(d, n)
		s.out--
		s.skipped |= 1
	}
}
