package soak

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/parley-sfu/parley/bench/plot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFault(t *testing.T) {
	series := func(of func(i int) float64) []plot.Point {
		points := make([]plot.Point, 400)
		for i := range points {
			points[i] = plot.Point{X: float64(i), Y: of(i)}
		}
		return points
	}
	for name, tc := range map[string]struct {
		report Report
		says   string
	}{
		"level":           {Report{Series: []*Series{{Name: "files", Points: series(func(int) float64 { return 50 })}}}, ""},
		"grows at first":  {Report{Series: []*Series{{Name: "heap", Points: series(func(i int) float64 { return float64(min(i, 90)) })}}}, ""},
		"grows for long":  {Report{Series: []*Series{{Name: "heap", Points: series(func(i int) float64 { return float64(min(i, 190)) })}}}, ""},
		"steps for ever":  {Report{Series: []*Series{{Name: "heap", Points: series(func(i int) float64 { return float64(100 + i/50*20) })}}}, "heap grew"},
		"too short":       {Report{Series: []*Series{{Name: "heap", Points: series(func(int) float64 { return 1 })[:enough-1]}}}, "too few"},
		"grows":           {Report{Series: []*Series{{Name: "heap", Points: series(func(i int) float64 { return 100 + float64(i) })}}}, "heap grew"},
		"somebody silent": {Report{Silent: 2}, "2 guests"},
		"nobody resumes":  {Report{Cut: 3}, "3 sockets"},
		"most resume":     {Report{Cut: 3, Resumed: 2}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.report.Fault()
			if (err != nil) != (tc.says != "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("= %v, want %q", err, tc.says)
			}
		})
	}
}

func TestSourcesKeepTheirPace(t *testing.T) {
	s := picture()
	first, _ := s.Next()
	if !first.Keyframe || first.Data[0]&1 != 0 || first.At != 0 {
		t.Errorf("the first frame is %+v", first)
	}
	second, _ := s.Next()
	if second.Keyframe || second.Data[0]&1 != 1 || second.At != pictureEvery {
		t.Errorf("the second frame is no difference: %+v", second)
	}
	s.SkipToKeyframe()
	if third, _ := s.Next(); !third.Keyframe {
		t.Error("no keyframe, although one was asked for")
	}
}
