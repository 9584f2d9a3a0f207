package packet

import (
	"bytes"
	"errors"
	"testing"
)

// build returns a pooled packet of the bytes that AppendHeader and the payload make, parsed.
func build(tb testing.TB, seq uint16, ts, ssrc uint32, ext *Extensions, payload []byte) *Packet {
	tb.Helper()
	p := Get()
	p.Buf = append(AppendHeader(p.Buf, true, 96, seq, ts, ssrc, ext), payload...)
	if err := p.Unmarshal(); err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestPacketLife(t *testing.T) {
	p := build(t, 7, 90, 5, nil, append([]byte{0x90, 0xA0, 9, 0x40}, keyframe...))
	if err := p.DescribeVP8(); err != nil {
		t.Fatal(err)
	}
	if !p.Keyframe || !p.StartOfFrame || p.TemporalID != 1 || p.VP8.PictureID != 9 || p.VP8.Width != 640 {
		t.Errorf("described as %+v", p.VP8)
	}
	if p.Retain() != p || p.refs.Load() != 2 {
		t.Errorf("%d references", p.refs.Load())
	}
	p.Release()
	if len(p.Buf) == 0 {
		t.Error("gone with a reference left")
	}
	p.Release()
	for range 10 {
		p := Get()
		defer p.Release()
		if p.Header != (Header{}) || p.VP8 != (VP8{}) || p.Keyframe || p.StartOfFrame || p.TemporalID != 0 || p.Arrival != 0 {
			t.Fatalf("reused with %+v", p.Header)
		}
		if len(p.Buf) != 0 || cap(p.Buf) != MaxSize {
			t.Fatalf("buffer of %d/%d bytes", len(p.Buf), cap(p.Buf))
		}
	}
}

func TestPacketDescribe(t *testing.T) {
	t.Run("VP8 padding", func(t *testing.T) {
		p := build(t, 7, 90, 5, nil, nil)
		defer p.Release()
		if err := p.DescribeVP8(); !errors.Is(err, ErrShort) {
			t.Errorf("err = %v", err)
		}
	})
	t.Run("H.264", func(t *testing.T) {
		p := build(t, 7, 90, 5, nil, []byte{0x67, 1})
		defer p.Release()
		p.DescribeH264()
		if !p.Keyframe || !p.StartOfFrame {
			t.Error("no keyframe")
		}
	})
}

func TestRTX(t *testing.T) {
	var ext Extensions
	ext.Add(3, []byte("mid"))
	payload := []byte("what was lost")
	p := build(t, 9000, 1234, 77, &ext, append(AppendRTX(nil, 65535), payload...))
	defer func() { p.Release() }()
	if err := UnwrapRTX(p, 55, 97); err != nil {
		t.Fatal(err)
	}
	before := p.Header
	if before.Sequence != 65535 || before.SSRC != 55 || before.PayloadType != 97 || before.Timestamp != 1234 || !before.Marker {
		t.Errorf("unwrapped as %+v", before)
	}
	if err := p.Unmarshal(); err != nil || p.Header != before {
		t.Errorf("bytes say %+v, %v, fields say %+v", p.Header, err, before)
	}
	if !bytes.Equal(p.Payload(), payload) || string(p.Extension(p.Buf, 3)) != "mid" {
		t.Errorf("payload %q, extension %q", p.Payload(), p.Extension(p.Buf, 3))
	}

	short := build(t, 9000, 1234, 77, nil, []byte{1})
	defer short.Release()
	untouched := bytes.Clone(short.Buf)
	if err := UnwrapRTX(short, 55, 97); !errors.Is(err, ErrShort) || !bytes.Equal(short.Buf, untouched) {
		t.Errorf("err = %v, packet %x", err, short.Buf)
	}
}

// FuzzRTX unwraps whatever parses: the rest of the payload, the padding and all extensions must survive.
func FuzzRTX(f *testing.F) {
	f.Add([]byte{0x80, 97, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 9, 1, 2})
	f.Add([]byte{0xB0, 97, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0xBE, 0xDE, 0, 1, 0x10, 1, 0x20, 2, 9, 9, 2, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := Get()
		defer func() { p.Release() }()
		if len(b) > MaxSize {
			return
		}
		p.Buf = append(p.Buf, b...)
		if p.Unmarshal() != nil {
			return
		}
		old := p.Header
		if err := UnwrapRTX(p, 55, 96); err != nil {
			if old.PayloadLen >= rtxHead {
				t.Fatal(err)
			}
			return
		}
		unwrapped := p.Header
		if err := p.Unmarshal(); err != nil || p.Header != unwrapped {
			t.Fatalf("bytes say %+v, %v, fields say %+v", p.Header, err, unwrapped)
		}
		if !bytes.Equal(p.Payload(), b[old.HeaderLen+rtxHead:old.HeaderLen+old.PayloadLen]) {
			t.Fatal("another payload")
		}
		for id := range uint8(20) {
			if !bytes.Equal(p.Extension(p.Buf, id), old.Extension(b, id)) {
				t.Fatalf("another extension %d", id)
			}
		}
	})
}

func TestAudioLevel(t *testing.T) {
	for name, tc := range map[string]struct {
		ext   []byte
		level uint8
		voice bool
		ok    bool
	}{
		"absent":         {nil, 0, false, false},
		"empty":          {[]byte{}, 0, false, false},
		"voice":          {[]byte{0x80 | 30}, 30, true, true},
		"noise":          {[]byte{90}, 90, false, true},
		"two-byte form":  {[]byte{127, 0}, 127, false, true},
		"as loud as can": {[]byte{0x80}, 0, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			level, voice, ok := AudioLevel(tc.ext)
			if level != tc.level || voice != tc.voice || ok != tc.ok {
				t.Errorf("got %d, %v, %v", level, voice, ok)
			}
		})
	}
}

// TestReplace: a packet that carries a part of its payload is, on the wire and in its header, as one that was sent so.
func TestReplace(t *testing.T) {
	p := Get()
	defer p.Release()
	p.Buf = AppendHeader(p.Buf, true, 63, 7, 960, 42, nil)
	p.Buf = append(p.Buf, 1, 2, 3, 4, 5, 0, 0, 3)
	p.Buf[0] |= 0x20 // three bytes of padding
	if err := p.Unmarshal(); err != nil {
		t.Fatal(err)
	}
	p.Replace(111, p.Payload()[2:])
	want := append(AppendHeader(nil, true, 111, 7, 960, 42, nil), 3, 4, 5)
	if !bytes.Equal(p.Buf, want) || !bytes.Equal(p.Payload(), want[len(want)-3:]) || p.PayloadType != 111 {
		t.Errorf("%x of payload type %d, want %x", p.Buf, p.PayloadType, want)
	}
	var again Header
	if err := again.Parse(p.Buf); err != nil || again.PayloadLen != 3 {
		t.Errorf("parsed again: %v, %d bytes of payload", err, again.PayloadLen)
	}
}
