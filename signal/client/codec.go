package client

import (
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

// codec is one codec that the client can send and receive, with its retransmission format (RFC 4588) for video.
type codec struct {
	kind   webrtc.RTPCodecType
	params webrtc.RTPCodecParameters
	rtx    webrtc.PayloadType // 0: none
}

// knownCodecs lists what the client knows. Payload types are fixed: the client always offers, so they are its to choose.
func knownCodecs() []codec {
	video := []webrtc.RTCPFeedback{
		{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"}, {Type: "transport-cc"},
	}
	return []codec{
		{kind: webrtc.RTPCodecTypeAudio, params: webrtc.RTPCodecParameters{
			PayloadType: 111,
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
				RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "transport-cc"}},
			},
		}},
		{kind: webrtc.RTPCodecTypeVideo, rtx: 97, params: webrtc.RTPCodecParameters{
			PayloadType: 96,
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: webrtc.MimeTypeVP8, ClockRate: 90000, RTCPFeedback: video,
			},
		}},
		{kind: webrtc.RTPCodecTypeVideo, rtx: 103, params: webrtc.RTPCodecParameters{
			PayloadType: 102,
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: webrtc.MimeTypeH264, ClockRate: 90000, RTCPFeedback: video,
				SDPFmtpLine: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
			},
		}},
		{kind: webrtc.RTPCodecTypeVideo, rtx: 99, params: webrtc.RTPCodecParameters{
			PayloadType: 98,
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: webrtc.MimeTypeVP9, ClockRate: 90000, RTCPFeedback: video, SDPFmtpLine: "profile-id=0",
			},
		}},
		{kind: webrtc.RTPCodecTypeVideo, rtx: 101, params: webrtc.RTPCodecParameters{
			PayloadType: 100,
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType: webrtc.MimeTypeAV1, ClockRate: 90000, RTCPFeedback: video, SDPFmtpLine: "profile=0",
			},
		}},
	}
}

// codecFor finds a codec by its MIME type, in any case.
func codecFor(mime string) (codec, error) {
	for _, c := range knownCodecs() {
		if strings.EqualFold(c.params.MimeType, mime) {
			return c, nil
		}
	}
	return codec{}, fmt.Errorf("codec %q is not supported", mime)
}

// parameters returns the codec and its retransmission format as pion wants them.
func (c codec) parameters() []webrtc.RTPCodecParameters {
	if c.rtx == 0 {
		return []webrtc.RTPCodecParameters{c.params}
	}
	return []webrtc.RTPCodecParameters{c.params, {
		PayloadType: c.rtx,
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeRTX, ClockRate: c.params.ClockRate,
			SDPFmtpLine: fmt.Sprintf("apt=%d", c.params.PayloadType),
		},
	}}
}

// preferences returns the parameters of several codecs, best first.
func preferences(mimes []string) ([]webrtc.RTPCodecParameters, error) {
	var out []webrtc.RTPCodecParameters
	for _, mime := range mimes {
		c, err := codecFor(mime)
		if err != nil {
			return nil, err
		}
		out = append(out, c.parameters()...)
	}
	return out, nil
}
