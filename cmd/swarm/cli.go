package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"github.com/parley-sfu/parley/bench"
)

// cli is the command line.
type cli struct {
	URL        string        `help:"Where Parley's REST is." name:"url" default:"http://127.0.0.1:7880" placeholder:"URL"`
	Token      string        `help:"User token that may create, join and end meetings; parley token makes one." placeholder:"TOKEN"`
	Metrics    []string      `help:"Metrics of the servers; by default those at the URL." placeholder:"URL"`
	Rooms      int           `help:"Meetings at the same time." default:"1"`
	Publishers int           `help:"People in each room who send." default:"1"`
	Viewers    int           `help:"People in each room who watch." default:"50"`
	Media      string        `help:"What is sent: av or audio." enum:"av,audio" default:"av"`
	Layout     string        `help:"What viewers look at: grid or speaker." enum:"grid,speaker" default:"grid"`
	JoinRate   float64       `help:"Joins a second." name:"join-rate" default:"10"`
	Duration   time.Duration `help:"How long to measure, once everybody is in." default:"60s"`
	JSON       string        `help:"Write the report to this file; - is the standard output." name:"json" placeholder:"FILE"`
	HTML       string        `help:"Write the report as a page to this file." name:"html" placeholder:"FILE"`
	Compare    string        `help:"Show the figures beside those of an older report." placeholder:"FILE" type:"existingfile"`
	Assert     []string      `help:"Fail unless this holds, such as join_p95<1500ms. May be given several times." placeholder:"FIGURE" sep:"none"`
	Quiet      bool          `help:"Tell nothing on the way." short:"q"`
}

// Exit codes.
const (
	exitOK      = 0
	exitFailed  = 1 // the run broke, or an assertion does not hold
	exitUsage   = 2
	exitInvalid = 3 // the figures may not be trusted
)

// run is the program without the process around it. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var flags cli
	exited := -1
	parser, err := kong.New(&flags,
		kong.Name("swarm"),
		kong.Description("Joins meetings of a running Parley as many people at once, and tells what they went through."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exited = code }),
	)
	if err != nil {
		fmt.Fprintln(stderr, "swarm:", err)
		return exitFailed
	}
	_, err = parser.Parse(args)
	switch {
	case exited >= 0: // --help
		return exited
	case err != nil:
		fmt.Fprintln(stderr, "swarm:", err)
		fmt.Fprintln(stderr, "swarm --help tells what there is.")
		return exitUsage
	}
	return flags.run(ctx, stdout, stderr)
}

func (c *cli) run(ctx context.Context, stdout, stderr io.Writer) int {
	plan := c.plan()
	assertions, err := parseAssertions(c.Assert)
	if err = errors.Join(plan.Validate(), err); err != nil {
		fmt.Fprintln(stderr, "swarm:", err)
		return exitUsage
	}
	old, err := c.older()
	if err != nil {
		fmt.Fprintln(stderr, "swarm:", err)
		return exitUsage
	}
	report, err := bench.Run(ctx, plan, c.teller(stderr))
	if err != nil {
		fmt.Fprintln(stderr, "swarm:", err)
		return exitFailed
	}
	if c.JSON != "-" {
		report.Print(stdout)
		if old != nil {
			fmt.Fprintln(stdout)
			report.Compare(stdout, old)
		}
	}
	if err := c.write(report, stdout); err != nil {
		fmt.Fprintln(stderr, "swarm:", err)
		return exitFailed
	}
	if !report.Valid {
		fmt.Fprintln(stderr, "swarm: not valid:", report.Why)
		return exitInvalid
	}
	code := exitOK
	for _, a := range assertions {
		if err := a.Check(report); err != nil {
			fmt.Fprintln(stderr, "swarm: does not hold:", err)
			code = exitFailed
		}
	}
	return code
}

func (c *cli) plan() bench.Plan {
	return bench.Plan{
		URL: c.URL, Token: c.Token, Metrics: c.Metrics, Rooms: c.Rooms, Publishers: c.Publishers, Viewers: c.Viewers,
		Media: c.Media, Layout: c.Layout, JoinRate: c.JoinRate, Duration: c.Duration,
	}
}

func parseAssertions(texts []string) (all []bench.Assertion, err error) {
	for _, text := range texts {
		a, fault := bench.ParseAssertion(text)
		if fault != nil {
			err = errors.Join(err, fmt.Errorf("assert: %w", fault))
		}
		all = append(all, a)
	}
	return all, err
}

// teller writes progress onto one line of a terminal, or a line a stage where it is none.
func (c *cli) teller(out io.Writer) func(bench.Progress) {
	if c.Quiet {
		return nil
	}
	terminal := false
	if file, ok := out.(*os.File); ok {
		info, err := file.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	stage := ""
	return func(p bench.Progress) {
		line := fmt.Sprintf("%s: %d of %d in, %d failed, %.0f s", p.Stage, p.Joined, p.People, p.Failed, p.Elapsed.Seconds())
		switch {
		case terminal:
			fmt.Fprintf(out, "\r\x1b[K%s", line)
			if p.Stage != stage && stage != "" {
				fmt.Fprintln(out)
			}
		case p.Stage != stage:
			fmt.Fprintln(out, line)
		}
		stage = p.Stage
	}
}

// older reads the report to compare with.
func (c *cli) older() (*bench.Report, error) {
	if c.Compare == "" {
		return nil, nil //nolint:nilnil // there is none to compare with
	}
	raw, err := os.ReadFile(c.Compare)
	if err != nil {
		return nil, err
	}
	var old bench.Report
	if err := json.Unmarshal(raw, &old); err != nil {
		return nil, fmt.Errorf("compare: %s is no report: %w", c.Compare, err)
	}
	return &old, nil
}

// write writes the report where it was asked for.
func (c *cli) write(report *bench.Report, stdout io.Writer) error {
	if c.HTML != "" {
		if err := toFile(c.HTML, report.WriteHTML); err != nil {
			return err
		}
	}
	encode := func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	switch c.JSON {
	case "":
		return nil
	case "-":
		return encode(stdout)
	default:
		return toFile(c.JSON, encode)
	}
}

func toFile(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
