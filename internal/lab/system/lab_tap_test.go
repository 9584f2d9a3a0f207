package system_test

import (
	"net"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// The tap sees each RTP packet of a region as it goes out and as it comes in, and nothing else.
func TestLabTap(t *testing.T) {
	region := lab.NewWorld(t, lab.Path{}, "eu").Regions[0]
	from, to := region.ListenUDP(t), region.ListenUDP(t)
	tap := region.Tap(t)
	const packets = 100
	for i := range packets {
		rtp := []byte{0x80, 96, 0, byte(i), 1, 2, 3, 4, 5, 6, 7, 8, 'd', 'a', 't', 'a'}
		rtcp := []byte{0x80, 201, 0, 1, 0, 0, 0, 1}
		for _, b := range [][]byte{rtp, rtcp} {
			if _, err := from.WriteTo(b, to.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
	}
	buf := make([]byte, 100)
	for range 2 * packets {
		if err := to.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := to.ReadFrom(buf); err != nil {
			t.Fatal(err)
		}
	}
	out, in := map[uint16]lab.Sighting{}, map[uint16]lab.Sighting{}
	for _, s := range tap.Stop(t) {
		if s.Type != 96 || s.Timestamp != 0x01020304 || s.SSRC != 0x05060708 || s.Size != 16 || s.To != to.LocalAddr().(*net.UDPAddr).AddrPort() {
			t.Errorf("saw %+v", s)
		}
		if s.Out {
			out[s.Sequence] = s
		} else {
			in[s.Sequence] = s
		}
	}
	if len(out) != packets || len(in) != packets {
		t.Errorf("saw %d packets go out and %d come in, want %d each", len(out), len(in), packets)
	}
	for seq, s := range in {
		if took := s.At.Sub(out[seq].At); took < 0 || took > time.Second {
			t.Errorf("packet %d took %s", seq, took)
		}
	}
}
