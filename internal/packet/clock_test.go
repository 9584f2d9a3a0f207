package packet

import (
	"testing"

	"pgregory.net/rapid"
)

func TestClock(t *testing.T) {
	c := Clock{NTP: 1000 << 32, RTP: 0xFFFFFFF0, Rate: 90000}
	for name, tc := range map[string]struct {
		ntp uint64
		rtp uint32
	}{
		"the report itself":   {1000 << 32, 0xFFFFFFF0},
		"a second on, a wrap": {1001 << 32, 90000 - 16},
		"half a second back":  {999<<32 | 1<<31, 0xFFFFFFF0 - 45000},
		"an hour on":          {4600 << 32, 3600*90000 - 16},
		"an hour back":        {(1000 << 32) - 900<<32, 0xFFFFFFF0 - 900*90000},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.At(tc.ntp); got != tc.rtp {
				t.Errorf("At = %d, want %d", got, tc.rtp)
			}
			if got := c.NTPAt(tc.rtp); got != tc.ntp {
				t.Errorf("NTPAt = %x, want %x", got, tc.ntp)
			}
		})
	}
	if (Clock{}).Valid() || (Clock{NTP: 1}).Valid() || !c.Valid() {
		t.Error("Valid")
	}
	if got := (Clock{NTP: 5}).NTPAt(7); got != 0 {
		t.Errorf("NTPAt without a rate = %d", got)
	}
}

func TestClockRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Clock{
			NTP: rapid.Uint64Range(1<<62, 1<<63).Draw(t, "ntp"), RTP: rapid.Uint32().Draw(t, "rtp"),
			Rate: rapid.SampledFrom([]uint32{8000, 48000, 90000}).Draw(t, "rate"),
		}
		ts := rapid.Uint32().Draw(t, "ts")
		if got := c.At(c.NTPAt(ts)); got != ts {
			t.Fatalf("%d came back as %d", ts, got)
		}
	})
}

func TestAlign(t *testing.T) {
	low := Clock{NTP: 1000 << 32, RTP: 5_000, Rate: 90000}
	high := Clock{NTP: 1002 << 32, RTP: 700_000, Rate: 90000}
	for name, tc := range map[string]struct {
		previous, next Clock
		want           TimestampHint
	}{
		"both known":       {low, high, TimestampHint{ClockRate: 90000, Aligned: true, Timestamp: 5_000 + 180_000 + 3_000}},
		"previous unknown": {Clock{}, high, TimestampHint{ClockRate: 90000}},
		"next unknown":     {low, Clock{Rate: 90000}, TimestampHint{ClockRate: 90000}},
		"another rate":     {Clock{NTP: 1, Rate: 48000}, high, TimestampHint{ClockRate: 90000}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Align(tc.previous, tc.next, 703_000); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
