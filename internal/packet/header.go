package packet

import (
	"encoding/binary"
	"errors"
)

// What can be wrong with bytes that claim to be RTP. Errors of this package wrap nothing: compare with errors.Is or ==.
var (
	ErrShort   = errors.New("packet: too short")
	ErrVersion = errors.New("packet: RTP version is not 2")
	ErrPadding = errors.New("packet: padding does not fit the packet")
)

const (
	fixedHeader    = 12     // bytes of the RTP header without CSRCs and extensions
	oneByteProfile = 0xBEDE // RFC 8285 section 4.2
	twoByteProfile = 0x1000 // RFC 8285 section 4.3; the low four bits are for the application
)

// Header is a parsed RTP header (RFC 3550 section 5.1). Parse keeps offsets and copies no bytes, so that a Header is
// meaningful only together with the bytes it was parsed from.
type Header struct {
	Marker      bool
	PayloadType uint8
	Sequence    uint16
	Timestamp   uint32
	SSRC        uint32
	HeaderLen   int // bytes in front of the payload: fixed header, CSRCs and extensions
	PayloadLen  int // bytes of payload, padding not counted
	PaddingLen  int // bytes of padding behind the payload, its count byte included

	profile   uint16 // of the extension block, 0 without one
	extension int    // where the extension elements start; they end at HeaderLen
}

// Parse reads the header of b, which is one whole RTP packet. After an error h is of no use.
func (h *Header) Parse(b []byte) error {
	if err := h.ParseSealed(b); err != nil {
		return err
	}
	if b[0]&0x20 != 0 {
		return h.stripPadding(b)
	}
	return nil
}

// ParseSealed is Parse for a packet whose payload is still encrypted: how much of it is padding is not known yet, and counts as
// payload.
func (h *Header) ParseSealed(b []byte) error {
	if len(b) < fixedHeader {
		return ErrShort
	}
	if b[0]>>6 != 2 {
		return ErrVersion
	}
	h.Marker = b[1]&0x80 != 0
	h.PayloadType = b[1] & 0x7F
	h.Sequence = binary.BigEndian.Uint16(b[2:])
	h.Timestamp = binary.BigEndian.Uint32(b[4:])
	h.SSRC = binary.BigEndian.Uint32(b[8:])
	h.HeaderLen = fixedHeader + 4*int(b[0]&0x0F)
	h.profile, h.extension = 0, h.HeaderLen
	if b[0]&0x10 != 0 {
		if len(b) < h.HeaderLen+4 {
			return ErrShort
		}
		h.profile = binary.BigEndian.Uint16(b[h.HeaderLen:])
		h.extension = h.HeaderLen + 4
		h.HeaderLen = h.extension + 4*int(binary.BigEndian.Uint16(b[h.HeaderLen+2:]))
	}
	if len(b) < h.HeaderLen {
		return ErrShort
	}
	h.PayloadLen, h.PaddingLen = len(b)-h.HeaderLen, 0
	return nil
}

// stripPadding takes the padding from the payload. A count of zero is refused: the count counts itself.
func (h *Header) stripPadding(b []byte) error {
	n := int(b[len(b)-1])
	if n == 0 || n > h.PayloadLen {
		return ErrPadding
	}
	h.PaddingLen = n
	h.PayloadLen -= n
	return nil
}

// Extension returns the value of the header extension element id (RFC 8285, one-byte and two-byte form) of the packet b
// that h was parsed from, and nil when there is none. An element present without a value is empty, not nil. The result
// aliases b. Of elements with the same id the first counts; elements behind a malformed one do not exist.
func (h *Header) Extension(b []byte, id uint8) []byte {
	if h.profile == 0 || id == 0 || len(b) < h.HeaderLen {
		return nil
	}
	elements := b[h.extension:h.HeaderLen]
	if h.profile == oneByteProfile {
		return oneByteElement(elements, id)
	}
	if h.profile&0xFFF0 == twoByteProfile {
		return twoByteElement(elements, id)
	}
	return nil
}

func oneByteElement(b []byte, id uint8) []byte {
	for len(b) > 0 {
		if b[0] == 0 { // padding
			b = b[1:]
			continue
		}
		found, end := b[0]>>4, 2+int(b[0]&0x0F)
		if found == 0 || found == 15 || end > len(b) { // 15 is reserved, 0 has no length: both end the list
			return nil
		}
		if found == id {
			return b[1:end:end]
		}
		b = b[end:]
	}
	return nil
}

func twoByteElement(b []byte, id uint8) []byte {
	for len(b) > 0 {
		if b[0] == 0 { // padding
			b = b[1:]
			continue
		}
		if len(b) < 2 {
			return nil
		}
		end := 2 + int(b[1])
		if end > len(b) {
			return nil
		}
		if b[0] == id {
			return b[2:end:end]
		}
		b = b[end:]
	}
	return nil
}

// IsRTPorRTCP tells media from STUN, DTLS and TURN channels on one socket by the first byte (RFC 7983 section 7).
func IsRTPorRTCP(b []byte) bool {
	return len(b) > 1 && b[0] >= 128 && b[0] <= 191
}

// IsRTCP tells RTCP from RTP on one socket by the second byte (RFC 5761 section 4).
func IsRTCP(b []byte) bool {
	return IsRTPorRTCP(b) && b[1] >= 192 && b[1] <= 223
}
