package packet

import "encoding/binary"

const vp9MaxDiffs = 3

// VP9 is what the payload descriptor of a VP9 packet says (RFC 9628 section 4.2). A picture has one layer frame for each
// spatial layer.
type VP9 struct {
	Start        bool   // first packet of a layer frame
	End          bool   // last packet of a layer frame
	Inter        bool   // the layer frame refers to earlier pictures
	Flexible     bool   // what it refers to is told packet by packet, in Diffs
	NotReference bool   // no higher spatial layer refers to it
	HasPictureID bool   // PictureID is present
	Wide         bool   // PictureID has 15 bits, not 7
	PictureID    uint16 // counts pictures
	HasLayers    bool   // TID, SID, SwitchUp and InterLayer are present
	TID          uint8  // temporal layer
	SID          uint8  // spatial layer
	SwitchUp     bool   // no later picture of a higher temporal layer refers to anything in front of this one
	InterLayer   bool   // the layer frame refers to the next lower one of its picture
	HasTL0       bool   // TL0 is present
	TL0          uint8  // TL0PICIDX: counts pictures of the lowest temporal layer
	Size         int    // bytes of the descriptor
	DiffCount    uint8  // of Diffs
	Diffs        [vp9MaxDiffs]uint8
	Spatial      uint8            // number of spatial layers; 0 without a scalability structure
	Sizes        [MaxSpatial]Size // of the picture by spatial layer; zero when not told
}

// Keyframe reports whether the packet belongs to the lowest layer frame of a keyframe, where a decoder can start.
func (d *VP9) Keyframe() bool { return !d.Inter && !d.InterLayer && d.SID == 0 }

// ParseVP9 reads the descriptor of one VP9 payload. One without a byte of picture behind it is ErrShort.
func ParseVP9(payload []byte) (VP9, error) {
	var d VP9
	r := byteReader{b: payload}
	flags := r.next()
	d.Inter, d.Flexible = flags&0x40 != 0, flags&0x10 != 0
	d.Start, d.End, d.NotReference = flags&0x08 != 0, flags&0x04 != 0, flags&0x01 != 0
	if d.HasPictureID = flags&0x80 != 0; d.HasPictureID {
		id := r.next()
		d.PictureID = uint16(id & 0x7F)
		if d.Wide = id&0x80 != 0; d.Wide {
			d.PictureID = d.PictureID<<8 | uint16(r.next())
		}
	}
	if d.HasLayers = flags&0x20 != 0; d.HasLayers {
		layers := r.next()
		d.TID, d.SwitchUp, d.SID, d.InterLayer = layers>>5, layers&0x10 != 0, layers>>1&7, layers&1 != 0
		if d.HasTL0 = !d.Flexible; d.HasTL0 {
			d.TL0 = r.next()
		}
	}
	for more := d.Flexible && d.Inter; more; {
		if d.DiffCount == vp9MaxDiffs {
			return VP9{}, ErrDescriptor
		}
		diff := r.next()
		d.Diffs[d.DiffCount], more = diff>>1, diff&1 != 0
		d.DiffCount++
	}
	if flags&0x02 != 0 {
		d.parseStructure(&r)
	}
	if d.Size = r.at; r.at >= len(payload) {
		return VP9{}, ErrShort
	}
	return d, nil
}

// parseStructure reads the scalability structure, of which the sizes are kept: which picture refers to which is of no use
// to somebody who forwards, since it says nothing of what may be left out.
func (d *VP9) parseStructure(r *byteReader) {
	head := r.next()
	d.Spatial = head>>5 + 1
	if head&0x10 != 0 {
		for i := range d.Spatial {
			size := r.take(4)
			if i < MaxSpatial {
				d.Sizes[i] = Size{binary.BigEndian.Uint16(size), binary.BigEndian.Uint16(size[2:])}
			}
		}
	}
	if head&0x08 != 0 {
		for range r.next() {
			r.take(int(r.next() >> 2 & 3))
		}
	}
}

// pictureBits is how wide PictureID is.
func (d *VP9) pictureBits() int {
	if d.Wide {
		return 15
	}
	return 7
}

// RewriteVP9 copies payload, whose descriptor is d, to dst with another picture id and TL0PICIDX where it has them, and returns the bytes
// written: as many as payload has, or 0 when dst has no room. Of the picture id as many bits count as were there.
func RewriteVP9(dst, payload []byte, d *VP9, pictureID uint16, tl0 uint8) int {
	if len(dst) < len(payload) || len(payload) < d.Size {
		return 0
	}
	copy(dst, payload)
	at := 1
	if d.HasPictureID && d.Wide {
		binary.BigEndian.PutUint16(dst[at:], pictureID|0x8000)
		at += 2
	} else if d.HasPictureID {
		dst[at] = byte(pictureID & 0x7F)
		at++
	}
	if d.HasTL0 {
		dst[at+1] = tl0 // behind the layers
	}
	return len(payload)
}

// byteReader reads bytes in order. Behind the end all are 0, and at is behind it too.
type byteReader struct {
	b  []byte
	at int
}

func (r *byteReader) next() byte {
	r.at++
	if r.at > len(r.b) {
		return 0
	}
	return r.b[r.at-1]
}

// take returns the next n bytes, at most 4.
func (r *byteReader) take(n int) []byte {
	from := r.at
	r.at += n
	if r.at > len(r.b) {
		return []byte{0, 0, 0, 0}[:n]
	}
	return r.b[from:r.at]
}
