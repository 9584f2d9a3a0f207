package lean

import (
	"errors"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/internal/sdp"
)

// TestOffer: the node's own parser finds what an offer is to say.
func TestOffer(t *testing.T) {
	got, err := sdp.Parse(offer("ufrag", strings.Repeat("p", 22), fingerprintOf([]byte("x")), 1, 2, []string{mimeVP8, mimeH264}))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Sections) != 3 || got.Ufrag != "ufrag" || got.HashFunction != "sha-256" {
		t.Fatalf("offer %+v", got)
	}
	for i, s := range got.Sections {
		want := []sdp.Codec{{PayloadType: opus, Name: "opus"}}
		if i > 0 {
			want = []sdp.Codec{{PayloadType: vp8, Name: "vp8", RTX: vp8 | repairs}, {PayloadType: h264, Name: "h264", RTX: h264 | repairs}}
		}
		if !s.Usable || s.Direction != sdp.RecvOnly || len(s.Codecs) != len(want) {
			t.Fatalf("section %d: %+v", i, s)
		}
		for j, c := range s.Codecs {
			if c.PayloadType != want[j].PayloadType || c.Name != want[j].Name || c.RTX != want[j].RTX {
				t.Errorf("section %d: codec %+v, want %+v", i, c, want[j])
			}
		}
	}
}

const someAnswer = "v=0\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 110\r\na=mid:0\r\na=ice-ufrag:abcd\r\n" +
	"a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 AA:BB\r\na=ssrc:5 cname:parley\r\n" +
	"a=candidate:1 1 udp 2130706431 127.0.0.1 7881 typ host\r\na=candidate:2 1 tcp 1 127.0.0.1 7881 typ host tcptype passive\r\n" +
	"a=candidate:3 1 udp 1 192.0.2.1 3478 typ relay\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\n" +
	"a=ssrc-group:FID 6 7\r\na=ssrc:6 cname:parley\r\na=ssrc:7 cname:parley\r\n"

func TestAnswer(t *testing.T) {
	a, err := parseAnswer(someAnswer)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.candidates) != 1 || a.candidates[0].String() != "127.0.0.1:7881" {
		t.Errorf("candidates %v", a.candidates)
	}
	if len(a.lines) != 2 || a.lines[0] != (line{"0", 5, 0}) || a.lines[1] != (line{"1", 6, 7}) {
		t.Errorf("lines %+v", a.lines)
	}
	if _, err := parseAnswer(strings.ReplaceAll(someAnswer, "udp", "tcp")); !errors.Is(err, ErrNoUDP) {
		t.Errorf("a node without UDP: %v", err)
	}
	for _, needs := range []string{"ice-ufrag", "ice-pwd", "fingerprint"} {
		if _, err := parseAnswer(strings.ReplaceAll(someAnswer, needs, "x")); err == nil {
			t.Errorf("taken without %s", needs)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(someAnswer)
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAnswer(text)
		if err == nil && (len(a.candidates) == 0 || len(a.candidates) > maxCandidates || a.ufrag == "") {
			t.Errorf("took %+v", a)
		}
	})
}

func FuzzTypeOf(f *testing.F) {
	f.Add([]byte(`{"type":"media.slots","seq":4}`))
	f.Add([]byte(`{"type":"a\"b"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := &signalling{waiting: map[string]chan reply{}}
		told := ""
		err := s.message(raw, func(kind string, _ []byte) error { told = kind; return nil })
		if kind, ok := typeOf(raw); ok && err == nil && told != "" && told != kind && concerns(kind) {
			t.Errorf("the type of %q is %q, read as %q", raw, told, kind)
		}
	})
}
