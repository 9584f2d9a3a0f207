package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/parley-sfu/parley/bench/reel"
	"github.com/parley-sfu/parley/signal/client"
)

const (
	settle = 3 * time.Second // after the last join, before anything is measured
	lead   = 500 * time.Millisecond
)

// A Config says where and with what a scenario is run.
type Config struct {
	Scenario *Scenario
	URL      string   // of the REST plane
	Token    string   // a user token that may create, end and join meetings; and drain, where the scenario does
	Metrics  []string // the servers' metrics; empty: those below URL and below the regions' URLs

	Agents    int       // that share the people; 0: this process is all there is
	Messenger Messenger // to the agents

	Lean Connector      // for lean receivers; nil: there are none
	Lab  Lab            // nil: what only the lab can do is refused
	HTTP *http.Client   // nil: one of its own
	Tell func(Progress) // hears of progress twice a second, one call at a time; may be nil
}

// A Lab does what only a test's own cluster allows, and knows where people are. The command line has none.
type Lab interface {
	// Place has somebody of a region open their sockets there.
	Place(region string, opts *client.Options)
	// Kill ends a node at once, as kill -9 does; Start starts it again.
	Kill(ctx context.Context, node string) error
	Start(ctx context.Context, node string) error
	// NATS takes all NATS servers away, and brings them back.
	NATS(ctx context.Context, away bool) error
	// Link changes the way between a region and all others.
	Link(ctx context.Context, region string, condition Condition) error
}

// A Condition is what happens to packets on their way. The zero value undoes it.
type Condition struct {
	Delay, Jitter time.Duration // one way
	Loss          float64       // share
}

// Validate reports all faults at once, each naming its key.
func (c *Config) Validate() error {
	if c.Scenario == nil {
		return errors.New("scenario: there is none")
	}
	c.Scenario.complete()
	var f faults
	f.add(!isWeb(c.URL), "url", "must begin with http:// or https://")
	for i, a := range c.Scenario.Actions {
		f.add(c.Lab == nil && a.needsLab(), fmt.Sprintf("actions[%d].do", i), "%s is done to machines and networks, which only the lab's tests may; swarm itself drains", a.Do)
	}
	for i, g := range c.Scenario.People {
		f.add(g.Receiver == ReceiverLean && c.Lean == nil, fmt.Sprintf("people[%d].receiver", i), "there are no lean receivers here")
	}
	f.add(c.Agents < 0, "agents", "must not be negative")
	f.add(c.Agents > maxAgents, "agents", "at most %d", maxAgents)
	f.add(c.Agents > 0 && c.Messenger == nil, "nats", "agents are reached over NATS")
	f.add(c.Agents > 0 && c.Lab != nil, "agents", "the lab has its people in this process")
	return errors.Join(append(f, c.Scenario.Validate())...)
}

// A troupe plays the people of a run: a cast in this process, or agents in others.
type troupe interface {
	gather(ctx context.Context, begin time.Time) error
	measure(ctx context.Context, begin time.Time) (*outcome, error)
	leave(ctx context.Context)
}

// A run is one scenario being carried out.
type run struct {
	cfg    Config
	plan   *plan
	rest   *rest
	board  *board
	troupe troupe
	rooms  []string
	marks  marks
}

// Run carries a scenario out: it makes the meetings, brings everybody in, measures, and ends the meetings again, whatever
// happened.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := newRun(cfg)
	if len(r.cfg.Metrics) == 0 {
		r.cfg.Metrics = r.metrics()
	}
	defer r.board.shows()()
	if err := r.hire(ctx); err != nil {
		return nil, err
	}
	defer r.end(context.WithoutCancel(ctx))
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	return r.perform(ctx)
}

func newRun(cfg Config) *run {
	r := &run{cfg: cfg, plan: newPlan(cfg.Scenario)}
	r.rest = newREST(cfg.URL, cfg.Token, cfg.HTTP)
	r.board = newBoard(max(1, cfg.Agents), len(r.plan.seats), cfg.Tell)
	return r
}

