package client

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLossLog(t *testing.T) {
	start := time.Unix(0, 0)
	feed := func(l *LossLog, seqs ...uint16) {
		for _, seq := range seqs {
			l.Arrived(seq, start)
		}
	}
	t.Run("asks at once, then less and less often, then gives up", func(t *testing.T) {
		var l LossLog
		feed(&l, 65534, 65535, 2)
		var asked []time.Duration
		for at := time.Duration(0); at < 5*time.Second; at += 10 * time.Millisecond {
			if ask := l.Due(start.Add(at)); len(ask) > 0 {
				if !slices.Equal(ask, []uint16{0, 1}) {
					t.Fatalf("asked for %v, want 0 and 1", ask)
				}
				asked = append(asked, at)
			}
		}
		want := []time.Duration{0, 100, 200, 300, 500, 900, 1700}
		for i := range want {
			want[i] *= time.Millisecond
		}
		if !slices.Equal(asked, want) {
			t.Errorf("asked at %v, want %v", asked, want)
		}
		if l.Missed != 2 || l.Lost != 2 || l.Repaired != 0 {
			t.Errorf("missed, lost, repaired = %d, %d, %d, want 2, 2, 0", l.Missed, l.Lost, l.Repaired)
		}
	})
	t.Run("a late packet is a repair", func(t *testing.T) {
		var l LossLog
		feed(&l, 1, 3)
		if !l.Arrived(2, start) || l.Arrived(2, start) {
			t.Error("the late packet is new once, then a duplicate")
		}
		if l.Missed != 1 || l.Repaired != 1 || len(l.Due(start)) != 0 {
			t.Errorf("missed, repaired = %d, %d; still due %v", l.Missed, l.Repaired, l.Due(start))
		}
	})
	for _, takes := range []time.Duration{30 * time.Millisecond, 300 * time.Millisecond} {
		t.Run("asks again when an answer should have come, after "+takes.String(), func(t *testing.T) {
			var l LossLog
			now := start
			for seq := uint16(0); seq < 200; seq += 2 { // every second packet is lost
				l.Arrived(seq, now)
				for end := now.Add(takes); now.Before(end); now = now.Add(10 * time.Millisecond) {
					l.Due(now)
				}
				if seq > 0 {
					l.Arrived(seq-1, now)
				}
			}
			l.Arrived(201, now)
			l.Due(now)
			if again := l.missing[0].next.Sub(now); again < takes+nackSlack-time.Millisecond || again > takes+2*nackSlack {
				t.Errorf("asks again after %s", again)
			}
		})
	}
	t.Run("a jump is no loss", func(t *testing.T) {
		var l LossLog
		feed(&l, 1, 30000)
		if l.Missed != 0 {
			t.Errorf("missed = %d, want 0", l.Missed)
		}
	})
}

// TestLossLogAccounts: whatever arrives in whatever order, every packet missed is repaired, lost or still awaited.
func TestLossLogAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l LossLog
		now := time.Unix(0, 0)
		seq := rapid.Uint16().Draw(t, "first")
		for range rapid.IntRange(1, 300).Draw(t, "packets") {
			seq += uint16(rapid.IntRange(-20, 30).Draw(t, "step"))
			now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "ms")) * time.Millisecond)
			l.Arrived(seq, now)
			l.Due(now)
			if got := l.Repaired + l.Lost + uint64(len(l.missing)); got != l.Missed {
				t.Fatalf("repaired %d + lost %d + missing %d != missed %d", l.Repaired, l.Lost, len(l.missing), l.Missed)
			}
			if len(l.missing) > maxMissing {
				t.Fatalf("%d packets remembered, want at most %d", len(l.missing), maxMissing)
			}
		}
	})
}
