package bench

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
)

//go:embed report.gohtml
var pages embed.FS

// bar is a row of the table of times.
type bar struct {
	Name               string
	Budget             float64 // 0: none
	P50, P95, P99, Max float64
	Count              int64
	From, Width, End   float64 // percent of the axis: p50, p95 behind it, p99
	At                 float64 // where the budget is
	Over               bool    // the p95 is above the budget
}

// tile is one of the large figures at the top.
type tile struct {
	Name, Value, Unit, Note string
	Good, Bad               bool
}

// WriteHTML writes the report as one page that needs nothing else.
func (rep *Report) WriteHTML(out io.Writer) error {
	page, err := template.New("report.gohtml").Funcs(template.FuncMap{
		"ms": millisText, "number": numberOf, "percent": func(share float64) string { return fmt.Sprintf("%.0f", share*100) },
	}).ParseFS(pages, "report.gohtml")
	if err != nil {
		return err
	}
	over := 0
	for _, b := range rep.Budgets {
		if !b.Kept {
			over++
		}
	}
	return page.Execute(out, map[string]any{
		"Report": rep, "Bars": rep.bars(), "Axis": axis(rep.widest()), "Plots": rep.plots(), "Figures": rep.figures(),
		"Tiles": rep.tiles(), "Over": over, "Kept": len(rep.Budgets) - over,
	})
}

// millisText is a time in milliseconds, in as many digits as one reads.
func millisText(v float64) string {
	switch {
	case v == 0:
		return "–"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return number(math.Round(v))
	}
}

// numberOf is number for whatever a template has.
func numberOf(v any) (string, error) {
	f, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	return number(f), err
}

func (rep *Report) tiles() []tile {
	loss := tile{Name: "Loss after repair", Value: fmt.Sprintf("%.3f", rep.LossRatio*100), Unit: "%", Note: fmt.Sprintf("%s of %s packets", number(float64(rep.Lost)), number(float64(rep.Received+rep.Lost)))}
	frames := tile{Name: "Frames as sent", Value: "–", Note: "nobody looked"}
	if v := rep.Verified; rep.Verifiers > 0 {
		wrong := v.Corrupt + v.Misplaced
		frames = tile{
			Name: "Frames as sent", Value: number(float64(v.Whole)), Note: fmt.Sprintf("%d corrupt, %d misplaced; %d looked", v.Corrupt, v.Misplaced, rep.Verifiers),
			Good: wrong == 0, Bad: wrong > 0,
		}
	}
	return []tile{
		{Name: "First audio, p95", Value: millisText(rep.FirstAudio.P95), Unit: "ms", Note: "from when the join was due", Bad: rep.FirstAudio.P95 > 410},
		{Name: "Audio latency, p99", Value: millisText(rep.AudioLatency.P99), Unit: "ms", Note: "from sender to listener", Bad: rep.AudioLatency.P99 > 150},
		{Name: "Video latency, p99", Value: millisText(rep.VideoLatency.P99), Unit: "ms", Note: "from sender to viewer", Bad: rep.VideoLatency.P99 > 200},
		loss,
		{Name: "Frozen", Value: fmt.Sprintf("%.2f", rep.FreezeRatio*100), Unit: "%", Note: fmt.Sprintf("%d times, of all pictures watched", rep.Freezes)},
		frames,
		{Name: "Server, a packet", Value: number(rep.Server.MicrosPerPacket), Unit: "µs", Note: fmt.Sprintf("%.2f cores at %s packets/s", rep.Server.CPU, number(math.Round(rep.Server.Packets)))},
		{Name: "Server, a person", Value: number(math.Round(rep.Server.MemoryPerPerson)), Unit: "kB", Note: fmt.Sprintf("memory grew by so much, to %.0f MB", rep.Server.MemoryMB)},
	}
}

// widest is the longest time that a bar must show.
func (rep *Report) widest() float64 {
	most := 100.0
	for _, row := range rep.spreads() {
		most = max(most, row.s.P99, row.budget)
	}
	return most * 1.15
}

// along is where a time lies on the logarithmic axis of the bars, in percent of it: from a tenth of a millisecond on.
func along(ms, most float64) float64 {
	const least = 0.1
	return 100 * math.Log(max(ms, least)/least) / math.Log(most/least)
}

func axis(most float64) (ticks []tick) {
	for v := 0.1; v < most; v *= 10 {
		ticks = append(ticks, tick{along(v, most), number(v)})
	}
	return ticks
}

func (rep *Report) bars() (bars []bar) {
	most := rep.widest()
	for _, row := range rep.spreads() {
		if row.s.Count == 0 {
			continue
		}
		from := along(row.s.P50, most)
		b := bar{
			Name: row.name, Budget: row.budget, P50: row.s.P50, P95: row.s.P95, P99: row.s.P99, Max: row.s.Max, Count: row.s.Count,
			From: from, Width: max(along(row.s.P95, most)-from, 0.8), End: along(row.s.P99, most), Over: row.budget > 0 && row.s.P95 > row.budget,
		}
		if row.budget > 0 {
			b.At = along(row.budget, most)
		}
		bars = append(bars, b)
	}
	return bars
}

func (rep *Report) plots() (all []plot) {
	if rep.Latency.Count > 0 {
		names := map[string]string{string(timeVoice): "audio", string(timeVideo): "video"}
		all = append(all, newCurves("Latency by share", rep.Curves, names, string(timeVoice), string(timeVideo)))
	}
	if rep.Join.Count > 0 {
		names := map[string]string{string(timeJoin): "ticket", string(timeAudio): "first audio", string(timeFrame): "first frame"}
		all = append(all, newCurves("Joins by share", rep.Curves, names, string(timeJoin), string(timeAudio), string(timeFrame)))
	}
	if len(rep.Series) < 2 {
		return all
	}
	draw := func(title, unit string, traces ...trace) {
		all = append(all, newPlot(title, unit, rep.Series, rep.Marks, traces...))
	}
	draw("Audio latency", "ms", trace{"p99", func(s Sample) float64 { return s.AudioLatency }}, trace{"p50", func(s Sample) float64 { return s.AudioMedian }})
	draw("Video latency", "ms", trace{"p99", func(s Sample) float64 { return s.VideoLatency }}, trace{"p50", func(s Sample) float64 { return s.VideoMedian }})
	draw("Received", "packets/s", trace{"", func(s Sample) float64 { return s.Received }})
	draw("Loss", "packets a second", trace{"before repair", func(s Sample) float64 { return float64(s.Missed) }}, trace{"after repair", func(s Sample) float64 { return float64(s.Lost) }})
	draw("Server CPU", "cores", trace{"", func(s Sample) float64 { return s.ServerCPU }})
	draw("Server memory", "MB", trace{"", func(s Sample) float64 { return s.ServerMB }})
	draw("People", "", trace{"", func(s Sample) float64 { return float64(s.In) }})
	draw("Swarm's share of the CPU left to it", "%", trace{"", func(s Sample) float64 { return s.OwnCPU * 100 }})
	return all
}

// Title is what the page is called.
func (rep *Report) Title() string {
	name := strings.TrimSpace(rep.Scenario)
	if name == "" {
		name = "swarm"
	}
	return name
}
