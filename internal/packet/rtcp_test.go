package packet

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

func marshal(tb testing.TB, packets ...rtcp.Packet) []byte {
	tb.Helper()
	b, err := rtcp.Marshal(packets)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestREMB(t *testing.T) {
	for _, bitrate := range []float32{0, 30_000, 250_000, 262_143, 5_000_000, 4e12} {
		p, rest, ok := NextRTCP(marshal(t, &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: bitrate, SSRCs: []uint32{1, 2}}))
		if !ok || len(rest) != 0 {
			t.Fatalf("%v: not one packet", bitrate)
		}
		got, ok := p.REMB()
		if diff := float64(got) - float64(bitrate); !ok || diff > 0 || diff < -float64(bitrate)/100_000 {
			t.Errorf("REMB = %d, %v; want %v", got, ok, bitrate)
		}
	}
	huge := marshal(t, &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{1}})
	huge[17] = 0xFF // exponent 63
	p, _, _ := NextRTCP(huge)
	if got, ok := p.REMB(); !ok || got != 1<<63-1 {
		t.Errorf("REMB with exponent 63 = %d, %v", got, ok)
	}
}

func TestReportBlocks(t *testing.T) {
	blocks := []rtcp.ReceptionReport{
		{SSRC: 7, FractionLost: 25, TotalLost: 300, LastSequenceNumber: 1<<16 + 9, Jitter: 40, LastSenderReport: 99, Delay: 32768},
		{SSRC: 8, TotalLost: 0xFFFFFE},
	}
	compound := marshal(t,
		&rtcp.ReceiverReport{SSRC: 1, Reports: blocks}, &rtcp.SenderReport{SSRC: 2, Reports: blocks[1:]})
	p, rest, _ := NextRTCP(compound)
	first, ok := p.Report(0)
	want := ReportBlock{SSRC: 7, FractionLost: 25, TotalLost: 300, Highest: 1<<16 + 9, Jitter: 40, LastReport: 99, Delay: 32768}
	if !ok || first != want {
		t.Errorf("block 0 = %+v, %v; want %+v", first, ok, want)
	}
	second, ok := p.Report(1)
	if !ok || second.SSRC != 8 || second.TotalLost != -2 {
		t.Errorf("block 1 = %+v, %v", second, ok)
	}
	for _, i := range []int{-1, 2, 100} {
		if _, ok := p.Report(i); ok {
			t.Errorf("block %d found", i)
		}
	}
	p, rest, ok = NextRTCP(rest)
	if got, found := p.Report(0); !ok || !found || got.SSRC != 8 || len(rest) != 0 {
		t.Errorf("sender report: %+v, %v, %v", got, ok, found)
	}
}

func TestRoundTrip(t *testing.T) {
	now, sent := int64(10*time.Second), int64(9*time.Second)
	for name, tc := range map[string]struct {
		block ReportBlock
		want  time.Duration
		ok    bool
	}{
		"half a second waited": {ReportBlock{LastReport: 1, Delay: 1 << 15}, 500 * time.Millisecond, true},
		"no sender report":     {ReportBlock{Delay: 1 << 15}, 0, false},
		"waited too long":      {ReportBlock{LastReport: 1, Delay: 2 << 16}, 0, false},
	} {
		if got, ok := tc.block.RoundTrip(sent, now); ok != tc.ok || ok && got != tc.want {
			t.Errorf("%s: %v, %v; want %v, %v", name, got, ok, tc.want, tc.ok)
		}
	}
}

func TestNextRTCPPadding(t *testing.T) {
	b := marshal(t, &rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 2})
	padded := append(append([]byte{b[0] | 0x20, b[1], 0, b[3] + 1}, b[4:]...), 0, 0, 0, 4)
	p, rest, ok := NextRTCP(padded)
	if !ok || len(rest) != 0 || len(p.Raw) != len(b) {
		t.Errorf("padded: %d bytes, %d left, %v; want %d", len(p.Raw), len(rest), ok, len(b))
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "version": {0, 200, 0, 0}, "cut short": b[:8],
		"padding of 0":   append(padded[:len(padded)-1:len(padded)-1], 0),
		"padding of all": append(padded[:len(padded)-1:len(padded)-1], 200),
	} {
		if _, _, ok := NextRTCP(bad); ok {
			t.Errorf("%s: taken", name)
		}
	}
}
