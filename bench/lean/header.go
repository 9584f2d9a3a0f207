package lean

import "encoding/binary"

// header is what a viewer reads of an RTP packet (RFC 3550, section 5.1), all of it in the clear under SRTP.
type header struct {
	marker      bool
	payloadType uint8
	padded      bool // has padding, whose size is encrypted
	seq         uint16
	time        uint32
	ssrc        uint32
	size        int // bytes in front of the payload
	payload     int // bytes of it, padding included, the tag of SRTP not
}

const (
	fixedHeader = 12
	gcmTag      = 16 // that AEAD_AES_128_GCM puts behind the payload (RFC 7714)
)

// parseHeader reads the header of an SRTP packet. It reports false for what can be none.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < fixedHeader+gcmTag || b[0]>>6 != 2 {
		return h, false
	}
	h.payloadType = b[1] & 0x7f
	h.marker, h.padded = b[1]&0x80 != 0, b[0]&0x20 != 0
	h.seq, h.time, h.ssrc = binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	h.size = fixedHeader + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 {
		if len(b) < h.size+4 {
			return h, false
		}
		h.size += 4 + 4*int(binary.BigEndian.Uint16(b[h.size+2:]))
	}
	h.payload = len(b) - h.size - gcmTag
	return h, h.payload >= 0
}

// kind is what a datagram on a media socket is, by its first bytes (RFC 7983, section 7; RFC 5761, section 4).
type kind int

const (
	kindOther kind = iota
	kindSTUN
	kindDTLS
	kindRTP
	kindRTCP
)

func kindOf(b []byte) kind {
	switch {
	case len(b) < 2:
		return kindOther
	case b[0] < 4:
		return kindSTUN
	case b[0] >= 20 && b[0] < 64:
		return kindDTLS
	case b[0] < 128 || b[0] > 191:
		return kindOther
	case b[1] >= 192 && b[1] <= 223:
		return kindRTCP
	default:
		return kindRTP
	}
}
