package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/parley-sfu/parley/bench/plot"
	"github.com/parley-sfu/parley/bench/soak"
)

// runSoak lets people come and go, and fails when the node uses more and more.
func runSoak(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	plan := soak.Defaults()
	set := flag.NewFlagSet("measure soak", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.DurationVar(&plan.Duration, "for", plan.Duration, "how long")
	set.IntVar(&plan.Seats, "seats", plan.Seats, "people in the room")
	set.DurationVar(&plan.Every, "every", plan.Every, "between two of them being replaced or cut off")
	set.DurationVar(&plan.Sample, "sample", plan.Sample, "between two samples")
	dir := set.String("dir", "artifacts/soak", "directory for plots")
	if err := set.Parse(args); err != nil {
		return err
	}
	var err error
	if plan.Binary, err = build(ctx, "cmd/parley"); err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return err
	}
	plan.Log = stderr
	report, err := soak.Run(ctx, plan)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s with %d people, of whom one was replaced or cut off every %s: %d replaced, %d of %d resumed\n\n",
		plan.Duration, plan.Seats, plan.Every, report.Replaced, report.Resumed, report.Cut)
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tat a quarter\tat the end\tan hour\tof the mean\tbeyond noise\tgrows\t")
	for _, s := range report.Series {
		g := s.Growth()
		quarter, end := s.Points[len(s.Points)/4].X, s.Points[len(s.Points)-1].X
		const hour = 3600
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%+.2f\t%+.2f %%\t%v\t%v\t\n", s.Unit, g.At(quarter), g.At(end), g.Slope*hour, 100*g.Share, g.Sure, g.Grows)
		line := g.Line
		chart := plot.Chart{Title: s.Name + " while people come and go", X: "seconds", Y: s.Unit, Points: s.Points, Line: &line, Joined: true}
		if err := toFile(filepath.Join(*dir, s.Name+".svg"), chart.WriteSVG); err != nil {
			return err
		}
	}
	_ = w.Flush() // out is the terminal
	fmt.Fprintf(stdout, "\nplots are in %s\n", *dir)
	return report.Fault()
}
