package path

import (
	"fmt"
	"io"
)

// The goals of the forwarding path, flat out.
const (
	floorGoal = 1.5
	pionGoal  = 0.25
)

// Table writes the rows as a table in Markdown.
func (r *Result) Table(out io.Writer) {
	fmt.Fprintln(out, "CPU µs a forwarded packet, of the whole process, medians. Floor: sendmmsg; with offload: in runs of 8 that the kernel cuts up.")
	fmt.Fprintf(out, "Goals, flat out: at most %g × the floor, and %g × pion. In brackets: where the median lies with 95 %% certainty.\n\n", floorGoal, pionGoal)
	fmt.Fprintln(out, "| publishers × viewers, payload | pace | floor | with offload | Parley | pion | Parley : floor | Parley : pion | rounds |")
	fmt.Fprintln(out, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, row := range r.Rows {
		pace := "flat out"
		if row.Paced {
			pace = "real"
		}
		pion, toPion := "–", "–"
		if row.Pion != nil {
			pion = fmt.Sprintf("%.2f", row.Micros[Pion])
			if row.limited() {
				pion += fmt.Sprintf(" (%d viewers)", row.PionViewers)
			}
			toPion = row.Pion.text(pionGoal, row.Paced)
		}
		fmt.Fprintf(out, "| %s | %s | %.2f | %.2f | %.2f | %s | %s | %s | %d |\n", row.Load, pace,
			row.Micros[Floor], row.Micros[Offload], row.Micros[Parley], pion, row.Floor.text(floorGoal, row.Paced), toPion, row.Rounds)
	}
	for _, row := range r.Rows {
		if row.Others > busyMachine {
			fmt.Fprintf(out, "\n%s: other programs took %.0f %% of the machine\n", row.name(), 100*row.Others)
		}
		if b := row.Before; b != nil {
			fmt.Fprintf(out, "\n%s: %.2f µs, and %.2f of the other build: %.2f times as much (%.2f–%.2f)\n", row.name(),
				row.Micros[Parley], row.Micros[Before], b.Median, b.Low, b.High)
		}
	}
}

// limited says whether pion had fewer viewers than the load has.
func (r Row) limited() bool {
	for _, l := range Loads() {
		if l.Name == r.Load {
			return r.PionViewers < l.Viewers
		}
	}
	return false
}

// text shows a ratio, and whether it is as good as it shall be.
func (r Ratio) text(goal float64, paced bool) string {
	said := fmt.Sprintf("%.2f (%.2f–%.2f)", r.Median, r.Low, r.High)
	switch {
	case paced:
		return said
	case r.Median <= goal:
		return said + " ✓"
	}
	return said + " ✗"
}
