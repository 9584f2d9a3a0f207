package packet

import (
	"math/rand/v2"
	"testing"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// told has what feedback says, as arrivals by sequence number; -1 is not received.
func told(tb testing.TB, packets []rtcp.Packet) map[uint16]int64 {
	tb.Helper()
	all := map[uint16]int64{}
	for b := marshal(tb, packets...); len(b) > 0; {
		p, rest, ok := NextRTCP(b)
		if !ok {
			tb.Fatal("not RTCP")
		}
		b = rest
		f, ok := p.TransportFeedback()
		if !ok {
			tb.Fatal("not transport-wide feedback")
		}
		for a, ok := f.Next(); ok; a, ok = f.Next() {
			all[a.Sequence] = -1
			if a.Received {
				all[a.Sequence] = a.At
			}
		}
	}
	return all
}

// TestTransportFeedback reads what another implementation wrote of arrivals in disorder, with gaps and long pauses.
func TestTransportFeedback(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		recorder := twcc.NewRecorder(1)
		sequence, at := uint16(random.Uint32()), int64(random.Uint32())*1000
		want := map[uint16]int64{}
		last := sequence
		for range 1 + random.IntN(400) {
			recorder.Record(2, sequence, at/1000)
			want[sequence], last = at, sequence
			sequence++
			if random.IntN(10) == 0 {
				sequence += uint16(random.IntN(50))
			}
			at += random.Int64N(4_000_000)
			if random.IntN(40) == 0 {
				at += random.Int64N(3_000_000_000)
			}
		}
		packets := recorder.BuildFeedbackPacket()
		got := told(t, packets)
		for s, at := range want {
			// Each delta is rounded to 250 µs and the rest is carried on.
			if diff := got[s] - at; diff > deltaUnit || diff < -deltaUnit {
				t.Fatalf("round %d: packet %d at %d, want %d", round, s, got[s], at)
			}
		}
		if _, ok := got[last]; !ok {
			t.Fatalf("round %d: the last packet is missing", round)
		}
		for s, at := range got {
			if _, ok := want[s]; !ok && at != -1 {
				t.Fatalf("round %d: packet %d was never sent", round, s)
			}
		}
	}
}

func TestTransportFeedbackRefuses(t *testing.T) {
	// Header, two SSRCs, base 5, count, reference 1, number 2, then chunks.
	build := func(count uint16, tail ...byte) []byte {
		b := append([]byte{0x8F, 205, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, byte(count >> 8), byte(count), 0, 0, 1, 2}, tail...)
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		b[3] = byte(len(b)/4 - 1)
		return b
	}
	for name, tc := range map[string]struct {
		b    []byte
		want bool
	}{
		"two in a run":            {build(2, 0x20, 2, 4, 8), true},
		"nothing":                 {build(0), true},
		"no chunk":                {build(2), false},
		"a run of none":           {build(2, 0x20, 0, 0, 0), false},
		"deltas missing":          {build(9, 0x20, 9, 4, 8), false},
		"large deltas missing":    {build(3, 0x40, 3, 4, 8), false},
		"reserved symbol, run":    {build(2, 0x60, 2, 4, 8), false},
		"reserved symbol, vector": {build(2, 0xF0, 0, 4, 8), false},
		"vector of one bit":       {build(2, 0xB0, 0, 4, 8), true},
		"vector of two bits":      {build(2, 0xD4, 0, 4, 8), true},
		"too many":                {build(8193, 0x1F, 0xFF, 0x1F, 0xFF), false},
		"as many as may be":       {build(8192, 0x1F, 0xFF, 0x1F, 0xFF), true},
	} {
		p, _, ok := NextRTCP(tc.b)
		if !ok {
			t.Fatalf("%s: not RTCP", name)
		}
		if _, got := p.TransportFeedback(); got != tc.want {
			t.Errorf("%s: taken = %v", name, got)
		}
	}
}

func FuzzRTCP(f *testing.F) {
	recorder := twcc.NewRecorder(1)
	for i := range 300 {
		if i%7 != 0 {
			recorder.Record(2, uint16(65400+i), int64(i*i)*20)
		}
	}
	f.Add(marshal(f, recorder.BuildFeedbackPacket()...))
	f.Add(marshal(f, &rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 2}}},
		&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for {
			p, rest, ok := NextRTCP(b)
			if !ok {
				return
			}
			if len(rest) >= len(b) || len(p.Raw) > len(b) {
				t.Fatal("grows")
			}
			b = rest
			if rate, ok := p.REMB(); ok && rate < 0 {
				t.Fatalf("REMB = %d", rate)
			}
			for i := range int(p.Count) + 1 {
				p.Report(i)
			}
			feedback, ok := p.TransportFeedback()
			if !ok {
				continue
			}
			n := 0
			for a, more := feedback.Next(); more; a, more = feedback.Next() {
				if a.Sequence != feedback.Base+uint16(n) {
					t.Fatal("out of order")
				}
				n++
			}
			if n != feedback.Count || n > maxStatuses {
				t.Fatalf("%d packets, told %d", n, feedback.Count)
			}
		}
	})
}
