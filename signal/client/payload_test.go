package client

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

func TestVP8Payloader(t *testing.T) {
	p := &vp8Payloader{picture: 0x7fff}
	frame := bytes.Repeat([]byte{7}, 2500)
	for _, picture := range []uint16{0x7fff, 0} {
		var joined []byte
		for i, payload := range p.Payload(maxPayload, frame) {
			var got codecs.VP8Packet
			part, err := got.Unmarshal(payload)
			if err != nil {
				t.Fatal(err)
			}
			if got.PictureID != picture || got.I != 1 || (got.S == 1) != (i == 0) || len(payload) > maxPayload {
				t.Errorf("packet %d: picture %d, S %d, %d bytes", i, got.PictureID, got.S, len(payload))
			}
			joined = append(joined, part...)
		}
		if !bytes.Equal(joined, frame) {
			t.Error("the frame did not survive")
		}
	}
	if p.Payload(maxPayload, nil) != nil || p.Payload(3, frame) != nil {
		t.Error("something was made of nothing")
	}
}

func TestInspect(t *testing.T) {
	tests := []struct {
		file          string
		width, height int
	}{
		{"vp8-q.ivf", 160, 90},
		{"vp8-h.ivf", 320, 180},
		{"vp8-f.ivf", 640, 360},
		{"h264-f.h264", 0, 0},
	}
	for _, tc := range tests {
		t.Run(tc.file, func(t *testing.T) {
			clip := loadClip(t, tc.file)
			payloader := newPayloader(clip.mime)
			for i, f := range clip.frames {
				payloads := payloader.Payload(maxPayload, f.Data)
				info := inspect(clip.mime, payloads[0])
				if info.keyframe != f.Keyframe {
					t.Fatalf("frame %d: keyframe = %t, want %t", i, info.keyframe, f.Keyframe)
				}
				if f.Keyframe && (info.width != tc.width || info.height != tc.height) {
					t.Errorf("frame %d: %dx%d, want %dx%d", i, info.width, info.height, tc.width, tc.height)
				}
			}
		})
	}
}

// TestInspectScalable: keyframes of codecs that may have layers are known by their first packets, and by no others.
func TestInspectScalable(t *testing.T) {
	vp9 := append([]byte{0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xF0, 0x0B, 0x30}, make([]byte, 3000)...) // of 320 by 180 pixels
	unit := []byte{0x32, 0x80 | 3000&0x7F, 3000 >> 7}
	av1 := slices.Concat([]byte{0x12, 0, 0x0A, 1, 0}, unit, make([]byte, 3000))
	for _, tc := range []struct {
		mime       string
		key, other []byte
	}{
		{webrtc.MimeTypeVP9, vp9, append([]byte{0x86}, make([]byte, 3000)...)},
		{webrtc.MimeTypeAV1, av1, slices.Concat([]byte{0x12, 0}, unit, make([]byte, 3000))},
	} {
		t.Run(tc.mime, func(t *testing.T) {
			payloader := newPayloader(tc.mime)
			for picture, frame := range [][]byte{tc.key, tc.other, tc.key} {
				payloads := payloader.Payload(maxPayload, frame)
				if len(payloads) < 3 {
					t.Fatalf("%d packets", len(payloads))
				}
				for i, payload := range payloads {
					if got := inspect(tc.mime, payload).keyframe; got != (i == 0 && picture != 1) {
						t.Errorf("packet %d of picture %d: keyframe %v", i, picture, got)
					}
				}
			}
		})
	}
}

func FuzzInspect(f *testing.F) {
	f.Add([]byte{0x90, 0x80, 0x80, 0x01, 0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01})
	f.Add([]byte{nalSTAPA, 0, 2, nalSPS, 1, 0, 9, 1})
	f.Add([]byte{nalFUA, 0x80 | nalIDR})
	f.Fuzz(func(t *testing.T, payload []byte) {
		for _, mime := range []string{webrtc.MimeTypeVP8, webrtc.MimeTypeH264, webrtc.MimeTypeVP9, webrtc.MimeTypeAV1, webrtc.MimeTypeOpus} {
			if info := inspect(mime, payload); info.width != 0 && !info.keyframe {
				t.Errorf("%s: a size without a keyframe", mime)
			}
		}
		ParseStamp(payload)
	})
}

func TestStamp(t *testing.T) {
	at := time.Unix(1_700_000_000, 123456789)
	stamped := appendStamp([]byte("payload"), at)
	if len(stamped) != len("payload")+StampSize {
		t.Errorf("a stamp has %d bytes, want %d", len(stamped)-len("payload"), StampSize)
	}
	if got, ok := ParseStamp(stamped); !ok || !got.Equal(at) {
		t.Errorf("ParseStamp = %s, %t, want %s", got, ok, at)
	}
	if _, ok := ParseStamp([]byte("no stamp behind this payload")); ok {
		t.Error("a stamp was read where none is")
	}
}

// TestRepairMarker: retransmissions carry their stream's rid as repaired-rtp-stream-id, everything else is left alone.
func TestRepairMarker(t *testing.T) {
	const rid, repaired = 3, 4
	var got rtp.Header
	marker, err := repairMarker{}.NewInterceptor("")
	if err != nil {
		t.Fatal(err)
	}
	writer := marker.BindLocalStream(&interceptor.StreamInfo{
		SSRC: 1, SSRCRetransmission: 2,
		RTPHeaderExtensions: []interceptor.RTPHeaderExtension{
			{URI: sdp.SDESRTPStreamIDURI, ID: rid}, {URI: sdp.SDESRepairRTPStreamIDURI, ID: repaired},
		},
	}, interceptor.RTPWriterFunc(func(h *rtp.Header, _ []byte, _ interceptor.Attributes) (int, error) {
		got = h.Clone()
		return 0, nil
	}))
	for _, tc := range []struct {
		name          string
		ssrc          uint32
		rid, repaired string
	}{{"media", 1, "q", ""}, {"retransmission", 2, "", "q"}} {
		t.Run(tc.name, func(t *testing.T) {
			h := rtp.Header{Version: 2, SSRC: tc.ssrc}
			if err := h.SetExtension(rid, []byte("q")); err != nil {
				t.Fatal(err)
			}
			if _, err := writer.Write(&h, nil, nil); err != nil {
				t.Fatal(err)
			}
			if string(got.GetExtension(rid)) != tc.rid || string(got.GetExtension(repaired)) != tc.repaired {
				t.Errorf("rid %q, repaired %q, want %q, %q",
					got.GetExtension(rid), got.GetExtension(repaired), tc.rid, tc.repaired)
			}
		})
	}
}
