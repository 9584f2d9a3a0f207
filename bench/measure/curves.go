package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/parley-sfu/parley/bench/path"
	"github.com/parley-sfu/parley/bench/plot"
)

// A quantity is one of the figures of a room.
type quantity struct {
	name, unit string
	of         func(path.Usage) float64
}

func quantities() []quantity {
	return []quantity{
		{"cpu", "cores", func(u path.Usage) float64 { return u.CPU }},
		{"memory", "MB resident", func(u path.Usage) float64 { return u.Memory }},
		{"heap", "MB in use", func(u path.Usage) float64 { return u.Heap }},
		{"goroutines", "goroutines", func(u path.Usage) float64 { return u.Goroutines }},
	}
}

// runCurves measures a node against its viewers and its cameras, and draws each figure with the straight line through it.
func runCurves(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set := flag.NewFlagSet("measure curves", flag.ContinueOnError)
	set.SetOutput(stderr)
	dir := set.String("dir", "artifacts/curves", "directory for plots and figures")
	window := set.Duration("window", 10*time.Second, "how long each size of the room is measured")
	straight := set.Float64("r2", 0.95, "the least R² of the lines of CPU and goroutines; 0: whatever it is")
	if err := set.Parse(args); err != nil {
		return err
	}
	binary, err := build(ctx, "cmd/parley")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return err
	}
	var faults []error
	for _, course := range path.Courses() {
		steps, err := path.Follow(ctx, binary, course, *window, stderr)
		if err != nil {
			return err
		}
		lines, err := draw(*dir, course.Name, steps)
		if err != nil {
			return err
		}
		show(stdout, course.Name, steps, lines)
		for i, q := range quantities() {
			if (q.name == "cpu" || q.name == "goroutines") && lines[i].R2 < *straight {
				faults = append(faults, fmt.Errorf("%s against %s is no straight line: R² = %.3f", q.name, course.Name, lines[i].R2))
			}
		}
	}
	fmt.Fprintf(stdout, "plots are in %s\n", *dir)
	return errors.Join(faults...)
}

// along returns a figure of each step against what grows.
func along(course string, steps []path.Usage, of func(path.Usage) float64) []plot.Point {
	points := make([]plot.Point, len(steps))
	for i, u := range steps {
		points[i] = plot.Point{X: float64(u.Viewers), Y: of(u)}
		if course == "cameras" {
			points[i].X = float64(u.Cameras)
		}
	}
	return points
}

// draw writes a plot of each figure, and all figures as JSON. It returns the lines in the order of quantities.
func draw(dir, course string, steps []path.Usage) (lines []plot.Line, err error) {
	for _, q := range quantities() {
		points := along(course, steps, q.of)
		line := plot.Fit(points)
		lines = append(lines, line)
		chart := plot.Chart{Title: q.name + " against " + course, X: course, Y: q.unit, Points: points, Line: &line}
		if err := toFile(filepath.Join(dir, course+"-"+q.name+".svg"), chart.WriteSVG); err != nil {
			return nil, err
		}
	}
	raw, err := json.MarshalIndent(steps, "", "  ")
	if err != nil {
		return nil, err
	}
	return lines, os.WriteFile(filepath.Join(dir, course+".json"), append(raw, '\n'), 0o644)
}

func show(out io.Writer, course string, steps []path.Usage, lines []plot.Line) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "cameras\tviewers\tpackets/s\tcores\tMB resident\tMB heap\tgoroutines\t")
	for _, u := range steps {
		fmt.Fprintf(w, "%d\t%d\t%.0f\t%.3f\t%.1f\t%.1f\t%.0f\t\n", u.Cameras, u.Viewers, u.Packets, u.CPU, u.Memory, u.Heap, u.Goroutines)
	}
	_ = w.Flush() // out is the terminal
	for i, q := range quantities() {
		l := lines[i]
		fmt.Fprintf(out, "%-10s = %.4g + %.4g × %s (%s), R² = %.4f\n", q.name, l.Intercept, l.Slope, course, q.unit, l.R2)
	}
	fmt.Fprintln(out)
}

func toFile(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
