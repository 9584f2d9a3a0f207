package rtc

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"pgregory.net/rapid"
)

// pair returns what seals with our own GCM and pion's context that opens it.
func pair(t interface{ Fatal(...any) }) (*crypto, *srtp.Context) {
	key, salt := bytes.Repeat([]byte{7}, 16), bytes.Repeat([]byte{9}, 12)
	c := &crypto{}
	var err error
	if c.aead, c.salt, err = gcm(key, salt); err != nil {
		t.Fatal(err)
	}
	open, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	return c, open
}

func packetBytes(t interface{ Fatal(...any) }, seq uint16, payload []byte) (buf []byte, headerLen, n int) {
	h := rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: seq, Timestamp: 1, SSRC: 5}
	if err := h.SetExtension(3, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	head, err := h.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	buf = make([]byte, 0, len(head)+len(payload)+sealOverhead)
	buf = append(append(buf, head...), payload...)
	return buf, len(head), len(buf)
}

// TestSealOpensElsewhere: pion's SRTP opens what we seal, in any order that a network or a cache makes of it, over the wraps
// of the sequence number.
func TestSealOpensElsewhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, open := pair(t)
		s := &Stream{SSRC: 5}
		at := rapid.Uint16().Draw(t, "first")
		since := uint16(0) // packets before the first one sent do not exist
		buf, head, n := packetBytes(t, at, nil)
		if _, err := open.DecryptRTP(nil, buf[:c.seal(s, buf, head, n)], nil); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			if rapid.Bool().Draw(t, "jump") {
				at += rapid.Uint16Range(0, 20000).Draw(t, "by")
			}
			at++
			since++
			late := rapid.Uint16Range(0, min(since, 300)).Draw(t, "late")
			seq := at - late
			payload := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "payload")
			buf, head, n := packetBytes(t, seq, payload)
			got, err := open.DecryptRTP(nil, buf[:c.seal(s, buf, head, n)], nil)
			if err != nil {
				t.Fatalf("sequence %d (%d late): %v", seq, late, err)
			}
			if !bytes.Equal(got[head:], payload) {
				t.Fatal("payload changed")
			}
		}
	})
}

func TestSealDoesNotAllocate(t *testing.T) {
	c, _ := pair(t)
	s := &Stream{SSRC: 5}
	buf, head, n := packetBytes(t, 1, make([]byte, 1000))
	if got := testing.AllocsPerRun(1000, func() { c.seal(s, buf, head, n) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkSeal(b *testing.B) {
	for name, size := range map[string]int{"1100": 1100, "120": 120} {
		b.Run(name, func(b *testing.B) {
			c, _ := pair(b)
			s := &Stream{SSRC: 5}
			buf, head, n := packetBytes(b, 1, make([]byte, size))
			b.ReportAllocs()
			for b.Loop() {
				c.seal(s, buf, head, n)
			}
		})
	}
}
