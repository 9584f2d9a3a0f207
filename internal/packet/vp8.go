package packet

import "encoding/binary"

// VP8 is what the payload descriptor of a VP8 packet says (RFC 7741 section 4.2), with the first bytes of the picture
// behind it (section 4.3) where the packet has them.
type VP8 struct {
	Start        bool   // first packet of a picture: S is set and the partition is 0
	Keyframe     bool   // Start of a keyframe
	HasPictureID bool   // PictureID is present
	Wide         bool   // PictureID has 15 bits, not 7
	PictureID    uint16 // counts pictures
	HasTL0       bool   // TL0 is present
	TL0          uint8  // TL0PICIDX: counts pictures of the lowest temporal layer
	HasTID       bool   // TID and Sync are present
	TID          uint8  // temporal layer, 0 is the lowest
	Sync         bool   // needs nothing but the lowest temporal layer: a place to switch up
	HasKeyIndex  bool   // KeyIndex is present
	KeyIndex     uint8  // KEYIDX: counts keyframes
	Size         int    // bytes of the descriptor
	Width        uint16 // of a keyframe, in pixels; 0 when unknown
	Height       uint16 // likewise

	pictureAt int // where PictureID and TL0 stand in the payload
	tl0At     int
}

// ParseVP8 reads the descriptor of one VP8 payload. A payload without a byte of picture behind it is ErrShort.
func ParseVP8(payload []byte) (VP8, error) {
	var d VP8
	if len(payload) < 2 {
		return VP8{}, ErrShort
	}
	d.Start = payload[0]&0x10 != 0 && payload[0]&0x07 == 0
	d.Size = 1
	if payload[0]&0x80 != 0 && !d.parseExtended(payload) {
		return VP8{}, ErrShort
	}
	if len(payload) <= d.Size {
		return VP8{}, ErrShort
	}
	if d.Start && payload[d.Size]&0x01 == 0 { // the P bit of the frame header is inverse: 0 is a keyframe
		d.Keyframe = true
		d.parseSize(payload[d.Size:])
	}
	return d, nil
}

// parseExtended reads the optional fields that the X bit announces, and reports whether they fit.
func (d *VP8) parseExtended(b []byte) bool {
	flags, at := b[1], 2
	if flags&0x80 != 0 {
		if len(b) <= at+1 { // a second byte must follow in any case: of the id, or of the picture
			return false
		}
		d.HasPictureID, d.pictureAt = true, at
		d.PictureID = uint16(b[at] & 0x7F)
		if b[at]&0x80 != 0 {
			d.Wide = true
			d.PictureID = binary.BigEndian.Uint16(b[at:]) & 0x7FFF
			at++
		}
		at++
	}
	if flags&0x40 != 0 {
		if len(b) <= at {
			return false
		}
		d.HasTL0, d.tl0At, d.TL0 = true, at, b[at]
		at++
	}
	if flags&0x30 != 0 {
		if len(b) <= at {
			return false
		}
		if d.HasTID = flags&0x20 != 0; d.HasTID {
			d.TID, d.Sync = b[at]>>6, b[at]&0x20 != 0
		}
		if d.HasKeyIndex = flags&0x10 != 0; d.HasKeyIndex {
			d.KeyIndex = b[at] & 0x1F
		}
		at++
	}
	d.Size = at
	return true
}

// parseSize reads the dimensions from a keyframe's header (RFC 6386 section 9.1).
func (d *VP8) parseSize(picture []byte) {
	if len(picture) < 10 || picture[3] != 0x9D || picture[4] != 0x01 || picture[5] != 0x2A {
		return
	}
	d.Width = binary.LittleEndian.Uint16(picture[6:]) & 0x3FFF
	d.Height = binary.LittleEndian.Uint16(picture[8:]) & 0x3FFF
}

// RewriteVP8 copies payload, whose descriptor is d, to dst with another picture id and TL0PICIDX, and returns the bytes
// written. Fields that the descriptor lacks stay absent. A picture id is always written in 15 bits, so that it goes on
// counting over sources of either width: the payload keeps its size when d.Wide or when it has no picture id, and grows
// by one byte when its picture id has 7 bits. RewriteVP8 returns 0 when dst has no room; dst must not overlap payload.
func RewriteVP8(dst, payload []byte, d *VP8, pictureID uint16, tl0 uint8) int {
	grow := 0
	if d.HasPictureID && !d.Wide {
		grow = 1
	}
	if len(dst) < len(payload)+grow || len(payload) < d.Size {
		return 0
	}
	if grow == 0 {
		copy(dst, payload)
	} else {
		copy(dst, payload[:d.pictureAt])
		copy(dst[d.pictureAt+2:], payload[d.pictureAt+1:])
	}
	if d.HasPictureID {
		binary.BigEndian.PutUint16(dst[d.pictureAt:], pictureID|0x8000)
	}
	if d.HasTL0 {
		dst[d.tl0At+grow] = tl0
	}
	return len(payload) + grow
}
