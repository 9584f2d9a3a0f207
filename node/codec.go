package node

import (
	"slices"
	"strings"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/sdp"
)

// codec is a payload format that the node forwards.
type codec uint8

const (
	noCodec codec = iota
	opus
	vp8
	h264
	vp9
	av1
	codecCount
)

// The header extensions that the node understands.
const (
	uriMID         = "urn:ietf:params:rtp-hdrext:sdes:mid"
	uriRID         = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	uriRepairedRID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
	uriAudioLevel  = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	uriOrientation = "urn:3gpp:video-orientation"
	uriDescriptor  = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
	uriCapture     = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
	uriTWCC        = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
)

// The forms of feedback that receivers may give about what they are sent altogether.
const (
	feedbackTWCC = "transport-cc"
	feedbackREMB = "goog-remb"
)

// feedbackNACK asks for packets again (RFC 4585 section 6.2.1).
const feedbackNACK = "nack"

// nameRED is the format that repeats packets of another (RFC 2198).
const nameRED = "red"

const (
	audioRate = 48000
	videoRate = 90000
)

// scalable reports whether streams of the codec may have layers that the dependency descriptor tells of.
func (c codec) scalable() bool { return c == vp9 || c == av1 }

// describe fills the codec's fields of a packet. What cannot be read is forwarded as it is. mu is held.
func (l *layer) describe(p *packet.Packet) {
	switch l.codec {
	case vp8:
		_ = p.DescribeVP8()
	case h264:
		p.DescribeH264()
	case vp9:
		_ = p.DescribeVP9()
		l.describeFrame(p)
	case av1:
		_ = p.DescribeAV1()
		l.describeFrame(p)
	case noCodec, opus, codecCount:
	}
}

// limit notes which sizes of the stream come. mu is held.
func (l *layer) limit(p *packet.Packet, carried uint8) {
	l.carried = carried
	if carried != packet.AllSizes && p.Descriptor.Structure != nil {
		p.Descriptor.Limit(carried)
	}
}

// describeFrame reads the dependency descriptor, whose word counts more than the payload's. mu is held.
func (l *layer) describeFrame(p *packet.Packet) {
	ext := p.Extension(p.Buf, l.track.ids.descriptor)
	if ext == nil {
		return
	}
	if l.frames == nil {
		l.frames = &packet.DescriptorReader{}
	}
	_ = p.DescribeFrame(l.frames, ext)
}

// codecOf recognises an offered format, or returns noCodec. Of H.264 only the constrained baseline profile in
// packetization mode 1 is taken, of VP9 and AV1 profile 0: every client has them, and one answer serves all slots.
func codecOf(f sdp.Codec) codec {
	switch f.Name {
	case "opus":
		return opus
	case "vp8":
		return vp8
	case "h264":
		if f.Parameter("packetization-mode") == "1" && strings.HasPrefix(strings.ToLower(f.Parameter("profile-level-id")), "42") {
			return h264
		}
	case "vp9":
		if profile := f.Parameter("profile-id"); profile == "" || profile == "0" {
			return vp9
		}
	case "av1":
		if profile := f.Parameter("profile"); profile == "" || profile == "0" {
			return av1
		}
	}
	return noCodec
}

// accept returns the formats of an m-line that the node takes, in the offerer's order and one of each codec, with the
// feedback that the node gives or understands.
func accept(s *sdp.Section, feedback ...string) []sdp.Codec {
	var got [codecCount]bool
	var accepted []sdp.Codec
	for _, f := range s.Codecs {
		c := codecOf(f)
		if c == noCodec || got[c] || (c == opus) != (s.Kind == "audio") {
			continue
		}
		got[c] = true
		offered := f.Feedback
		f.Feedback = nil
		for _, want := range feedback {
			if slices.Contains(offered, want) {
				f.Feedback = append(f.Feedback, want)
			}
		}
		if c == opus {
			f.Parameters = "minptime=10;useinbandfec=1;usedtx=1"
		}
		accepted = append(accepted, f)
	}
	return accepted
}

// payload is the meaning of an RTP payload type.
type payload struct {
	codec  codec
	repair bool  // retransmissions (RFC 4588) of primary
	red    bool  // packets of the codec with earlier ones repeated in front (RFC 2198)
	other  uint8 // payload type of what this repairs, or of what repairs this
}

// payloads is the meaning of all payload types of one connection.
type payloads [128]payload

func (ps *payloads) learn(accepted []sdp.Codec) {
	for _, f := range accepted {
		c := codecOf(f)
		if f.Name == nameRED {
			ps[f.PayloadType] = payload{codec: opus, red: true}
			continue
		}
		ps[f.PayloadType] = payload{codec: c, other: f.RTX}
		if f.RTX != 0 {
			ps[f.RTX] = payload{codec: c, repair: true, other: f.PayloadType}
		}
	}
}
