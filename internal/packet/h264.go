package packet

import "encoding/binary"

// NAL unit types of H.264 and of its RTP payload (RFC 6184 section 5.2).
const (
	nalIDR   = 5
	nalSPS   = 7
	nalSTAPA = 24
	nalFUA   = 28
)

// H264Keyframe looks into an RTP payload of H.264 (RFC 6184: single NAL unit, STAP-A, FU-A). keyframe says that it
// carries a part of a keyframe: a sequence parameter set or IDR slices. start says that a decoder can start here: the
// sequence parameter set, which WebRTC senders put in front of every keyframe, and without which an IDR slice of
// another layer cannot be decoded.
func H264Keyframe(payload []byte) (keyframe, start bool) {
	if len(payload) == 0 {
		return false, false
	}
	switch kind := payload[0] & 0x1F; kind {
	case nalIDR:
		return true, false
	case nalSPS:
		return true, true
	case nalSTAPA:
		return stapKeyframe(payload[1:])
	case nalFUA:
		if len(payload) < 2 {
			return false, false
		}
		first, kind := payload[1]&0x80 != 0, payload[1]&0x1F
		return kind == nalIDR || kind == nalSPS, kind == nalSPS && first
	}
	return false, false
}

// stapKeyframe walks the units of an aggregation packet, each behind its 16-bit size.
func stapKeyframe(b []byte) (keyframe, start bool) {
	for len(b) > 2 {
		size := int(binary.BigEndian.Uint16(b))
		if size == 0 || len(b) < 2+size {
			break
		}
		switch b[2] & 0x1F {
		case nalSPS:
			return true, true
		case nalIDR:
			keyframe = true
		}
		b = b[2+size:]
	}
	return keyframe, false
}
