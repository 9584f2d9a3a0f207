package lean

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// server is the other end of a viewer's keys, by somebody else's SRTP.
type server struct{ in, out *srtp.Context }

func newServer(tb testing.TB) (*keys, *server) {
	tb.Helper()
	random := make([]byte, 2*(masterKey+masterSalt))
	_, _ = rand.Read(random)
	theirKey, ownKey, salts := random[:16], random[16:32], random[32:]
	k, err := newKeys(theirKey, salts[:12], ownKey, salts[12:])
	if err != nil {
		tb.Fatal(err)
	}
	s := &server{}
	if s.out, err = srtp.CreateContext(theirKey, salts[:12], srtp.ProtectionProfileAeadAes128Gcm); err != nil {
		tb.Fatal(err)
	}
	if s.in, err = srtp.CreateContext(ownKey, salts[12:], srtp.ProtectionProfileAeadAes128Gcm); err != nil {
		tb.Fatal(err)
	}
	return k, s
}

// seal makes an SRTP packet.
func (s *server) seal(tb testing.TB, p rtp.Packet) []byte {
	tb.Helper()
	p.Version = 2
	plain, err := p.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	b, err := s.out.EncryptRTP(nil, plain, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestKeys: what somebody else seals is read, looked into and refused where it was changed; also after numbers have wrapped.
func TestKeys(t *testing.T) {
	k, s := newServer(t)
	var numbers stream
	payload := []byte("a payload that is longer than what a look into it shows, by some bytes")
	for i := range 70_000 {
		p := rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(65_000 + i), Timestamp: uint32(i), SSRC: 7, PayloadType: 96}, Payload: payload}
		if i%2 == 0 {
			if err := p.SetExtension(1, []byte{1, 2, 3}); err != nil {
				t.Fatal(err)
			}
		}
		b := s.seal(t, p)
		h, ok := parseHeader(b)
		if !ok || h.seq != p.SequenceNumber || h.time != p.Timestamp || h.ssrc != 7 || h.payloadType != 96 || h.payload != len(payload) {
			t.Fatalf("packet %d: header %+v", i, h)
		}
		roc := numbers.index(h.seq)
		if got := k.peek(&h, roc, b); !bytes.Equal(got, payload[:peeked]) {
			t.Fatalf("packet %d: a look shows %q", i, got)
		}
		changed := bytes.Clone(b)
		changed[len(changed)-1-i%len(payload)] ^= 1
		if _, forged := k.read(&h, roc, changed); !forged {
			t.Fatalf("packet %d: a changed one was read", i)
		}
		if got, forged := k.read(&h, roc, b); forged || !bytes.Equal(got, payload) {
			t.Fatalf("packet %d: read %q", i, got)
		}
	}
}

func TestStreamIndex(t *testing.T) {
	var s stream
	for i, step := range []struct {
		seq uint16
		roc uint32
	}{{65_534, 0}, {65_535, 0}, {1, 1}, {0, 1}, {65_533, 0}, {2, 1}, {40_000, 0}, {30_000, 1}, {60_000, 1}, {5, 2}} {
		if got := s.index(step.seq); got != step.roc {
			t.Errorf("step %d: rollover counter of %d = %d, want %d", i, step.seq, got, step.roc)
		}
	}
}

func TestSealRTCP(t *testing.T) {
	k, s := newServer(t)
	for i := range 3 {
		want := &rtcp.PictureLossIndication{SenderSSRC: 9, MediaSSRC: uint32(i)}
		plain, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.in.DecryptRTCP(nil, k.sealRTCP(nil, plain), nil)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("report %d: read %x, want %x: %v", i, got, plain, err)
		}
	}
}
