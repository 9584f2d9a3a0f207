package plot

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// A Timeline shows what happened side by side: panels one below the other over the same seconds.
type Timeline struct {
	Title  string
	Panels []Panel
}

// A Panel is some series of one unit, and a height that they should not pass.
type Panel struct {
	Unit   string
	Traces []Trace
	Limit  float64 // drawn as a dashed line; 0: none
}

// A Trace is one series in time. Its points come in order, X in seconds.
type Trace struct {
	Name   string
	Points []Point
	Steps  bool // each value holds until the next
}

// The size of a timeline, in pixels.
const (
	timelineWidth = 960
	panelHeight   = 220
	panelGap      = 46 // below each, for the seconds and the names of what is next
)

// Size is the size of the picture, in pixels.
func (t Timeline) Size() (wide, high int) {
	return timelineWidth, top + len(t.Panels)*(panelHeight+panelGap)
}

// WriteSVG draws the timeline. Every panel begins at zero.
func (t Timeline) WriteSVG(out io.Writer) error {
	wide, high := t.Size()
	first, last := t.span()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`, wide, high)
	fmt.Fprintf(&b, "\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"%d\" y=\"18\" font-size=\"15\">%s</text>\n", left, html.EscapeString(t.Title))
	for i, p := range t.Panels {
		p.write(&b, frame{first, last, p.most(), top + i*(panelHeight+panelGap)})
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// span is the time from the first point to the last, one second at least.
func (t Timeline) span() (first, last float64) {
	first, last = math.Inf(1), math.Inf(-1)
	for _, p := range t.Panels {
		for _, trace := range p.Traces {
			for _, point := range trace.Points {
				first, last = min(first, point.X), max(last, point.X)
			}
		}
	}
	if first > last {
		return 0, 1
	}
	return first, max(last, first+1)
}

// most is where a panel's scale ends.
func (p Panel) most() float64 {
	most := p.Limit
	for _, trace := range p.Traces {
		for _, point := range trace.Points {
			most = max(most, point.Y)
		}
	}
	return round(most)
}

// frame is where a panel is drawn, and its scales.
type frame struct {
	first, last, most float64
	y                 int // of its top
}

func (f frame) x(v float64) float64 {
	return left + (v-f.first)/(f.last-f.first)*(timelineWidth-left-right)
}

func (f frame) height(v float64) float64 {
	return float64(f.y) + panelHeight - v/f.most*panelHeight
}

// write draws a panel.
func (p Panel) write(b *strings.Builder, f frame) {
	const ticks, seconds = 4, 8
	for i := range ticks + 1 {
		v := f.most * float64(i) / ticks
		fmt.Fprintf(b, "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n", left, f.height(v), timelineWidth-right, left-6, f.height(v)+4, v)
	}
	for i := range seconds + 1 {
		v := f.first + (f.last-f.first)*float64(i)/seconds
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.3g s</text>\n", f.x(v), f.y+panelHeight+16, v)
	}
	fmt.Fprintf(b, "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>\n", f.y+panelHeight/2, html.EscapeString(p.Unit))
	if p.Limit > 0 {
		fmt.Fprintf(b, "<path d=\"M%d %.1fH%d\" stroke=\"#c33\" stroke-dasharray=\"6 4\"/>\n", left, f.height(p.Limit), timelineWidth-right)
	}
	for i, trace := range p.Traces {
		color := []string{"#369", "#c63", "#393", "#939", "#777", "#099", "#c39", "#663", "#66c"}[i%9]
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>\n", left+8+i*150, f.y-6, color, html.EscapeString(trace.Name))
		trace.write(b, f, color)
	}
}

// write draws a series.
func (t Trace) write(b *strings.Builder, f frame, color string) {
	if len(t.Points) == 0 {
		return
	}
	fmt.Fprintf(b, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" d=\"M", color)
	for i, p := range t.Points {
		switch {
		case i == 0:
			fmt.Fprintf(b, "%.1f %.1f", f.x(p.X), f.height(p.Y))
		case t.Steps:
			fmt.Fprintf(b, "H%.1fV%.1f", f.x(p.X), f.height(p.Y))
		default:
			fmt.Fprintf(b, "L%.1f %.1f", f.x(p.X), f.height(p.Y))
		}
	}
	b.WriteString("\"/>\n")
}
