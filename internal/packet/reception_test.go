package packet

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestReceptionLoss(t *testing.T) {
	type report struct {
		fraction uint8
		total    int32
		highest  uint32
	}
	for name, tc := range map[string]struct {
		intervals [][]uint16
		want      []report
	}{
		"nothing yet":       {[][]uint16{nil}, []report{{}}},
		"no loss":           {[][]uint16{{1, 2, 3, 4}}, []report{{0, 0, 4}}},
		"a quarter":         {[][]uint16{{1, 2, 4}}, []report{{64, 1, 4}}},
		"then none":         {[][]uint16{{1, 2, 4}, {5, 6}}, []report{{64, 1, 4}, {0, 1, 6}}},
		"late in another":   {[][]uint16{{1, 2, 4}, {3, 5}}, []report{{64, 1, 4}, {0, 0, 5}}},
		"duplicates hide":   {[][]uint16{{1, 2, 2, 2}}, []report{{0, -2, 2}}},
		"over a wrap":       {[][]uint16{{65534, 65535, 1}}, []report{{64, 1, 1<<16 + 1}}},
		"nothing meanwhile": {[][]uint16{{1, 2, 4}, nil}, []report{{64, 1, 4}, {0, 1, 4}}},
		"almost all":        {[][]uint16{{0, 30000}}, []report{{255, 29999, 30000}}},
	} {
		t.Run(name, func(t *testing.T) {
			var r Reception
			for i, seqs := range tc.intervals {
				for _, seq := range seqs {
					r.Update(&Header{Sequence: seq}, 0, 90000)
				}
				fraction, total, highest, _ := r.Report()
				if got := (report{fraction, total, highest}); got != tc.want[i] {
					t.Errorf("report %d = %+v, want %+v", i, got, tc.want[i])
				}
			}
		})
	}
}

func TestReceptionJitter(t *testing.T) {
	const rate, frame = 48000, 20 * time.Millisecond
	run := func(late func(i int) time.Duration, ts func(i int) uint32) uint32 {
		var r Reception
		for i := range 1000 {
			arrival := 30*time.Hour + time.Duration(i)*frame + late(i)
			r.Update(&Header{Sequence: uint16(i), Timestamp: ts(i)}, int64(arrival), rate)
		}
		_, _, _, jitter := r.Report()
		return jitter
	}
	even := func(i int) uint32 { return uint32(i)*960 - 5000 } // over a wrap
	for name, tc := range map[string]struct {
		late     func(int) time.Duration
		ts       func(int) uint32
		min, max uint32
	}{
		"none":               {func(int) time.Duration { return 0 }, even, 0, 0},
		"every other by 5ms": {func(i int) time.Duration { return time.Duration(i%2) * 5 * time.Millisecond }, even, 230, 240},
		"a new time base": {
			func(int) time.Duration { return 0 },
			func(i int) uint32 { return even(i) + uint32(i/990)<<30 }, 0, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(tc.late, tc.ts); got < tc.min || got > tc.max {
				t.Errorf("jitter = %d, want %d to %d", got, tc.min, tc.max)
			}
		})
	}
}

// A queue that begins to grow at half the speed of time is seen, one that stands is what is usual, and a new time base is none.
func TestReceptionLag(t *testing.T) {
	const rate, frame = 48000, 20 * time.Millisecond
	var r Reception
	at, queue, base := 30*time.Hour, time.Duration(0), uint32(5000)
	packets := func(n int, grows time.Duration) time.Duration {
		for range n {
			at, queue, base = at+frame, queue+grows, base+960
			r.Update(&Header{Sequence: uint16(at / frame), Timestamp: base}, int64(at+queue), rate)
		}
		return time.Duration(r.Lag(rate))
	}
	for _, step := range []struct {
		name     string
		n        int
		grows    time.Duration
		min, max time.Duration
	}{
		{"none", 100, 0, 0, 0},
		{"for 60 ms", 3, frame / 2, 25 * time.Millisecond, 30 * time.Millisecond},
		{"for 200 ms", 7, frame / 2, 65 * time.Millisecond, 80 * time.Millisecond},
		{"it stands", 100, 0, 0, time.Millisecond},
		{"it goes", 5, -frame, -100 * time.Millisecond, -80 * time.Millisecond},
	} {
		if lag := packets(step.n, step.grows); lag < step.min || lag > step.max {
			t.Errorf("%s: %v, want %v to %v", step.name, lag, step.min, step.max)
		}
	}
	base += 1 << 30
	if lag := packets(1, 0); lag != 0 {
		t.Errorf("with a new time base: %v, want 0", lag)
	}
}

// TestReceptionTotals holds reports against plain counting, over many wraps.
func TestReceptionTotals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Reception
		start := int64(rapid.Uint16().Draw(t, "start"))
		n, lost := start, int64(0)
		for range 300 {
			r.Update(&Header{Sequence: uint16(n)}, 0, 0)
			step := rapid.SampledFrom([]int64{1, 1, 1, 2, 30_000}).Draw(t, "step")
			lost += step - 1
			n += step
			last := n - step
			if rapid.IntRange(0, 20).Draw(t, "report") == 0 {
				_, total, highest, _ := r.Report()
				if want := lost - (step - 1); int64(total) != want || highest != uint32(last) {
					t.Fatalf("lost %d up to %d, want %d up to %d", total, highest, want, last)
				}
			}
		}
	})
}
