package bench

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A tally counts durations, from 1 µs to a minute, with two significant digits. Longer ones count as a minute. Tallies of
// several agents are merged bucket by bucket, so that the percentiles of the whole are exact, which a mean of percentiles
// is not.
type tally struct {
	mu     sync.Mutex              // protects following
	all    *hdrhistogram.Histogram // but for what is in recent
	recent *hdrhistogram.Histogram // since the last pulse
}

const (
	tallyUnit   = time.Microsecond
	tallyMost   = int64(time.Minute / tallyUnit)
	tallyDigits = 2
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, tallyMost, tallyDigits) }

func newTally() *tally { return &tally{all: newHistogram(), recent: newHistogram()} }

func (t *tally) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.recent.RecordValue(min(max(int64(d/tallyUnit), 1), tallyMost)) // within its bounds
}

// take is what was added since it was last called.
func (t *tally) take() *tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := &tally{all: t.recent, recent: newHistogram()}
	t.all.Merge(t.recent)
	t.recent = newHistogram()
	return taken
}

// merge adds everything that another one has.
func (t *tally) merge(other *tally) {
	sum := other.sum()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.Merge(sum)
}

// sum is a copy of everything.
func (t *tally) sum() *hdrhistogram.Histogram {
	sum := newHistogram()
	t.mu.Lock()
	defer t.mu.Unlock()
	sum.Merge(t.all)
	sum.Merge(t.recent)
	return sum
}

func (t *tally) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.Reset()
	t.recent.Reset()
}

// MarshalJSON writes the histogram in HdrHistogram's own compressed form.
func (t *tally) MarshalJSON() ([]byte, error) {
	encoded, err := t.sum().Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(encoded))
}

// UnmarshalJSON reads what MarshalJSON wrote. It takes no histogram of another shape.
func (t *tally) UnmarshalJSON(raw []byte) error {
	var encoded string
	if err := json.Unmarshal(raw, &encoded); err != nil {
		return err
	}
	h, err := hdrhistogram.Decode([]byte(encoded))
	if err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	if h.SignificantFigures() != tallyDigits || h.HighestTrackableValue() != tallyMost || h.LowestTrackableValue() != 1 {
		return fmt.Errorf("histogram: from %d to %d with %d digits", h.LowestTrackableValue(), h.HighestTrackableValue(), h.SignificantFigures())
	}
	t.all, t.recent = newHistogram(), newHistogram()
	t.all.Merge(h)
	return nil
}

// Spread is a distribution in milliseconds.
type Spread struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// millis is a value of a histogram in milliseconds.
func millis(value int64) float64 {
	return float64(value) * float64(tallyUnit) / float64(time.Millisecond)
}

func (t *tally) spread() Spread {
	h := t.sum()
	if h.TotalCount() == 0 {
		return Spread{}
	}
	return Spread{
		Count: h.TotalCount(), P50: millis(h.ValueAtQuantile(50)), P95: millis(h.ValueAtQuantile(95)),
		P99: millis(h.ValueAtQuantile(99)), Max: millis(h.Max()),
	}
}

// A Quantile is one point of a curve: so many percent took at most so long.
type Quantile struct {
	Percent float64 `json:"percent"`
	Millis  float64 `json:"ms"`
}

// curve is the distribution as points that lie closer together the nearer they are to the longest.
func (t *tally) curve() []Quantile {
	h := t.sum()
	if h.TotalCount() == 0 {
		return nil
	}
	var points []Quantile
	for _, percent := range []float64{0, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99} {
		if percent > 50 && 1/(1-percent/100) > 2*float64(h.TotalCount()) {
			break // finer than what was counted
		}
		points = append(points, Quantile{percent, millis(h.ValueAtQuantile(percent))})
	}
	return append(points, Quantile{100, millis(h.Max())})
}
