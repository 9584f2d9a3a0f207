package client

import (
	"testing"
	"time"
)

// TestPlayout plays a minute of pictures, of which some are late.
func TestPlayout(t *testing.T) {
	const pictures, each = 60 * 30, 3_000 // of the video clock, at 30 a second
	always := func(late time.Duration) func(int) time.Duration {
		return func(int) time.Duration { return late }
	}
	everyTwoSeconds := func(late time.Duration) func(int) time.Duration {
		return func(i int) time.Duration {
			if i%60 != 30 {
				return 0
			}
			return late
		}
	}
	tests := []struct {
		name    string
		late    func(i int) time.Duration
		freezes uint64
	}{
		{"in their time", always(0), 0},
		{"all as late", always(300 * time.Millisecond), 0},
		{"keyframes take longer", everyTwoSeconds(200 * time.Millisecond), 1},
		{"keyframes take longer, the first too", func(i int) time.Duration {
			if i%60 != 0 {
				return 0
			}
			return 200 * time.Millisecond
		}, 0},
		{"keyframes take longer than is waited", everyTwoSeconds(700 * time.Millisecond), 30},
		{"one in thirty seconds", func(i int) time.Duration {
			if i%900 != 30 {
				return 0
			}
			return 200 * time.Millisecond
		}, 2},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var m FreezeMeter
			begun := time.Unix(100, 0)
			whole := begun
			for i := range pictures {
				captured := begun.Add(time.Duration(i) * time.Second / 30)
				if at := captured.Add(tc.late(i)); at.After(whole) { // in their order: who is late has others wait
					whole = at
				}
				m.Whole(uint32(1<<32-each*20+each*i), whole) // wraps
			}
			if m.freezes != tc.freezes {
				t.Errorf("%d freezes of %s, want %d", m.freezes, m.total, tc.freezes)
			}
		})
	}
}

// TestPlayoutOfAnother shows a picture of another source at once, whatever its clock says.
func TestPlayoutOfAnother(t *testing.T) {
	var p playout
	now := time.Unix(100, 0)
	for i, timestamp := range []uint32{0, 3_000, 6_000, 3_000_000_000, 3_000_003_000} {
		now = now.Add(33 * time.Millisecond)
		if at := p.shows(timestamp, now); at.Sub(now) > time.Millisecond {
			t.Errorf("picture %d is shown %s after it is whole", i, at.Sub(now))
		}
	}
}
