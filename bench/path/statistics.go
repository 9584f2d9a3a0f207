package path

import (
	"math"
	"slices"
)

// A Ratio compares two contenders: the median of the ratios of each round's two figures, and where the true median lies with a
// certainty of 95 % or, with fewer than six rounds, as near to it as their extremes come.
type Ratio struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

// certainty that the interval of a Ratio covers the true median.
const certainty = 0.95

// compare divides round by round: both figures of a round were measured within seconds, on the same machine in the same mood.
func compare(of, by []float64) Ratio {
	ratios := make([]float64, min(len(of), len(by)))
	for i := range ratios {
		ratios[i] = of[i] / by[i]
	}
	slices.Sort(ratios)
	if len(ratios) == 0 {
		return Ratio{}
	}
	k := rank(len(ratios))
	return Ratio{Median: median(ratios), Low: ratios[k], High: ratios[len(ratios)-1-k]}
}

// rank returns the largest k for which the k-th smallest and the k-th largest of n values, counted from 0, enclose the median of
// what they were drawn from with the certainty wanted. It assumes nothing of the distribution: each value is above the median
// or below it like a coin that falls.
func rank(n int) int {
	tail, term := 0.0, math.Pow(0.5, float64(n)) // P(fewer than k+1 heads), and P(exactly k)
	for k := range n / 2 {
		if tail += term; 2*tail > 1-certainty {
			return max(k-1, 0)
		}
		term *= float64(n-k) / float64(k+1)
	}
	return max(n/2-1, 0)
}

// median of no values is 0.
func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// A verdict is what a new ratio says beside an old one.
type verdict int

const (
	undecided verdict = iota // the interval of the new one has the limit in it
	holds
	worse
)

// allowed is how much a ratio may worsen.
const allowed = 1.15

// judge compares with the old median. Only who measures decides what to do about an undecided one.
func judge(now, was Ratio) verdict {
	limit := was.Median * allowed
	switch {
	case now.High <= limit:
		return holds
	case now.Low > limit:
		return worse
	}
	return undecided
}
