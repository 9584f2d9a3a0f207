package packet

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
	"pgregory.net/rapid"
)

// TestAppendHeader reads back what was written, with our parser and with pion's.
func TestAppendHeader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ext Extensions
		ext.Add(9, []byte("left over from the last packet"))
		ext.Reset()
		want := map[uint8][]byte{}
		short := rapid.Bool().Draw(t, "one-byte form")
		for range rapid.IntRange(0, maxExtensions).Draw(t, "elements") {
			id, data := rapid.Uint8Range(1, 255), rapid.SliceOfN(rapid.Byte(), 0, 60)
			if short {
				id, data = rapid.Uint8Range(1, 14), rapid.SliceOfN(rapid.Byte(), 1, 16)
			}
			key, value := id.Draw(t, "id"), data.Draw(t, "data")
			if _, taken := want[key]; !taken && ext.Add(key, value) {
				want[key] = value
			}
		}
		seq, ts, ssrc := rapid.Uint16().Draw(t, "seq"), rapid.Uint32().Draw(t, "ts"), rapid.Uint32().Draw(t, "ssrc")
		marker, pt := rapid.Bool().Draw(t, "marker"), rapid.Uint8Range(0, 127).Draw(t, "pt")
		b := append(AppendHeader([]byte("before"), marker, pt, seq, ts, ssrc, &ext), "payload"...)[len("before"):]

		var h Header
		var theirs rtp.Packet
		if err := h.Parse(b); err != nil {
			t.Fatal(err)
		}
		if err := theirs.Unmarshal(b); err != nil {
			t.Fatal(err)
		}
		if h.Marker != marker || h.PayloadType != pt || h.Sequence != seq || h.Timestamp != ts || h.SSRC != ssrc {
			t.Fatalf("header = %+v", h)
		}
		if string(b[h.HeaderLen:]) != "payload" || string(theirs.Payload) != "payload" {
			t.Fatalf("payload = %q, pion reads %q", b[h.HeaderLen:], theirs.Payload)
		}
		if short && len(want) > 0 && h.profile != oneByteProfile {
			t.Fatalf("profile = %x, want the one-byte form", h.profile)
		}
		for id, data := range want {
			if got := h.Extension(b, id); !bytes.Equal(got, data) || got == nil {
				t.Fatalf("extension %d = %v, want %v", id, got, data)
			}
			if got := theirs.GetExtension(id); !bytes.Equal(got, data) {
				t.Fatalf("extension %d = %v for pion, want %v", id, got, data)
			}
		}
	})
}

func TestExtensionsBounds(t *testing.T) {
	t.Run("id 0", func(t *testing.T) {
		var e Extensions
		if e.Add(0, []byte{1}) {
			t.Error("added")
		}
	})
	t.Run("one element too many", func(t *testing.T) {
		var e Extensions
		for id := range uint8(maxExtensions) {
			if !e.Add(id+1, []byte{1}) {
				t.Fatalf("element %d refused", id)
			}
		}
		if e.Add(100, []byte{1}) {
			t.Error("added")
		}
	})
	t.Run("too long", func(t *testing.T) {
		var e Extensions
		if e.Add(1, make([]byte, 256)) {
			t.Error("256 bytes added")
		}
		if !e.Add(1, make([]byte, 255)) || e.Add(2, make([]byte, 2)) || !e.Add(2, make([]byte, 1)) {
			t.Error("256 bytes together are the limit")
		}
	})
	t.Run("a dependency descriptor gets its frame number, and is one", func(t *testing.T) {
		var e Extensions
		e.Add(1, []byte{1, 2})
		value := []byte{0xC0, 1, 2, 0x80, 7}
		if e.AddDescriptor(2, value[:2], 9) || e.AddDescriptor(0, value, 9) || !e.AddDescriptor(2, value, 0x0A0B) {
			t.Error("taken or refused wrongly")
		}
		b := AppendHeader(nil, false, 96, 1, 2, 3, &e)
		var h Header
		if err := h.Parse(b); err != nil {
			t.Fatal(err)
		}
		if got := h.Extension(b, 2); !bytes.Equal(got, []byte{0xC0, 0x0A, 0x0B, 0x80, 7}) || !bytes.Equal(h.Extension(b, 1), []byte{1, 2}) {
			t.Errorf("% x", got)
		}
	})
	t.Run("nil and empty write no block", func(t *testing.T) {
		if b := AppendHeader(nil, false, 0, 0, 0, 0, nil); len(b) != 12 {
			t.Errorf("nil: %d bytes", len(b))
		}
		if b := AppendHeader(nil, false, 0, 0, 0, 0, &Extensions{}); len(b) != 12 {
			t.Errorf("empty: %d bytes", len(b))
		}
	})
	t.Run("the largest header has the size promised", func(t *testing.T) {
		var e Extensions
		e.Add(1, make([]byte, 249))
		for id := range uint8(maxExtensions - 1) {
			e.Add(id+2, []byte{1})
		}
		if b := AppendHeader(nil, true, 127, 1, 1, 1, &e); len(b) > MaxHeader {
			t.Errorf("%d bytes", len(b))
		}
	})
}
