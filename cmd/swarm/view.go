package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/parley-sfu/parley/bench"
)

// A view shows how a run goes: a few lines that are drawn again and again on a terminal, and a line for each stage where it
// is none. It is safe for concurrent use.
type view struct {
	out      io.Writer
	quiet    bool
	terminal bool

	mu     sync.Mutex // protects following
	drawn  int        // lines that stand there
	stage  string
	closed bool
}

func newView(out io.Writer, quiet bool) *view {
	v := &view{out: out, quiet: quiet}
	if file, ok := out.(*os.File); ok {
		info, err := file.Stat()
		v.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return v
}

// say writes a line that stays.
func (v *view) say(line string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.quiet {
		fmt.Fprintln(v.out, "swarm:", line)
	}
}

// tell shows progress.
func (v *view) tell(p bench.Progress) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.quiet || v.closed {
		return
	}
	if !v.terminal {
		if p.Stage != v.stage {
			fmt.Fprintf(v.out, "%s: %d of %d people in, %d failed\n", p.Stage, p.In, p.People, p.Failed)
		}
		v.stage = p.Stage
		return
	}
	v.draw(lines(p))
}

// close leaves what was drawn last.
func (v *view) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.drawn > 0 && !v.closed {
		fmt.Fprintln(v.out)
	}
	v.closed = true
}

// draw draws lines over those that were drawn last.
func (v *view) draw(lines []string) {
	var b strings.Builder
	if v.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", v.drawn)
	}
	for _, line := range lines {
		b.WriteString("\r\x1b[K" + line + "\n")
	}
	b.WriteString("\x1b[J") // what is below, if there were more before
	v.drawn = len(lines)
	_, _ = io.WriteString(v.out, b.String()) // a terminal that is gone misses nothing
}

const barWidth = 32

// lines are what a terminal shows of a run.
func lines(p bench.Progress) []string {
	const bold, dim, plain = "\x1b[1m", "\x1b[2m", "\x1b[0m"
	label := func(name string) string { return fmt.Sprintf("  %s%-9s%s", dim, name, plain) }
	head := fmt.Sprintf("%s%s%s  %s", bold, p.Stage, plain, clock(p.Elapsed))
	if p.Of > 0 {
		head += " of " + clock(p.Of) + "  " + bar(p.Elapsed, p.Of)
	}
	if p.Doing != "" {
		head += "  " + p.Doing
	}
	people := fmt.Sprintf("%d of %d in", p.In, p.People)
	if p.Failed > 0 {
		people += fmt.Sprintf(", %d failed", p.Failed)
	}
	if p.Agents > 1 {
		people += fmt.Sprintf(", on %d agents", p.Agents)
	}
	all := []string{head, label("people") + people}
	if p.At > 0 {
		all = append(all,
			label("packets")+fmt.Sprintf("%.0f/s, %d missed and %d lost after repair in the last second", p.Received, p.Missed, p.Lost),
			label("latency")+fmt.Sprintf("audio %s  video %s  %s(p50 / p99)%s", pair(p.AudioMedian, p.AudioLatency), pair(p.VideoMedian, p.VideoLatency), dim, plain),
			label("servers")+fmt.Sprintf("%.2f cores, %.0f MB", p.ServerCPU, p.ServerMB),
		)
	}
	own := fmt.Sprintf("%.0f%% of the CPU that its machine leaves it", p.OwnCPU*100)
	if p.OwnCPU > bench.ValidCPU {
		own += ": too much for the result to be valid"
	}
	return append(all, label("swarm")+own)
}

func pair(p50, p99 float64) string { return fmt.Sprintf("%.1f / %.1f ms", p50, p99) }

func clock(d time.Duration) string {
	seconds := int(d.Seconds())
	return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
}

func bar(at, of time.Duration) string {
	full := int(min(float64(at)/float64(of), 1) * barWidth)
	return strings.Repeat("█", full) + strings.Repeat("░", barWidth-full)
}
