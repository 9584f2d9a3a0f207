package client

import (
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4"
)

// maxPayload is the most payload put into one packet: 1,200 bytes of RTP and room below for SRTP, TURN and IPv6.
const maxPayload = 1160

// newPayloader returns what cuts frames of a codec into packets.
func newPayloader(mime string) rtp.Payloader {
	switch mime {
	case webrtc.MimeTypeVP8:
		return &vp8Payloader{}
	case webrtc.MimeTypeH264:
		return &codecs.H264Payloader{}
	case webrtc.MimeTypeVP9:
		return &codecs.VP9Payloader{}
	case webrtc.MimeTypeAV1:
		return &codecs.AV1Payloader{}
	default:
		return &codecs.OpusPayloader{}
	}
}

// vp8Payloader cuts VP8 frames (RFC 7741) and numbers every frame with a 15-bit picture id. Pion's leaves out the
// number zero, and with it the place of the descriptor's other fields.
type vp8Payloader struct{ picture uint16 }

// Payload returns one payload a packet.
func (p *vp8Payloader) Payload(mtu uint16, frame []byte) [][]byte {
	const descriptor = 4
	if len(frame) == 0 || mtu <= descriptor {
		return nil
	}
	var out [][]byte
	for rest := frame; len(rest) > 0; {
		n := min(len(rest), int(mtu)-descriptor)
		first := byte(0x80) // X: the extension follows
		if len(out) == 0 {
			first |= 0x10 // S: a partition starts
		}
		packet := make([]byte, 0, descriptor+n)
		packet = append(packet, first, 0x80, 0x80|byte(p.picture>>8), byte(p.picture))
		out = append(out, append(packet, rest[:n]...))
		rest = rest[n:]
	}
	p.picture = (p.picture + 1) & 0x7fff
	return out
}

// videoInfo is what the receiving side reads of a video payload.
type videoInfo struct {
	keyframe      bool // the packet starts a keyframe
	width, height int  // of VP8 keyframes
}

// StartsKeyframe reports whether a packet's payload begins a keyframe, and what size its pictures have where its first bytes
// tell: those of VP8 do.
func StartsKeyframe(mime string, payload []byte) (starts bool, width, height int) {
	info := inspect(mime, payload)
	return info.keyframe, info.width, info.height
}

// inspect reads the first bytes of a video packet. Payloads that it does not understand, encrypted ones for one, are no
// keyframes.
func inspect(mime string, payload []byte) videoInfo {
	switch mime {
	case webrtc.MimeTypeVP8:
		return inspectVP8(payload)
	case webrtc.MimeTypeH264:
		return videoInfo{keyframe: startsH264Keyframe(payload)}
	case webrtc.MimeTypeVP9:
		return videoInfo{keyframe: startsVP9Keyframe(payload)}
	case webrtc.MimeTypeAV1:
		return videoInfo{keyframe: len(payload) > 1 && payload[0]&0x88 == 0x08} // N without Z: section 4.4 of the AV1 RTP specification
	default:
		return videoInfo{}
	}
}

// inspectVP8 reads the payload descriptor (RFC 7741, section 4.2) and the frame header (RFC 6386, section 9.1).
func inspectVP8(payload []byte) videoInfo {
	var p codecs.VP8Packet
	frame, err := p.Unmarshal(payload)
	const header = 10
	if err != nil || p.S != 1 || p.PID != 0 || len(frame) < header || frame[0]&1 != 0 {
		return videoInfo{}
	}
	return videoInfo{
		keyframe: true,
		width:    int(frame[6]) | int(frame[7]&0x3f)<<8,
		height:   int(frame[8]) | int(frame[9]&0x3f)<<8,
	}
}

// startsVP9Keyframe reads the payload descriptor (RFC 9628, section 4.2).
func startsVP9Keyframe(payload []byte) bool {
	var p codecs.VP9Packet
	_, err := p.Unmarshal(payload)
	return err == nil && p.B && !p.P && !p.D && p.SID == 0
}

// The NAL unit types of H.264 that matter here (RFC 6184, section 5.2).
const (
	nalIDR   = 5
	nalSPS   = 7
	nalSTAPA = 24
	nalFUA   = 28
	nalMask  = 0x1f
)

// startsH264Keyframe looks for the parameter sets or the IDR slice that a keyframe starts with.
func startsH264Keyframe(payload []byte) bool {
	if len(payload) < 2 {
		return false
	}
	switch kind := payload[0] & nalMask; kind {
	case nalIDR, nalSPS:
		return true
	case nalSTAPA:
		return stapHasKeyframe(payload[1:])
	case nalFUA:
		start := payload[1]&0x80 != 0
		inner := payload[1] & nalMask
		return start && (inner == nalIDR || inner == nalSPS)
	default:
		return false
	}
}

// stapHasKeyframe walks the units of an aggregation packet: two bytes of length, then the unit.
func stapHasKeyframe(units []byte) bool {
	for len(units) > 2 {
		size := int(units[0])<<8 | int(units[1])
		if size == 0 || len(units) < 2+size {
			return false
		}
		if kind := units[2] & nalMask; kind == nalIDR || kind == nalSPS {
			return true
		}
		units = units[2+size:]
	}
	return false
}
