package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Print writes the report for people.
func (rep *Report) Print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s: %d publishers and %d viewers (%d of them lean) in %d rooms, joined in %.1f s, measured for %.0f s\n\n",
		rep.Scenario, rep.Publishers, rep.Viewers, rep.Lean, rep.Rooms, rep.JoinedIn, rep.Seconds)
	rep.printTimes(w)
	fmt.Fprintf(w, "\npackets\t%d received, %d missed, %d lost after repair (%.3f%%)\n", rep.Received, rep.Missed, rep.Lost, rep.LossRatio*100)
	fmt.Fprintf(w, "frames\t%d whole, %d corrupt, %d misplaced, %d broken, looked at by %d\n",
		rep.Verified.Whole, rep.Verified.Corrupt, rep.Verified.Misplaced, rep.Verified.Broken, rep.Verifiers)
	fmt.Fprintf(w, "frozen\t%.3f%% of the time, %d times\n", rep.FreezeRatio*100, rep.Freezes)
	fmt.Fprintf(w, "people\t%d failed joins, %d throttled; %d left and were followed, %d reconnects, %d cut off, %d moved; %d steps refused\n",
		rep.Failed, rep.Throttled, rep.Churned, rep.Reconnects, rep.CutOff, rep.Moved, rep.Refused)
	s := rep.Server
	fmt.Fprintf(w, "servers\t%.2f cores, %.2f µs a packet at %.0f packets/s, %.2f ms a Mbit at %.1f Mbit/s\n",
		s.CPU, s.MicrosPerPacket, s.Packets, s.MillisPerMbit, s.MbitPerSecond)
	fmt.Fprintf(w, "\t%.0f MB, grown by %.0f kB a person; %.1f ms of CPU a join; %.0f goroutines; %.2f Mbit/s between nodes\n",
		s.MemoryMB, s.MemoryPerPerson, s.MillisPerJoin, s.Goroutines, s.LinkMbit)
	own := rep.Own
	fmt.Fprintf(w, "swarm\t%.2f cores, %.0f%% of what its machine left it; %.2f µs a packet received, grown by %.0f kB a person\n",
		own.Cores, own.Share*100, own.MicrosPerPacket, own.MemoryPerPerson)
	for _, u := range rep.Agents {
		fmt.Fprintf(w, "\t%s: %.2f cores, %.0f%%; %.2f µs a packet, %.0f kB a person\n", u.Agent, u.Cores, u.Share*100, u.MicrosPerPacket, u.MemoryPerPerson)
	}
	_ = w.Flush() // out is the terminal
	for _, fault := range rep.Faults {
		fmt.Fprintln(out, "fault  ", fault)
	}
	if !rep.Valid {
		fmt.Fprintf(out, "\nNOT VALID: %s\n", rep.Why)
	}
}

// printTimes writes what was measured of the times, with their budgets.
func (rep *Report) printTimes(w io.Writer) {
	fmt.Fprintln(w, "ms\tp50\tp95\tp99\tmax\tof\tbudget")
	for _, row := range rep.spreads() {
		if row.s.Count == 0 {
			continue
		}
		verdict := ""
		if row.budget > 0 {
			verdict = fmt.Sprintf("✓ %.0f", row.budget)
			if row.s.P95 > row.budget {
				verdict = fmt.Sprintf("✗ %.0f", row.budget)
			}
		}
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t%s\n", row.name, row.s.P50, row.s.P95, row.s.P99, row.s.Max, row.s.Count, verdict)
	}
}
