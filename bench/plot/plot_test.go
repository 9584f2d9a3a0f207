package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFit(t *testing.T) {
	for name, tc := range map[string]struct {
		points []Point
		want   Line
	}{
		"a straight line": {[]Point{{1, 5}, {2, 7}, {4, 11}}, Line{Slope: 2, Intercept: 3, R2: 1}},
		"level":           {[]Point{{1, 5}, {2, 5}, {9, 5}}, Line{Intercept: 5, R2: 1}},
		"one point":       {[]Point{{1, 5}}, Line{Intercept: 5, R2: 1}},
		"nothing":         {nil, Line{R2: 1}},
		// By hand: means 2 and 2, xx 2, xy 1, yy 2; distances ½, −1, ½.
		"bent": {[]Point{{1, 2}, {2, 1}, {3, 3}}, Line{Slope: 0.5, Intercept: 1, R2: 0.25, SlopeError: math.Sqrt(0.75)}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Fit(tc.points)
			for _, pair := range [][2]float64{
				{got.Slope, tc.want.Slope}, {got.Intercept, tc.want.Intercept}, {got.R2, tc.want.R2}, {got.SlopeError, tc.want.SlopeError},
			} {
				if math.Abs(pair[0]-pair[1]) > 1e-9 {
					t.Fatalf("= %+v, want %+v", got, tc.want)
				}
			}
		})
	}
}

// series are 900 samples of a process that uses about 1000 of something.
func series(of func(i int, noise float64) float64) []Point {
	random := rand.New(rand.NewPCG(3, 4))
	all := make([]Point, 900)
	for i := range all {
		all[i] = Point{float64(i), of(i, random.NormFloat64())}
	}
	return all
}

func TestGrows(t *testing.T) {
	for name, tc := range map[string]struct {
		series []Point
		want   bool
	}{
		"level":          {series(func(int, float64) float64 { return 1000 }), false},
		"noise":          {series(func(_ int, noise float64) float64 { return 1000 + 50*noise }), false},
		"a heap's teeth": {series(func(i int, noise float64) float64 { return 800 + 4*float64(i%97) + 10*noise }), false},
		"falls":          {series(func(i int, noise float64) float64 { return 1000 - float64(i)/3 + 10*noise }), false},
		"a leak":         {series(func(i int, noise float64) float64 { return 1000 + float64(i)/9 + 10*noise }), true},
		"a leak below teeth": {
			series(func(i int, noise float64) float64 { return 800 + 4*float64(i%97) + float64(i)/3 + 10*noise }), true,
		},
		"a leak of no interest": {series(func(i int, noise float64) float64 { return 1000 + float64(i)/90 + noise }), false},
		"too short to tell":     {series(func(i int, _ float64) float64 { return float64(i) })[:30], false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Grows(tc.series, 0.02); got.Grows != tc.want {
				t.Errorf("= %+v, want %v", got, tc.want)
			}
		})
	}
}

// Noise alone is called growth no more often than is said.
func TestNoiseIsSeldomCalledGrowth(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const trials = 2000
	called := 0
	for range trials {
		all := make([]Point, 120)
		for i := range all {
			all[i] = Point{float64(i), 100 + 30*random.NormFloat64()}
		}
		if Grows(all, 0).Grows {
			called++
		}
	}
	if share := float64(called) / trials; share > 0.01 {
		t.Errorf("in %.2f %% of the cases, want 0.5 %%", 100*share)
	}
}

func TestChartsAreXML(t *testing.T) {
	for name, draw := range map[string]func(io.Writer) error{
		"points with a line": Chart{Title: "a < b & c", X: "x", Y: "y", Points: []Point{{1, 2}, {2, 4}}, Line: &Line{Slope: 2, R2: 1}}.WriteSVG,
		"a series":           Chart{Points: []Point{{0, 0}, {1, 3}}, Joined: true}.WriteSVG,
		"nothing":            Chart{Joined: true}.WriteSVG,
		"a timeline": Timeline{Title: "a < b", Panels: []Panel{
			{Unit: "ms", Limit: 100, Traces: []Trace{{Name: "wait & see", Points: []Point{{0, 1}, {3, 5}}}, {Name: "none"}}},
			{Unit: "bit/s", Traces: []Trace{{Steps: true, Points: []Point{{0, 1}, {1, 2}}}}},
		}}.WriteSVG,
		"a timeline of nothing": Timeline{Panels: []Panel{{}}}.WriteSVG,
		"a moment":              Timeline{Panels: []Panel{{Traces: []Trace{{Points: []Point{{2, 0}}}}}}}.WriteSVG,
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := draw(&b); err != nil {
				t.Fatal(err)
			}
			decoder := xml.NewDecoder(strings.NewReader(b.String()))
			for {
				_, err := decoder.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%v in %s", err, b.String())
				}
			}
			if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
				t.Error("a coordinate is no number")
			}
		})
	}
}

// Values stand where their scales put them.
func TestTimelineScales(t *testing.T) {
	var b strings.Builder
	timeline := Timeline{Panels: []Panel{{Traces: []Trace{{Points: []Point{{10, 0}, {20, 5}}}, {Steps: true, Points: []Point{{10, 5}, {20, 0}}}}}}}
	if err := timeline.WriteSVG(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"M70.0 260.0L940.0 40.0", "M70.0 40.0H940.0V260.0"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("there is no %q in %s", want, b.String())
		}
	}
}
