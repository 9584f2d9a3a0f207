package plot

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// A Chart shows points and, if there is one, the line through them.
type Chart struct {
	Title, X, Y string
	Points      []Point
	Line        *Line
	Joined      bool // the points are a series in time
}

// The size of a chart, in pixels.
const (
	width, height = 640, 320
	left, right   = 70, 20
	top, bottom   = 40, 50
)

// WriteSVG draws the chart. Both axes begin at zero, so that a line through the origin looks like one.
func (c Chart) WriteSVG(out io.Writer) error {
	mostX, mostY := 0.0, 0.0
	for _, p := range c.Points {
		mostX, mostY = max(mostX, p.X), max(mostY, p.Y)
	}
	mostX, mostY = round(mostX), round(mostY)
	x := func(v float64) float64 { return left + v/mostX*(width-left-right) }
	y := func(v float64) float64 { return height - bottom - v/mostY*(height-top-bottom) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, width, height)
	fmt.Fprintf(&b, "\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"%d\" y=\"22\" font-size=\"15\">%s</text>\n", left, html.EscapeString(c.Title))
	const ticks = 4
	for i := range ticks + 1 {
		vx, vy := mostX*float64(i)/ticks, mostY*float64(i)/ticks
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.4g</text>`, left, y(vy), width-right, left-6, y(vy)+4, vy)
		fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g</text>\n", x(vx), height-bottom+18, vx)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`, (left+width-right)/2, height-10, html.EscapeString(c.X))
	fmt.Fprintf(&b, "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>\n", (top+height-bottom)/2, html.EscapeString(c.Y))
	if l := c.Line; l != nil {
		fmt.Fprintf(&b, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"#c33\" stroke-width=\"1.5\"/>\n", x(0), y(l.At(0)), x(mostX), y(l.At(mostX)))
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\" fill=\"#c33\">%.4g + %.4g × x, R² = %.4f</text>\n", width-right, top-6, l.Intercept, l.Slope, l.R2)
	}
	if c.Joined {
		for i, p := range c.Points {
			fmt.Fprintf(&b, "%s%.1f %.1f", []string{`<path fill="none" stroke="#369" d="M`, "L"}[min(i, 1)], x(p.X), y(p.Y))
		}
		if len(c.Points) > 0 {
			b.WriteString("\"/>\n")
		}
	} else {
		for _, p := range c.Points {
			fmt.Fprintf(&b, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"#369\"/>\n", x(p.X), y(p.Y))
		}
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// round returns the next larger number that an axis may well end with.
func round(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, factor := range []float64{1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8} {
		if v <= factor*unit {
			return factor * unit
		}
	}
	return 10 * unit
}
