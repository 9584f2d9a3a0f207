package bench

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
)

//go:embed report.gohtml
var pages embed.FS

// A plot is one line over the time of a run, drawn as SVG.
type plot struct {
	Title, Unit string
	Path        template.HTMLAttr // the d of an SVG path
	Most        string            // the largest value, where the axis ends
	Last        string            // seconds at the right end
}

const plotWidth, plotHeight = 600, 120 // SVG units of the line's field

// bar is a row of the table of times.
type bar struct {
	Name                string
	Budget              float64 // 0: none
	P50, P95, P99, Max  float64
	Count               int64
	WidthP50, WidthRest float64 // percent of the widest row
	Over                bool    // the p95 is above the budget
}

// WriteHTML writes the report as one page that needs nothing else.
func (rep *Report) WriteHTML(out io.Writer) error {
	page, err := template.New("report.gohtml").Funcs(template.FuncMap{"ms": func(v float64) string { return fmt.Sprintf("%.1f", v) }}).
		ParseFS(pages, "report.gohtml")
	if err != nil {
		return err
	}
	return page.Execute(out, map[string]any{"Report": rep, "Bars": rep.bars(), "Plots": rep.plots(), "Figures": rep.figures()})
}

// bars draws p50 to p95 on a logarithmic axis, so that 1 ms and a second are both seen.
func (rep *Report) bars() []bar {
	rows, most := rep.spreads(), 10.0
	for _, row := range rows {
		most = max(most, row.s.P95)
	}
	along := func(v float64) float64 { return 100 * math.Log1p(v*10) / math.Log1p(most*10) }
	bars := make([]bar, 0, len(rows))
	for _, row := range rows {
		budget := row.budget
		bars = append(bars, bar{
			Name: row.name, Budget: budget, P50: row.s.P50, P95: row.s.P95, P99: row.s.P99, Max: row.s.Max, Count: row.s.Count,
			WidthP50: along(row.s.P50), WidthRest: along(row.s.P95) - along(row.s.P50), Over: budget > 0 && row.s.P95 > budget,
		})
	}
	return bars
}

func (rep *Report) plots() []plot {
	if len(rep.Series) < 2 {
		return nil
	}
	line := func(title, unit string, of func(Sample) float64) plot {
		most := 0.0
		for _, s := range rep.Series {
			most = max(most, of(s))
		}
		end := rep.Series[len(rep.Series)-1].At
		var path strings.Builder
		for i, s := range rep.Series {
			y := float64(plotHeight)
			if most > 0 {
				y -= of(s) / most * plotHeight
			}
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], s.At/end*plotWidth, y)
		}
		return plot{
			Title: title, Unit: unit, Path: template.HTMLAttr(`d="` + path.String() + `"`), //nolint:gosec // numbers
			Most: fmt.Sprintf("%.4g", most), Last: fmt.Sprintf("%.0f", end),
		}
	}
	return []plot{
		line("Received", "packets/s", func(s Sample) float64 { return s.Received }),
		line("Lost after repair", "packets", func(s Sample) float64 { return float64(s.Lost) }),
		line("Audio latency, p95", "ms", func(s Sample) float64 { return s.AudioLatency }),
		line("Video latency, p95", "ms", func(s Sample) float64 { return s.VideoLatency }),
		line("Server CPU", "cores", func(s Sample) float64 { return s.ServerCPU }),
		line("Server memory", "MB", func(s Sample) float64 { return s.ServerMB }),
		line("Swarm's own CPU", "of all CPUs", func(s Sample) float64 { return s.OwnCPU }),
	}
}
