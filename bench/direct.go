package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// A Mark is something that was done to the cluster, or begun, while it was measured.
type Mark struct {
	At   float64 `json:"at_s"`
	What string  `json:"what"`
}

// marks are what the run itself has done so far, and not its people.
type marks struct {
	mu     sync.Mutex // protects following
	all    []Mark
	counts counts
	faults []string
}

// watch reads the servers' metrics once a second until it is stopped.
func (r *run) watch(ctx context.Context, servers *meters, begin time.Time) {
	for second := 1; pause(ctx, time.Until(begin.Add(time.Duration(second)*time.Second))) == nil; second++ {
		_ = r.sample(ctx, servers, begin, second) // who does not answer is a gap in the plot
	}
}

// sample reads the servers' metrics at a second.
func (r *run) sample(ctx context.Context, servers *meters, begin time.Time, second int) error {
	if err := pause(ctx, time.Until(begin.Add(time.Duration(second)*time.Second))); err != nil {
		return err
	}
	before, at := servers.sum.cpu, servers.at
	used, err := servers.read(ctx)
	if err != nil {
		return err
	}
	if took := servers.at.Sub(at).Seconds(); !at.IsZero() && took > 0 {
		const mega = 1e6
		r.board.serve(second, (used.cpu-before)/took, used.memory/mega)
	}
	return nil
}

// direct carries out the steps that are nobody's: those on the cluster, and meetings made.
func (r *run) direct(ctx context.Context, begin time.Time, times tallies) {
	var turns []turn
	for _, st := range r.plan.steps {
		if st.seat == nobody {
			turns = append(turns, turn{at: begin.Add(st.at), do: func(ctx context.Context, due time.Time) { r.carryOut(ctx, st, due, begin, times) }})
		}
	}
	for _, a := range r.cfg.Scenario.Actions {
		if !a.onCluster() && a.At.Duration > 0 {
			r.mark(a.At.Duration, a.Do)
		}
	}
	_ = inTurn(ctx, doers, turns) // stopped, with the run
}

func (r *run) mark(at time.Duration, what string) {
	r.marks.mu.Lock()
	defer r.marks.mu.Unlock()
	r.marks.all = append(r.marks.all, Mark{at.Seconds(), what})
}

func (r *run) carryOut(ctx context.Context, st step, due, begin time.Time, times tallies) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	var err error
	if st.do == stepMeet {
		_, err = r.rest.create(ctx, "swarm's spare", 2, 1)
		times[timeMeet].add(time.Since(due))
	} else {
		a := &r.cfg.Scenario.Actions[st.action]
		what := a.title(st.on)
		r.board.does(what)
		r.mark(time.Since(begin), what)
		err = r.onCluster(ctx, a, st.on)
	}
	r.marks.mu.Lock()
	defer r.marks.mu.Unlock()
	switch {
	case err != nil && !errors.Is(ctx.Err(), context.Canceled):
		r.marks.counts.Refused++
		if len(r.marks.faults) < maxFaults {
			r.marks.faults = append(r.marks.faults, err.Error())
		}
	case err == nil && st.do == stepMeet:
		r.marks.counts.Meetings++
	}
}

// title is what people read of an action on the cluster.
func (a *Action) title(on bool) string {
	words := []string{a.Do, a.Node + a.Region}
	if !on {
		words = append(words, "undone")
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// onCluster does an action to the cluster, or undoes it.
func (r *run) onCluster(ctx context.Context, a *Action, on bool) error {
	lab := r.cfg.Lab
	switch {
	case a.Do == DoDrain:
		return r.rest.drain(ctx, a.Node, on)
	case lab == nil:
		return fmt.Errorf("%s: there is no lab", a.Do) // Config.Validate has refused it
	case a.Do == DoKill && on:
		return lab.Kill(ctx, a.Node)
	case a.Do == DoKill:
		return lab.Start(ctx, a.Node)
	case a.Do == DoNATS:
		return lab.NATS(ctx, on)
	case on:
		return lab.Link(ctx, a.Region, Condition{Delay: a.Delay.Duration, Jitter: a.Jitter.Duration, Loss: a.Loss})
	default:
		return lab.Link(ctx, a.Region, Condition{})
	}
}