// metrics are those of all servers that the scenario names.
func (r *run) metrics() []string {
	all := []string{r.rest.base + "/metrics"}
	if len(r.cfg.Scenario.Regions) > 0 {
		all = nil
	}
	for _, urls := range r.cfg.Scenario.Regions {
		for _, u := range urls {
			all = append(all, strings.TrimRight(u, "/")+"/metrics")
		}
	}
	return all
}

// hire finds who plays the people.
func (r *run) hire(ctx context.Context) error {
	if r.cfg.Agents > 0 {
		r.board.enter(stageWaiting, time.Now(), 0)
		e, err := newEnsemble(ctx, &r.cfg, r.board)
		r.troupe = e
		return err
	}
	clips, err := reel.Load()
	if err != nil {
		return err
	}
	c := newCast(r.plan, r.rest.base, r.rest.http, clips)
	c.lean, c.pulse = r.cfg.Lean, r.board.hear
	if r.cfg.Lab != nil {
		c.place = r.cfg.Lab.Place
	}
	r.troupe = c
	return nil
}

// open makes the meetings, and tells those who play where they are.
func (r *run) open(ctx context.Context) error {
	s := r.cfg.Scenario
	people := s.perRoom()
	for _, a := range s.Actions {
		if a.Do == DoChurn {
			people *= 2 // who left may not be gone yet when others come
			break
		}
	}
	for i := range s.Rooms {
		id, err := r.rest.create(ctx, fmt.Sprintf("swarm %d", i+1), people, s.cameras())
		if err != nil {
			return err
		}
		r.rooms = append(r.rooms, id)
	}
	switch t := r.troupe.(type) {
	case *cast:
		t.rooms = r.rooms
	case *ensemble:
		return t.send(ctx, r.rooms)
	}
	return nil
}

// perform brings everybody in, and measures.
func (r *run) perform(ctx context.Context) (*Report, error) {
	s := r.cfg.Scenario
	ramp := newMeters(r.rest, r.cfg.Metrics)
	empty, err := ramp.read(ctx)
	if err != nil {
		return nil, err
	}
	begin := time.Now().Add(lead)
	r.board.enter(stageJoining, begin, s.interval()*time.Duration(len(r.plan.seats)))
	if err := r.troupe.gather(ctx, begin); err != nil {
		return nil, err
	}
	report := &Report{Scenario: s.Name, Seed: s.Seed, Begun: begin.UTC().Truncate(time.Second), JoinedIn: time.Since(begin).Seconds()}
	joined, err := ramp.read(ctx)
	if err != nil {
		return nil, err
	}
	begin = time.Now().Add(settle)
	r.board.enter(stageMeasuring, begin, s.Duration.Duration)
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	servers, mine := newMeters(r.rest, r.cfg.Metrics), newTallies()
	if err := r.sample(ctx, servers, begin, 0); err != nil {
		return nil, err
	}
	wg.Go(func() { r.watch(own, servers, begin) })
	wg.Go(func() { r.direct(own, begin, mine) })
	all, err := r.troupe.measure(ctx, begin)
	took := time.Since(begin)
	cancel()
	wg.Wait()
	if err != nil {
		return nil, err
	}
	all.Times.merge(mine)
	all.Counts.add(&r.marks.counts)
	if all.Counts.Publishers+all.Counts.Viewers == 0 {
		return nil, fmt.Errorf("nobody could join: %w", all.faults())
	}
	used, err := servers.read(ctx)
	if err != nil {
		return nil, err
	}
	report.Series, report.Marks = r.board.series(), r.marks.all
	report.fill(all, s, took, used)
	report.people(empty, joined, used, len(r.plan.seats))
	if e, ok := r.troupe.(*ensemble); ok {
		report.doubt(e.doubts())
	}
	report.judge()
	return report, nil
}

// end takes everybody out and ends the meetings.
func (r *run) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	r.board.enter(stageLeaving, time.Now(), 0)
	r.troupe.leave(ctx)
	for _, id := range r.rooms {
		_ = r.rest.end(ctx, id) // what cannot be ended is idle, and nobody's
	}
}
