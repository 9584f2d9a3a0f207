package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// A figure of a report, as people read it.
type figure struct {
	Name, Unit string
	Value      float64
}

// figures lists what two runs are compared by, and what a report shows first.
func (rep *Report) figures() []figure {
	var all []figure
	for _, row := range rep.spreads() {
		all = append(all, figure{row.name + " p50", "ms", row.s.P50}, figure{row.name + " p95", "ms", row.s.P95})
	}
	s := rep.Server
	return append(all,
		figure{"received", "packets/s", float64(rep.Received) / max(rep.Seconds, 1)},
		figure{"missed", "packets", float64(rep.Missed)},
		figure{"lost after repair", "packets", float64(rep.Lost)},
		figure{"frozen", "%", rep.FreezeRatio * 100},
		figure{"failed joins", "", float64(rep.Failed)},
		figure{"server CPU", "cores", s.CPU},
		figure{"CPU a packet", "µs", s.MicrosPerPacket},
		figure{"CPU a Mbit", "ms", s.MillisPerMbit},
		figure{"memory a person", "kB", s.MemoryPerPerson},
		figure{"CPU a join", "ms", s.MillisPerJoin},
		figure{"between nodes", "Mbit/s", s.LinkMbit},
		figure{"swarm's share", "%", rep.Own.Share * 100},
		figure{"swarm's CPU a packet", "µs", rep.Own.MicrosPerPacket},
		figure{"swarm's memory a person", "kB", rep.Own.MemoryPerPerson},
	)
}

// Compare writes the figures of an older report beside those of this one.
func (rep *Report) Compare(out io.Writer, old *Report) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tbefore\tnow\tnow/before\t")
	before := old.figures()
	for i, now := range rep.figures() {
		ratio := "-"
		if before[i].Value != 0 {
			ratio = fmt.Sprintf("× %.2f", now.Value/before[i].Value)
		}
		fmt.Fprintf(w, "%s\t%.4g\t%.4g %s\t%s\t\n", now.Name, before[i].Value, now.Value, now.Unit, ratio)
	}
	_ = w.Flush() // out is the terminal
}
