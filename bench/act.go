package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const stepTimeout = 30 * time.Second

// measure carries the steps of the plan out, from a moment on and for the scenario's duration, and returns what people went
// through.
func (c *cast) measure(ctx context.Context, begin time.Time) (*outcome, error) {
	if err := pause(ctx, time.Until(begin)); err != nil {
		return nil, err
	}
	own := newMeter()
	c.begin(begin)
	stop := c.beat(ctx, stageMeasuring, begin)
	defer stop()
	var turns []turn
	for _, st := range c.plan.steps {
		if st.seat != nobody && c.share(st.seat) {
			turns = append(turns, turn{at: begin.Add(st.at), do: func(ctx context.Context, due time.Time) { c.do(ctx, st, due) }})
		}
	}
	end := begin.Add(c.plan.scenario.Duration.Duration)
	steps, cancel := context.WithDeadlineCause(ctx, end, errOver)
	defer cancel()
	if err := inTurn(steps, doers, turns); err != nil && !errors.Is(err, errOver) {
		return nil, err
	}
	if err := pause(ctx, time.Until(end)); err != nil {
		return nil, err
	}
	usage, took := own.read(""), time.Since(own.at)
	stop()
	return c.outcome(usage, took), nil
}

var errOver = errors.New("the time is over") //nolint:gochecknoglobals // a sentinel

// begin has everything count from now on.
func (c *cast) begin(at time.Time) {
	for _, p := range c.all() {
		p.received.open(time.Now(), p.SlotStats)
	}
	c.times[timeVoice].reset()
	c.times[timeVideo].reset()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = at
}

// do carries out one step.
func (c *cast) do(ctx context.Context, st step, due time.Time) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	var err error
	switch st.do {
	case stepLeave:
		err = c.dismiss(st.seat)
	case stepCome:
		c.admit(ctx, c.plan.seats[st.seat], due)
	default:
		c.mu.Lock()
		p := c.people[st.seat]
		c.mu.Unlock()
		if err = errAbsent; p != nil {
			err = p.do(ctx, st, due)
		}
	}
	if err != nil && !errors.Is(context.Cause(ctx), errOver) {
		c.fault(fmt.Errorf("%s of seat %d: %w", st.do, st.seat, err))
		c.tell(func(k *counts) { k.Refused++ })
	}
}

var errAbsent = errors.New("nobody sits there") //nolint:gochecknoglobals // a sentinel

// dismiss has somebody leave for good, and keeps what they went through.
func (c *cast) dismiss(number int) error {
	c.mu.Lock()
	p := c.people[number]
	c.mu.Unlock()
	if p == nil {
		return errAbsent
	}
	k := p.lived()
	c.mu.Lock()
	sits := c.people[number] == p
	if sits {
		delete(c.people, number) // and at the same moment:
		c.counts.add(&k)
	}
	c.mu.Unlock()
	if sits {
		c.dismissed(p)
	}
	return nil
}

// seat gives somebody their seat. Who sits there still came so late that nobody was found when they were to leave: they leave now.
func (c *cast) seat(p *person) {
	c.mu.Lock()
	late := c.people[p.seat.number]
	c.people[p.seat.number] = p
	c.mu.Unlock()
	if late != nil {
		k := late.lived()
		c.tell(func(all *counts) { all.add(&k) })
		c.dismissed(late)
	}
}

// dismissed takes leave of somebody who has no seat any more.
func (c *cast) dismissed(p *person) {
	p.timed(c.times, time.Now(), false)
	_ = p.Close() // it leaves anyway
}

// outcome is what everybody has gone through, and what this process used for it in the time that was measured.
func (c *cast) outcome(own Usage, took time.Duration) *outcome {
	o := newOutcome()
	now := time.Now()
	all := c.all()
	for _, p := range all {
		if p.group.Sends != SendsNothing {
			o.Counts.Publishers++
		} else {
			o.Counts.Viewers++
		}
		if p.group.Receiver == ReceiverLean {
			o.Counts.Lean++
		}
		got := p.received.enter(now, p.SlotStats)
		o.Counts.add(&got)
		if p.cutOff(now) {
			o.Counts.CutOff++
		}
		p.verified(&o.Counts)
		p.timed(c.times, now, true)
	}
	c.mu.Lock()
	o.Counts.add(&c.counts)
	o.Faults = slices.Clone(c.faults)
	c.mu.Unlock()
	o.Times.merge(c.times)
	own.per(took, o.Counts.Received, resident()-c.empty, len(all))
	o.Own, o.Joining = []Usage{own}, []Usage{c.joining}
	return o
}
