package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/bench/reel"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

const (
	joinTimeout = 60 * time.Second
	leaveLimit  = 30 * time.Second
	joiners     = 64  // at the same time
	doers       = 256 // of steps, at the same time
)

// A cast is those people of a run that this process plays. Its methods are called one after the other: gather, measure,
// leave.
type cast struct {
	plan    *plan
	share   func(number int) bool // the seats that are this cast's
	url     string                // of the REST plane, for who is in no region
	rooms   []string              // ids of the meetings
	reel    *reel.Reel
	http    *http.Client
	lean    Connector // may be nil
	place   func(region string, opts *client.Options)
	pulse   func(pulse) // hears once a second how it goes; must not block
	rotates bool        // the scenario says who is loud
	times   tallies
	empty   int64 // bytes of memory that this process had before anybody came
	joining Usage // while people came; zero where that took less than shortest

	mu     sync.Mutex // protects following
	people map[int]*person
	ids    map[string]int // seats by participant
	counts counts         // of who has left, and of what happens once
	faults []string
	begun  time.Time // of measuring; zero before
}

func newCast(p *plan, url string, http *http.Client, r *reel.Reel) *cast {
	c := &cast{
		plan: p, share: func(int) bool { return true }, url: url, http: http, reel: r, pulse: func(pulse) {},
		times: newTallies(), people: map[int]*person{}, ids: map[string]int{},
	}
	for _, a := range p.scenario.Actions {
		c.rotates = c.rotates || a.Do == DoSpeakers
	}
	return c
}

func (c *cast) tell(what func(*counts)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what(&c.counts)
}

func (c *cast) fault(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, err.Error())
	}
}

// gather brings everybody in, each at the moment when they are due, and returns once the last has come or failed. Where the
// server is slow, those who come later are late, and are counted as late: nobody's join begins to count only when there is
// time for it.
func (c *cast) gather(ctx context.Context, begin time.Time) error {
	c.empty = resident()
	stop := c.beat(ctx, stageJoining, begin)
	defer stop()
	var due []turn
	for _, s := range c.plan.seats {
		if c.share(s.number) {
			due = append(due, turn{at: begin.Add(s.due), do: func(ctx context.Context, at time.Time) { c.admit(ctx, s, at) }})
		}
	}
	if err := pause(ctx, time.Until(begin)); err != nil {
		return err
	}
	own := newMeter()
	err := inTurn(ctx, joiners, due)
	if time.Since(own.at) >= shortest {
		c.joining = own.read("")
	}
	return err
}

const shortest = time.Second // in which the use of a CPU can be told: the machine counts in hundredths

// A turn is something that is due.
type turn struct {
	at time.Time
	do func(ctx context.Context, due time.Time)
}

// inTurn does everything at its time, so much of it at once at most, and returns when all of it is done. What has to wait is
// told when it was due.
func inTurn(ctx context.Context, atOnce int, turns []turn) error {
	free := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, t := range turns {
		if err := pause(ctx, time.Until(t.at)); err != nil {
			return err
		}
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		wg.Go(func() {
			defer func() { <-free }()
			t.do(ctx, t.at)
		})
	}
	return nil
}

// admit brings somebody into a seat.
func (c *cast) admit(ctx context.Context, s seat, due time.Time) {
	p, err := c.join(ctx, s, due)
	if err != nil {
		if ctx.Err() == nil {
			c.fault(err)
			c.tell(func(k *counts) { k.Failed++ })
		}
		return
	}
	c.seat(p)
}

// join is the whole way in, and notes how long it took.
func (c *cast) join(ctx context.Context, s seat, due time.Time) (*person, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	p := &person{cast: c, seat: s, group: c.plan.of(s.number), due: due}
	opts := p.options()
	ticket, err := c.ticket(ctx, p, opts.HTTPClient)
	c.times[timeJoin].add(time.Since(due))
	if err != nil {
		return nil, err
	}
	enter := whole
	if p.group.Receiver == ReceiverLean {
		enter = c.lean
	}
	p.began = time.Now()
	entry := Entry{
		Ticket: ticket, Options: opts, Layout: sizes(p.group.Layout, max(0, opts.VideoSlots)),
		Verify: p.watches() && p.group.verifies(s.index), Reel: c.reel, Hears: p,
	}
	viewer, err := enter(ctx, entry)
	if err != nil {
		return nil, err
	}
	c.know(ticket.ParticipantID, s.number)
	p.Viewer = viewer
	p.received.open(time.Now(), func() []client.SlotStats { return nil })
	if opts.VideoSlots > 0 && p.group.Receiver != ReceiverLean { // who has asked for it already
		if err := p.watch(ctx, p.group.Layout); err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	return p, nil
}

// ticket asks for one, and again where the server asks for patience: a thousand people come from one address here.
func (c *cast) ticket(ctx context.Context, p *person, from *http.Client) (client.Ticket, error) {
	url := c.url
	if nodes := c.plan.scenario.Regions[p.group.Region]; len(nodes) > 0 {
		url = nodes[p.seat.index%len(nodes)]
	}
	how := client.JoinOptions{DisplayName: p.seat.name(p.group.Role), Role: p.group.Role, Region: p.group.Region, HTTPClient: from}
	for {
		t, err := client.JoinMeeting(ctx, url, c.rooms[p.seat.room], how)
		if refused := (*client.Error)(nil); !errors.As(err, &refused) || refused.Status != http.StatusTooManyRequests {
			return t, err
		}
		c.tell(func(k *counts) { k.Throttled++ })
		if pause(ctx, time.Second) != nil {
			return client.Ticket{}, err
		}
	}
}

// noticed counts that somebody was told of a change of presence. When that was due the plan knows, whichever agent does it.
func (c *cast) noticed(who string, do verb, on bool) {
	now := time.Now()
	c.mu.Lock()
	begun := c.begun
	c.mu.Unlock()
	if begun.IsZero() {
		return
	}
	number, ok := c.seatOf(who)
	if !ok {
		return
	}
	if due, ok := c.plan.due(cue{number, do, on}, now.Sub(begun)); ok {
		c.times[timeEvent].add(now.Sub(begun) - due)
	}
}

// seatOf is the seat of a participant. Those of other agents are known by their names, which whole clients know.
func (c *cast) seatOf(id string) (number int, ok bool) {
	c.mu.Lock()
	number, ok = c.ids[id]
	c.mu.Unlock()
	if ok {
		return number, true
	}
	asked := 0
	for _, p := range c.all() {
		roster, knows := p.Viewer.(interface{ Participants() []wire.Participant })
		if !knows {
			continue
		}
		for _, other := range roster.Participants() {
			if n, named := seatOf(other.DisplayName); named {
				c.know(other.ID, n)
				if other.ID == id {
					return n, true
				}
			}
		}
		if asked++; asked == enoughAsked {
			break
		}
	}
	return nobody, false
}

const enoughAsked = 4 // whole clients of whom none knows a participant, who has left by now

func (c *cast) know(id string, seat int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[id] = seat
}

// all are those who are in now.
func (c *cast) all() []*person {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.people))
}

// leave takes everybody out.
func (c *cast) leave(context.Context) {
	var wg sync.WaitGroup
	all := c.all()
	c.mu.Lock()
	clear(c.people)
	c.mu.Unlock()
	for _, p := range all {
		wg.Go(func() { _ = p.Close() }) // it is over anyway
	}
	wg.Wait()
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopped: %w", context.Cause(ctx))
	}
}
