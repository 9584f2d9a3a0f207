package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A tally counts durations, from 1 µs to a minute, with two significant digits. Longer ones count as a minute.
type tally struct {
	mu    sync.Mutex
	h     *hdrhistogram.Histogram
	since *hdrhistogram.Histogram // the same, since recent last took it away; nil: nobody asks for it
}

const (
	tallyUnit   = time.Microsecond
	tallyMost   = int64(time.Minute / tallyUnit)
	tallyDigits = 2
)

func newTally() *tally { return &tally{h: hdrhistogram.New(1, tallyMost, tallyDigits)} }

func (t *tally) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	value := min(max(int64(d/tallyUnit), 1), tallyMost)
	_ = t.h.RecordValue(value) // within its bounds
	if t.since != nil {
		_ = t.since.RecordValue(value)
	}
}

// recent moves what was counted since it was last called into another tally. The first call only begins to count.
func (t *tally) recent(into *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since == nil {
		t.since = hdrhistogram.New(1, tallyMost, tallyDigits)
		return
	}
	into.h.Merge(t.since)
	t.since.Reset()
}

func (t *tally) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.h.Reset()
}

// Spread is a distribution in milliseconds.
type Spread struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func (t *tally) spread() Spread {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.h.TotalCount() == 0 {
		return Spread{}
	}
	ms := func(v int64) float64 { return float64(v) * float64(tallyUnit) / float64(time.Millisecond) }
	return Spread{
		Count: t.h.TotalCount(), P50: ms(t.h.ValueAtQuantile(50)), P95: ms(t.h.ValueAtQuantile(95)),
		P99: ms(t.h.ValueAtQuantile(99)), Max: ms(t.h.Max()),
	}
}
