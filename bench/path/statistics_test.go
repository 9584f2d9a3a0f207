package path

import (
	"math/rand/v2"
	"testing"
)

func TestMedian(t *testing.T) {
	for name, tc := range map[string]struct {
		of   []float64
		want float64
	}{
		"nothing": {nil, 0}, "one": {[]float64{3}, 3}, "odd": {[]float64{9, 1, 4}, 4}, "even": {[]float64{4, 1, 2, 9}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			if got := median(tc.of); got != tc.want {
				t.Errorf("= %v, want %v", got, tc.want)
			}
		})
	}
}

// The interval of few values is all of them; of more, it leaves out as many as a table of the sign test has it.
func TestRank(t *testing.T) {
	for n, want := range map[int]int{1: 0, 2: 0, 5: 0, 6: 0, 8: 0, 9: 1, 11: 1, 12: 2, 15: 3, 20: 5, 25: 7} {
		if got := rank(n); got != want {
			t.Errorf("of %d values = %d, want %d", n, got, want)
		}
	}
}

// With as many draws as a real run has rounds, the interval covers the true median as often as it says.
func TestTheIntervalCoversTheMedian(t *testing.T) {
	const trials, rounds = 4000, 12
	random := rand.New(rand.NewPCG(1, 2))
	covered := 0
	for range trials {
		var of, by []float64
		for range rounds {
			of, by = append(of, random.ExpFloat64()), append(by, 1) // a lopsided distribution, median ln 2
		}
		if r := compare(of, by); r.Low <= 0.6931 && r.High >= 0.6931 {
			covered++
		}
	}
	if share := float64(covered) / trials; share < certainty {
		t.Errorf("covers in %.3f of the cases, want %.2f", share, certainty)
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	// The machine is twice as slow in the second round: the ratio does not notice.
	if r := compare([]float64{2, 4, 2}, []float64{1, 2, 1}); r != (Ratio{2, 2, 2}) {
		t.Errorf("= %+v, want 2 throughout", r)
	}
}

func TestJudge(t *testing.T) {
	was := Ratio{Median: 2}
	for name, tc := range map[string]struct {
		now  Ratio
		want verdict
	}{
		"better":               {Ratio{1.5, 1.4, 1.6}, holds},
		"a little worse":       {Ratio{2.2, 2.1, 2.29}, holds},
		"might be too much":    {Ratio{2.2, 2.1, 2.4}, undecided},
		"might be just enough": {Ratio{2.4, 2.2, 2.6}, undecided},
		"worse":                {Ratio{2.5, 2.31, 2.7}, worse},
	} {
		t.Run(name, func(t *testing.T) {
			if got := judge(tc.now, was); got != tc.want {
				t.Errorf("= %v, want %v", got, tc.want)
			}
		})
	}
}
