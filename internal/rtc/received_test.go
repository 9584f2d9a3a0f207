package rtc

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/pion/srtp/v3"
	"pgregory.net/rapid"

	"github.com/parley-sfu/parley/internal/packet"
)

// both returns a sender, our own receiver of its packets and pion's.
func both(t interface{ Fatal(...any) }) (send, own *crypto, theirs *srtp.Context) {
	send, _ = pair(t)
	key, salt := bytes.Repeat([]byte{7}, 16), bytes.Repeat([]byte{9}, 12)
	own = &crypto{received: map[uint32]*received{}}
	var err error
	if own.opener, own.openSalt, err = gcm(key, salt); err != nil {
		t.Fatal(err)
	}
	theirs, err = srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm, srtp.SRTPReplayProtection(replayWindow))
	if err != nil {
		t.Fatal(err)
	}
	return send, own, theirs
}

// sealedAt is a packet with any index.
func sealedAt(t interface{ Fatal(...any) }, c *crypto, index uint64, payload []byte) []byte {
	buf, head, n := packetBytes(t, uint16(index), payload)
	s := Stream{SSRC: 5, roc: uint32(index >> 16), highest: uint16(index), started: true}
	return buf[:c.seal(&s, buf, head, n)]
}

// openWith is what the reader does with a packet.
func openWith(c *crypto, b []byte) ([]byte, error) {
	var h packet.Header
	if err := h.ParseSealed(b); err != nil {
		return nil, err
	}
	dst := make([]byte, packet.MaxSize)
	n, err := c.open(dst, b, &h)
	return dst[:n], err
}

// TestOpensAsPion: of packets in any order, with repetitions, leaps, wraps and forgeries, we take those that pion's SRTP takes.
func TestOpensAsPion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		send, own, theirs := both(t)
		at := int64(rapid.OneOf(rapid.Uint16(), rapid.Uint16Range(0, 3), rapid.Uint16Range(halfWrap-3, halfWrap+3), rapid.Uint16Range(65530, 65535)).Draw(t, "first"))
		step := rapid.OneOf(
			rapid.Int64Range(-5, 5), rapid.Int64Range(-replayWindow-2, replayWindow+2),
			rapid.Int64Range(-halfWrap-3, -halfWrap+3), rapid.Int64Range(halfWrap-3, halfWrap+3), rapid.Int64Range(-70000, 70000),
		)
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			b := sealedAt(t, send, uint64(at), rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "payload"))
			if rapid.IntRange(0, 9).Draw(t, "forged") == 0 {
				b[rapid.IntRange(1, len(b)-1).Draw(t, "where")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			}
			got, err := openWith(own, b)
			want, wrong := theirs.DecryptRTP(nil, b, nil)
			if (err == nil) != (wrong == nil) {
				t.Fatalf("index %d: ours says %v, pion's %v", at, err, wrong)
			}
			if err == nil && !bytes.Equal(got, want) {
				t.Fatalf("index %d opens to something else", at)
			}
			at = max(0, at+step.Draw(t, "step"))
		}
	})
}

func TestNothingIsOpenedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		send, own, _ := both(t)
		taken, at := map[int64]bool{}, int64(rapid.Uint16().Draw(t, "first"))
		for range rapid.IntRange(1, 300).Draw(t, "packets") {
			_, err := openWith(own, sealedAt(t, send, uint64(at), nil))
			if err == nil && taken[at] {
				t.Fatalf("index %d was opened twice", at)
			}
			taken[at] = taken[at] || err == nil
			at = max(0, at+rapid.Int64Range(-1100, 1200).Draw(t, "step"))
		}
	})
}

// TestForgeriesLeaveNothing: packets that are not authentic neither make state nor change it.
func TestForgeriesLeaveNothing(t *testing.T) {
	send, own, _ := both(t)
	forged := sealedAt(t, send, 20000, nil)
	forged[len(forged)-1] ^= 1
	if _, err := openWith(own, forged); err == nil || len(own.received) != 0 {
		t.Fatalf("a forgery gave %v, and state of %d SSRCs", err, len(own.received))
	}
	for _, index := range []uint64{5, 6} {
		if _, err := openWith(own, sealedAt(t, send, index, nil)); err != nil {
			t.Fatal(err)
		}
		if _, err := openWith(own, forged); err == nil {
			t.Fatal("a forgery was opened")
		}
	}
	if got := own.received[5].highest; got != 6 {
		t.Errorf("the newest index is %d", got)
	}
	for n := range forged {
		if _, err := openWith(own, forged[:n]); err == nil {
			t.Errorf("the first %d bytes were opened", n)
		}
	}
}

// FuzzOpen: whatever comes is opened only if it is what the remote has sent.
func FuzzOpen(f *testing.F) {
	send, _, _ := both(f)
	sent := [][]byte{sealedAt(f, send, 1, []byte("hello")), sealedAt(f, send, 65535, nil), sealedAt(f, send, 65536, make([]byte, 300))}
	for _, b := range sent {
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Add([]byte{0x9F, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0xBE, 0xDE, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, own, _ := both(t)
		if len(b) > packet.MaxSize {
			return
		}
		_, err := openWith(own, b)
		known := slices.ContainsFunc(sent, func(s []byte) bool { return bytes.Equal(s, b) })
		if err == nil && !known {
			t.Errorf("opened %x", b)
		}
	})
}

func TestKeyIsUsedUp(t *testing.T) {
	r := received{started: true, highest: lastIndex}
	if r.fresh(r.index(0)) {
		t.Error("another packet after the last index")
	}
}

func TestOpenDoesNotAllocate(t *testing.T) {
	send, own, _ := both(t)
	dst, index := make([]byte, packet.MaxSize), uint64(0)
	sealed := make([][]byte, 1100)
	for i := range sealed {
		sealed[i] = sealedAt(t, send, uint64(i), make([]byte, 1000))
	}
	var h packet.Header
	if got := testing.AllocsPerRun(1000, func() {
		b := sealed[index]
		index++
		_ = h.ParseSealed(b)
		if _, err := own.open(dst, b, &h); err != nil {
			t.Fatal(err)
		}
	}); got > 0.01 { // the first packet makes the SSRC's state
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkOpen(b *testing.B) {
	const packets = 1 << 14 // sealed off the clock
	for _, size := range []int{1100, 120} {
		send, own, theirs := both(b)
		dst, at := make([]byte, packet.MaxSize), uint64(0)
		var sealed [packets][]byte
		more := func(b *testing.B) []byte {
			i := at % packets
			if i == 0 {
				b.StopTimer()
				for k := range sealed {
					sealed[k] = sealedAt(b, send, at+uint64(k), make([]byte, size))
				}
				b.StartTimer()
			}
			at++
			return sealed[i]
		}
		var h packet.Header
		b.Run(fmt.Sprintf("own/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				p := more(b)
				_ = h.ParseSealed(p)
				if _, err := own.open(dst, p, &h); err != nil {
					b.Fatal(err)
				}
			}
		})
		at = 0
		b.Run(fmt.Sprintf("pion/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, err := theirs.DecryptRTP(dst[:0], more(b), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
