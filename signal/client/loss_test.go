package client

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLossLog(t *testing.T) {
	start := time.Unix(0, 0)
	feed := func(l *lossLog, seqs ...uint16) {
		for _, seq := range seqs {
			l.arrived(seq, start)
		}
	}
	t.Run("asks at once, then less and less often, then gives up", func(t *testing.T) {
		var l lossLog
		feed(&l, 65534, 65535, 2)
		var asked []time.Duration
		for at := time.Duration(0); at < 5*time.Second; at += 10 * time.Millisecond {
			if ask := l.due(start.Add(at)); len(ask) > 0 {
				if !slices.Equal(ask, []uint16{0, 1}) {
					t.Fatalf("asked for %v, want 0 and 1", ask)
				}
				asked = append(asked, at)
			}
		}
		want := []time.Duration{0, 100, 300, 700, 1500}
		for i := range want {
			want[i] *= time.Millisecond
		}
		if !slices.Equal(asked, want) {
			t.Errorf("asked at %v, want %v", asked, want)
		}
		if l.missed != 2 || l.lost != 2 || l.repaired != 0 {
			t.Errorf("missed, lost, repaired = %d, %d, %d, want 2, 2, 0", l.missed, l.lost, l.repaired)
		}
	})
	t.Run("a late packet is a repair", func(t *testing.T) {
		var l lossLog
		feed(&l, 1, 3)
		if !l.arrived(2, start) || l.arrived(2, start) {
			t.Error("the late packet is new once, then a duplicate")
		}
		if l.missed != 1 || l.repaired != 1 || len(l.due(start)) != 0 {
			t.Errorf("missed, repaired = %d, %d; still due %v", l.missed, l.repaired, l.due(start))
		}
	})
	t.Run("a jump is no loss", func(t *testing.T) {
		var l lossLog
		feed(&l, 1, 30000)
		if l.missed != 0 {
			t.Errorf("missed = %d, want 0", l.missed)
		}
	})
}

// TestLossLogAccounts: whatever arrives in whatever order, every packet missed is repaired, lost or still awaited.
func TestLossLogAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l lossLog
		now := time.Unix(0, 0)
		seq := rapid.Uint16().Draw(t, "first")
		for range rapid.IntRange(1, 300).Draw(t, "packets") {
			seq += uint16(rapid.IntRange(-20, 30).Draw(t, "step"))
			now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "ms")) * time.Millisecond)
			l.arrived(seq, now)
			l.due(now)
			if got := l.repaired + l.lost + uint64(len(l.missing)); got != l.missed {
				t.Fatalf("repaired %d + lost %d + missing %d != missed %d", l.repaired, l.lost, len(l.missing), l.missed)
			}
			if len(l.missing) > maxMissing {
				t.Fatalf("%d packets remembered, want at most %d", len(l.missing), maxMissing)
			}
		}
	})
}
