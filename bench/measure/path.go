package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/parley-sfu/parley/bench/path"
)

// pathFlags are those of `measure path`.
type pathFlags struct {
	short, write, skipCompare, skipPion bool
	loads, results, against             string
	window                              time.Duration
	rounds, most                        int
}

// The short variant's, where nothing else is asked for.
const (
	shortWindow = 500 * time.Millisecond
	shortMost   = 9 // rounds: there are two minutes
)

func runPath(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var f pathFlags
	set := flag.NewFlagSet("measure path", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.BoolVar(&f.short, "short", false, "three loads, without pion, flat out, in a minute; fail only for what is certain")
	set.BoolVar(&f.write, "write", false, "keep the result in the directory of results")
	set.BoolVar(&f.skipCompare, "no-compare", false, "do not compare with an earlier result")
	set.BoolVar(&f.skipPion, "no-pion", false, "leave pion out")
	set.StringVar(&f.against, "against", "", "another build of parley, to be measured beside this one")
	set.StringVar(&f.loads, "loads", "", "only loads whose name matches this regular expression")
	set.StringVar(&f.results, "results", "bench/results", "directory of results")
	set.DurationVar(&f.window, "window", time.Second, "how long each contender is measured in each round")
	set.IntVar(&f.rounds, "rounds", 6, "rounds")
	set.IntVar(&f.most, "most", 15, "rounds where the first leave open whether a ratio has worsened")
	if err := set.Parse(args); err != nil {
		return err
	}
	if f.short {
		f.window, f.most = min(f.window, shortWindow), min(f.most, shortMost)
	}
	return f.measure(ctx, stdout, stderr)
}

func (f pathFlags) measure(ctx context.Context, stdout, stderr io.Writer) error {
	only, err := regexp.Compile(f.loads)
	if err != nil {
		return fmt.Errorf("--loads: %w", err)
	}
	programs, err := buildPrograms(ctx)
	if err != nil {
		return err
	}
	programs.Before = f.against
	opts := path.Options{
		Programs: programs, Window: f.window, Rounds: f.rounds, Most: max(f.most, f.rounds), Pion: !f.short && !f.skipPion, Paced: !f.short,
		Log: stderr,
	}
	result := &path.Result{Date: time.Now().UTC().Format(time.RFC3339), Commit: commit(ctx), Machine: path.ThisMachine()}
	if !f.skipCompare {
		if opts.Earlier, err = path.Earlier(f.results, result.Machine); err != nil {
			return err
		}
	}
	for _, load := range path.Loads() {
		if f.short && !load.Short || !only.MatchString(load.Name) {
			continue
		}
		rows, err := path.Measure(ctx, load, opts)
		if err != nil {
			return err
		}
		result.Rows = append(result.Rows, rows...)
		if !f.write {
			continue
		}
		if _, err := result.Write(f.results); err != nil { // with each load anew: the rest may fail
			return err
		}
	}
	if len(result.Rows) == 0 {
		return errors.New("--loads: there is no such load")
	}
	fmt.Fprintf(stdout, "%s, commit %s\n\n", result.Machine, result.Commit)
	result.Table(stdout)
	return f.compare(result, opts.Earlier, stdout)
}

// compare tells what is compared with what, and fails where a ratio has worsened.
func (f pathFlags) compare(now *path.Result, earlier path.Kept, stdout io.Writer) error {
	switch {
	case f.skipCompare:
		return nil
	case len(earlier) == 0:
		fmt.Fprintf(stdout, "\nno earlier result in %s to compare with\n", f.results)
		return nil
	}
	if f.short {
		doubts, err := now.CompareSurely(earlier)
		for _, doubt := range doubts {
			fmt.Fprintf(stdout, "\nin doubt: %s\n", doubt)
		}
		if err != nil || len(doubts) > 0 {
			return err
		}
	} else if err := now.Compare(earlier); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "\nno ratio to the floor is more than 15 % worse than the kept one")
	return nil
}
