package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/signal/client"
)

// A Progress is what a run tells of itself while it goes on.
type Progress struct {
	Stage   string // joining, measuring, leaving
	Joined  int
	Failed  int
	People  int
	Elapsed time.Duration // of the stage
}

const (
	settle     = 3 * time.Second // after the last join, before anything is measured
	handEvery  = 2 * time.Second
	leaveLimit = 30 * time.Second
	joiners    = 64 // at the same time
)

// A run is one plan being carried out.
type run struct {
	plan Plan
	rest *rest
	reel *reel
	tell func(Progress)

	rooms     []*meeting
	steps     *steps
	throttled atomic.Int64
	failed    atomic.Int64

	mu     sync.Mutex // protects following
	people []*person
	faults []error // of joins, the first few
}

// A meeting is one room of the run.
type meeting struct {
	id           string
	hands        hands
	audio, video *tally // latency, from the publisher's stamp to the viewer
}

// steps are those of a join.
type steps struct {
	join, socket, answer, ice, dtls, firstAudio, firstFrame *tally
}

// Run carries a plan out: it makes the meetings, brings everybody in, measures, and ends the meetings again, whatever
// happened. Tell, which may be nil, hears of progress about twice a second.
func Run(ctx context.Context, plan Plan, tell func(Progress)) (*Report, error) {
	if err := plan.Validate(); err != nil {
		return nil, err
	}
	reel, err := loadReel()
	if err != nil {
		return nil, err
	}
	if tell == nil {
		tell = func(Progress) {}
	}
	r := &run{plan: plan, rest: newREST(&plan), reel: reel, tell: tell, steps: &steps{
		newTally(), newTally(), newTally(), newTally(), newTally(), newTally(), newTally(),
	}}
	if len(r.plan.Metrics) == 0 {
		r.plan.Metrics = []string{r.rest.base + "/metrics"}
	}
	defer r.leave(context.WithoutCancel(ctx))
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	joining := time.Now()
	if err := r.gather(ctx); err != nil {
		return nil, err
	}
	report := &Report{JoinedIn: time.Since(joining).Seconds()}
	return report, r.measure(ctx, report)
}

// open makes the meetings.
func (r *run) open(ctx context.Context) error {
	for i := range r.plan.Rooms {
		id, err := r.rest.create(ctx, fmt.Sprintf("swarm %d", i+1), r.plan.Publishers+r.plan.Viewers, r.plan.Publishers)
		if err != nil {
			return err
		}
		r.rooms = append(r.rooms, &meeting{id: id, hands: hands{seen: newTally()}, audio: newTally(), video: newTally()})
	}
	return nil
}

// gather brings everybody in at the plan's rate, publishers first.
func (r *run) gather(ctx context.Context) error {
	begun := time.Now()
	interval := time.Duration(float64(time.Second) / r.plan.JoinRate)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	free := make(chan struct{}, joiners)
	var wg sync.WaitGroup
	stop := r.report("joining", begun)
	defer stop()
	for i := range r.plan.people() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			wg.Wait()
			return context.Cause(ctx)
		}
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			r.admit(ctx, i)
		})
	}
	wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.people) == 0 {
		return fmt.Errorf("nobody could join: %w", errors.Join(r.faults...))
	}
	return nil
}

// admit brings the person of a number in. The first of each room publish.
func (r *run) admit(ctx context.Context, number int) {
	room := r.rooms[number%len(r.rooms)]
	number /= len(r.rooms)
	p, err := r.join(ctx, room, number, number < r.plan.Publishers)
	if err != nil {
		r.failed.Add(1)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	const told = 5
	switch {
	case err == nil:
		r.people = append(r.people, p)
	case len(r.faults) < told:
		r.faults = append(r.faults, err)
	}
}

// report tells of progress until it is stopped.
func (r *run) report(stage string, since time.Time) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			r.mu.Lock()
			joined := len(r.people)
			r.mu.Unlock()
			r.tell(Progress{Stage: stage, Joined: joined, Failed: int(r.failed.Load()), People: r.plan.people(), Elapsed: time.Since(since)})
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// measure watches the room for the plan's duration.
func (r *run) measure(ctx context.Context, report *Report) error {
	if err := pause(ctx, settle); err != nil {
		return err
	}
	for _, room := range r.rooms { // what is counted begins now
		room.audio.reset()
		room.video.reset()
	}
	before, err := r.rest.read(ctx, r.plan.Metrics)
	if err != nil {
		return err
	}
	cpu, begun := ownCPU(), time.Now()
	for _, p := range r.people {
		p.began = p.SlotStats()
	}
	stop, sampled := r.report("measuring", begun), r.sample(ctx, before)
	err = r.raiseHands(ctx, begun.Add(r.plan.Duration))
	stop()
	report.Series = sampled()
	if err != nil {
		return err
	}
	for _, p := range r.people {
		p.ended = p.SlotStats()
	}
	report.Own.CPU = (ownCPU() - cpu).Seconds() / time.Since(begun).Seconds() / float64(runtime.NumCPU())
	after, err := r.rest.read(ctx, r.plan.Metrics)
	if err != nil {
		return err
	}
	report.fill(r, time.Since(begun), before, after)
	return nil
}

// raiseHands has a hand go up and down in every room, again and again, until a time.
func (r *run) raiseHands(ctx context.Context, until time.Time) error {
	for up := true; time.Until(until) > 0; up = !up {
		for _, room := range r.rooms {
			if p := r.first(room); p != nil {
				_ = room.hands.raise(ctx, p, up) // while it reconnects it has none
			}
		}
		if err := pause(ctx, min(handEvery, time.Until(until))); err != nil {
			return err
		}
	}
	return nil
}

// first is whoever came first into a room.
func (r *run) first(room *meeting) *person {
	for _, p := range r.people {
		if p.room == room {
			return p
		}
	}
	return nil
}

// leave takes everybody out and ends the meetings.
func (r *run) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	stop := r.report("leaving", time.Now())
	defer stop()
	var wg sync.WaitGroup
	for _, p := range r.people {
		wg.Go(func() { _ = p.Close() }) // it is over anyway
	}
	wg.Wait()
	for _, room := range r.rooms {
		_ = r.rest.end(ctx, room.id) // what cannot be ended is idle, and nobody's
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// took adds the steps of one join.
func (s *steps) took(t client.Timings) {
	for _, step := range []struct {
		of *tally
		d  time.Duration
	}{
		{s.join, t.Join},
		{s.socket, t.WebSocket},
		{s.answer, t.OfferAnswer},
		{s.ice, t.ICE},
		{s.dtls, t.DTLS},
		{s.firstAudio, t.FirstAudio},
		{s.firstFrame, t.FirstVideo},
	} {
		if step.d > 0 {
			step.of.add(step.d)
		}
	}
}
