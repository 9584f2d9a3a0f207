package bench

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// A plot is one or two lines in a field with axes, drawn as SVG.
type plot struct {
	Title, Unit string
	Lines       []line
	Across, Up  []tick
	Marks       []tick
	Last        string // the newest value, for who cannot see
}

// A line is one of a plot's.
type line struct {
	Name, Class string
	Path        template.HTMLAttr // the d of an SVG path
	Area        template.HTMLAttr // likewise, closed at the bottom; empty for all but the first
}

// A tick is a place on an axis, in SVG units, with what stands there.
type tick struct {
	At    float64
	Label string
}

const plotWidth, plotHeight = 600.0, 150.0 // SVG units of the field that lines are drawn in

// trace is what a line is drawn from.
type trace struct {
	name string
	of   func(Sample) float64
}

// newPlot draws samples over their time.
func newPlot(title, unit string, samples []Sample, marks []Mark, traces ...trace) plot {
	end := samples[len(samples)-1].At
	most := 0.0
	for _, s := range samples {
		for _, t := range traces {
			most = max(most, t.of(s))
		}
	}
	top, up := scale(most)
	p := plot{Title: title, Unit: unit, Up: up}
	for i, t := range traces {
		var d strings.Builder
		for n, s := range samples {
			fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(n, 1)], s.At/end*plotWidth, plotHeight*(1-t.of(s)/top))
		}
		one := line{Name: t.name, Class: fmt.Sprint("line", i), Path: attr(d.String())}
		if i == 0 {
			one.Area = attr(fmt.Sprintf("%sL%.1f %.1fL%.1f %.1fZ", d.String(), plotWidth, plotHeight, samples[0].At/end*plotWidth, plotHeight))
		}
		p.Lines = append(p.Lines, one)
		p.Last = number(t.of(samples[len(samples)-1])) + " " + unit
	}
	_, across := scale(end)
	for _, t := range across { // the same, lying down, and not beyond the end
		if at := (1 - t.At/plotHeight) * roundUp(end) / end * plotWidth; at <= plotWidth+1 {
			p.Across = append(p.Across, tick{at, t.Label + " s"})
		}
	}
	for _, m := range marks {
		if m.At >= 0 && m.At <= end {
			p.Marks = append(p.Marks, tick{m.At / end * plotWidth, m.What})
		}
	}
	return p
}

func attr(d string) template.HTMLAttr {
	return template.HTMLAttr(`d="` + d + `"`) //nolint:gosec // numbers that we wrote
}

// scale finds a round top for an axis, and its ticks from the bottom up.
func scale(most float64) (top float64, ticks []tick) {
	top = roundUp(most)
	const steps = 4
	for i := range steps + 1 {
		v := top * float64(i) / steps
		ticks = append(ticks, tick{plotHeight * (1 - v/top), number(v)})
	}
	return top, ticks
}

// roundUp is the next of 1, 2, 4, 6, 8, 10 times a power of ten: a quarter of it is round, too.
func roundUp(v float64) float64 {
	if v <= 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8, 10} {
		if v <= step*power*1.000001 {
			return step * power
		}
	}
	return 10 * power
}

// number is a value in few digits, with thousands apart.
func number(v float64) string {
	switch abs := math.Abs(v); {
	case abs >= 1000:
		text := fmt.Sprintf("%.0f", v)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "\u202f" + text[i:]
		}
		return text
	case abs >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case abs >= 10:
		return fmt.Sprintf("%.1f", v)
	case abs >= 1:
		return strings.TrimSuffix(fmt.Sprintf("%.2f", v), "0")
	default:
		return fmt.Sprintf("%.3g", v)
	}
}

// newCurves draws distributions: how long the share took that stands below. Both axes are logarithmic, so that the worst of
// ten thousand has as much room as the middle.
func newCurves(title string, curves map[string][]Quantile, names map[string]string, order ...string) plot {
	p := plot{Title: title, Unit: "ms"}
	least, most, nines := math.Inf(1), 0.0, 1.0
	for _, key := range order {
		for _, q := range curves[key] {
			if q.Percent < 100 {
				nines = max(nines, -math.Log10(1-q.Percent/100))
			}
			if q.Millis > 0 {
				least = min(least, q.Millis)
			}
			most = max(most, q.Millis)
		}
	}
	low := math.Floor(math.Log10(min(least, most)))
	high := math.Ceil(math.Log10(max(most, 1e-3)))
	if !(high > low) {
		high = low + 1
	}
	along := func(percent float64) float64 {
		if percent >= 100 {
			return plotWidth
		}
		return -math.Log10(1-percent/100) / (nines + 0.25) * plotWidth
	}
	above := func(ms float64) float64 {
		return plotHeight * (1 - (math.Log10(max(ms, math.Pow(10, low)))-low)/(high-low))
	}
	for i, key := range order {
		var d strings.Builder
		for n, q := range curves[key] {
			fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(n, 1)], along(q.Percent), above(q.Millis))
		}
		if d.Len() > 0 {
			p.Lines = append(p.Lines, line{Name: names[key], Class: fmt.Sprint("line", i), Path: attr(d.String())})
		}
	}
	for _, t := range []struct {
		percent float64
		label   string
	}{{0, "0 %"}, {50, "50 %"}, {90, "90 %"}, {99, "99 %"}, {99.9, "99.9 %"}, {99.99, "99.99 %"}} {
		if at := along(t.percent); at < plotWidth*0.92 {
			p.Across = append(p.Across, tick{at, t.label})
		}
	}
	p.Across = append(p.Across, tick{plotWidth, "max"})
	for e := low; e <= high; e++ {
		p.Up = append(p.Up, tick{above(math.Pow(10, e)), number(math.Pow(10, e))})
	}
	return p
}
