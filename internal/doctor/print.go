package doctor

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Printer writes checks for people, each as soon as it is known. What is skipped for one reason shares a line.
type Printer struct {
	W     io.Writer
	Color bool

	skipped []string // names that are not written yet
	because string
}

// mark is how a state looks, and its colour (ECMA-48).
func (s State) mark() (word, color string) {
	switch s {
	case OK:
		return "ok", "32"
	case Warn:
		return "warn", "33"
	case Fail:
		return "FAIL", "31;1"
	case Skipped:
		return "-", "2"
	}
	return string(s), "0"
}

// Check writes one check: a line, and its hint below.
func (p *Printer) Check(c Check) {
	if c.State == Skipped {
		if c.Cause != p.because {
			p.flush()
		}
		p.skipped, p.because = append(p.skipped, c.Name), c.Cause
		return
	}
	p.flush()
	text := c.Found
	if c.Cause != "" {
		text = c.Cause
	}
	word, color := c.State.mark()
	fmt.Fprintf(p.W, "  %s  %-26s %7s  %s\n", p.paint(fmt.Sprintf("%-4s", word), color), c.Name,
		fmt.Sprintf("%d ms", time.Duration(c.Took).Milliseconds()), text)
	if c.Hint != "" {
		fmt.Fprintf(p.W, "  %-4s  %-26s %7s  %s\n", "", "", "", p.paint("→ "+c.Hint, "36"))
	}
}

// mostSkipped is how many skipped checks are named.
const mostSkipped = 4

// flush writes what was skipped.
func (p *Printer) flush() {
	if len(p.skipped) > 0 {
		word, color := Skipped.mark()
		names := strings.Join(p.skipped[:min(len(p.skipped), mostSkipped)], ", ")
		if more := len(p.skipped) - mostSkipped; more > 0 {
			names += fmt.Sprintf(" and %d more", more)
		}
		line := fmt.Sprintf("%-4s  skipped %s: %s", word, p.because, names)
		fmt.Fprintf(p.W, "  %s\n", p.paint(line, color))
	}
	p.skipped, p.because = nil, ""
}

// Verdict writes what it all means.
func (p *Printer) Verdict(r Report) {
	p.flush()
	color := "32;1"
	if strings.Contains(r.Verdict, " not ") {
		color = "31;1"
	} else if !r.OK {
		color = "33;1"
	}
	fmt.Fprintf(p.W, "\n  %s  (%.1f s)\n", p.paint(r.Verdict, color), time.Duration(r.Took).Seconds())
}

func (p *Printer) paint(text, color string) string {
	if !p.Color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}
