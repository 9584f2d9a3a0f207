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
	URL     string   `help:"Where Parley's REST is." name:"url" default:"http://127.0.0.1:7880" placeholder:"URL"`
	Token   string   `help:"User token that may create, join and end meetings; parley token makes one." placeholder:"TOKEN" env:"SWARM_TOKEN"`
	Metrics []string `help:"Metrics of the servers; by default those of all URLs." placeholder:"URL"`

	Scenario string        `help:"Do what this file says, and not what the flags below say." placeholder:"FILE" type:"existingfile" group:"What happens"`
	Seed     *uint64       `help:"Seed of all that is random; by default the scenario's." group:"What happens"`
	Rooms    int           `help:"Meetings at the same time." default:"1" group:"What happens"`
	Pubs     int           `help:"People in each room who send." name:"publishers" default:"1" group:"What happens"`
	Viewers  int           `help:"People in each room who watch." default:"50" group:"What happens"`
	Media    string        `help:"What is sent: av or audio." enum:"av,audio" default:"av" group:"What happens"`
	Codec    string        `help:"Of the cameras: vp8 or h264." enum:"vp8,h264" default:"vp8" group:"What happens"`
	Layout   string        `help:"What viewers look at: grid or speaker." enum:"grid,speaker" default:"grid" group:"What happens"`
	JoinRate float64       `help:"Joins a second." name:"join-rate" default:"10" group:"What happens"`
	Full     bool          `help:"Have whole clients watch too, in the place of lean receivers." group:"What happens"`
	Verify   float64       `help:"The share of lean receivers that decrypt and compare every frame." default:"0.05" group:"What happens"`
	Duration time.Duration `help:"How long to measure, once everybody is in." default:"60s" group:"What happens"`

	NATS    string `help:"NATS over which a coordinator and its agents talk: nats://USER:PASSWORD@HOST or nats://TOKEN@HOST." name:"nats" placeholder:"URL" env:"SWARM_NATS" group:"Several machines"`
	Agents  int    `help:"Have so many agents share the people." placeholder:"N" group:"Several machines"`
	IsAgent bool   `help:"Be an agent: wait for a coordinator, play a part, and end." name:"agent" group:"Several machines"`

	JSON    string   `help:"Write the report to this file; - is the standard output." name:"json" placeholder:"FILE" group:"What comes out"`
	HTML    string   `help:"Write the report as a page to this file." name:"html" placeholder:"FILE" group:"What comes out"`
	Compare string   `help:"Show the figures beside those of an older report." placeholder:"FILE" type:"existingfile" group:"What comes out"`
	Assert  []string `help:"Fail unless this holds, such as join_p95<1500ms. May be given several times." placeholder:"FIGURE" sep:"none" group:"What comes out"`
	Quiet   bool     `help:"Tell nothing on the way." short:"q" group:"What comes out"`
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
	case flags.IsAgent:
		return flags.agent(ctx, stderr)
	default:
		return flags.run(ctx, stdout, stderr)
	}
}

func (c *cli) run(ctx context.Context, stdout, stderr io.Writer) int {
	fail := func(err error, code int) int {
		fmt.Fprintln(stderr, "swarm:", err)
		return code
	}
	scenario, err := c.scenario()
	if err != nil {
		return fail(err, exitUsage)
	}
	assertions, err := parseAssertions(c.Assert)
	if err != nil {
		return fail(err, exitUsage)
	}
	old, err := c.older()
	if err != nil {
		return fail(err, exitUsage)
	}
	lean, dismiss, err := receivers(ctx)
	if err != nil {
		return fail(err, exitFailed)
	}
	defer dismiss()
	cfg := bench.Config{Scenario: scenario, URL: c.URL, Token: c.Token, Metrics: c.Metrics, Agents: c.Agents, Lean: lean}
	if c.Agents > 0 && c.NATS != "" {
		messenger, hangUp, err := dial(ctx, c.NATS)
		if err != nil {
			return fail(err, exitFailed)
		}
		defer hangUp()
		cfg.Messenger = messenger
	}
	if err := cfg.Validate(); err != nil {
		return fail(err, exitUsage)
	}
	show := newView(stderr, c.Quiet)
	cfg.Tell = show.tell
	report, err := bench.Run(ctx, cfg)
	show.close()
	if err != nil {
		return fail(err, exitFailed)
	}
	return c.conclude(report, old, assertions, stdout, stderr)
}

// conclude writes the report, and says by the exit code what it is worth.
func (c *cli) conclude(report, old *bench.Report, assertions []bench.Assertion, stdout, stderr io.Writer) int {
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

// scenario is that of the file, or the one that the flags are short for.
func (c *cli) scenario() (s *bench.Scenario, err error) {
	if c.Scenario == "" {
		s = bench.Simple(c.Rooms, c.Pubs, c.Viewers, c.Media, c.Codec, c.Layout, c.JoinRate, c.Duration)
		if !c.Full {
			s.LeanViewers(c.Verify)
		}
	} else {
		file, err := os.Open(c.Scenario)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		if s, err = bench.Parse(file); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Scenario, err)
		}
	}
	if c.Seed != nil {
		s.Seed = *c.Seed
	}
	return s, nil
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
