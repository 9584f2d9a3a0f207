package placement_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/parley-sfu/parley/placement"
)

func TestPressure(t *testing.T) {
	const free, busy, full = placement.Free, placement.Busy, placement.Full
	for name, tc := range map[string]struct {
		was       placement.Pressure
		cpu, mean float64
		want      placement.Pressure
	}{
		"idle":                           {free, 0.01, 0.01, free},
		"above the mean, yet idle":       {free, 0.19, 0.05, free},
		"above the mean":                 {free, 0.46, 0.40, busy},
		"a little above the mean":        {free, 0.44, 0.40, free},
		"still a little above the mean":  {busy, 0.44, 0.40, busy},
		"back at the mean":               {busy, 0.41, 0.40, free},
		"all are busy alike":             {free, 0.80, 0.80, free},
		"full":                           {free, 0.85, 0.80, full},
		"still full":                     {full, 0.71, 0.70, full},
		"full no more":                   {full, 0.69, 0.69, free},
		"full no more, but above others": {full, 0.69, 0.30, busy},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.was.Next(placement.Load{CPU: tc.cpu}, tc.mean); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

// However a load trembles by a point around anything, a pressure that was left does not return.
func TestPressureStandsStillInNoise(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pressure := placement.Pressure(rapid.IntRange(0, 2).Draw(t, "pressure"))
		around, mean := rapid.Float64Range(0.3, 0.95).Draw(t, "around"), rapid.Float64Range(0.21, 0.8).Draw(t, "mean")
		left := map[placement.Pressure]bool{}
		for _, noise := range rapid.SliceOfN(rapid.Float64Range(-0.01, 0.01), 2, 50).Draw(t, "noise") {
			next := pressure.Next(placement.Load{CPU: around + noise}, mean)
			if next != pressure {
				left[pressure] = true
			}
			if left[next] {
				t.Fatalf("%v again", next)
			}
			pressure = next
		}
	})
}
