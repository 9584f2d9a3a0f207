package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/bench/reel"
)

// A Messenger is what a coordinator and its agents talk over: internal/bus, which the command line brings.
type Messenger interface {
	Publish(subject string, data []byte) error
	Subscribe(subject string, f func(subject string, data []byte)) (unsubscribe func(), err error)
	Request(ctx context.Context, subject string, data []byte) ([]byte, error)
	Serve(subject string, f func(ctx context.Context, data []byte) ([]byte, error)) (stop func(), err error)
}

const (
	maxAgents = 64

	subjectCall = "swarm.call" // a coordinator looks for agents

	beatEvery   = time.Second
	silentLimit = 10 * time.Second // without a word, then the other side is gone
	hireLimit   = 30 * time.Second // to find all agents
)

func subjectAgent(id string) string { return "swarm.agent." + id } // orders to one agent, which answers
func subjectTell(run string) string { return "swarm.tell." + run } // all agents of a run to their coordinator
func subjectBeat(run string) string { return "swarm.beat." + run } // the coordinator lives

// ErrGone says that an agent's coordinator has not been heard of.
var ErrGone = errors.New("the coordinator is gone")

// An order is what a coordinator tells an agent to do.
type order struct {
	Run   string
	Do    string   // one of the orders below
	Hello *work    // of orderWork
	Rooms []string // of orderRooms: ids of the meetings
	At    int64    // of orderGather and orderMeasure: when, in nanoseconds since 1970
}

const (
	orderWork    = "work"
	orderRooms   = "rooms"
	orderGather  = "gather"
	orderMeasure = "measure"
	orderLeave   = "leave"
)

// work is which part of what an agent plays.
type work struct {
	Scenario string // as YAML, complete
	URL      string
	Index    int // of Agents
	Agents   int
}

// A word is what an agent tells its coordinator.
type word struct {
	Agent   string
	Host    string   // of the first word
	Now     int64    // nanoseconds since 1970
	Did     string   // an order that is done
	Fault   string   // it failed
	Outcome *outcome // of orderMeasure
	Pulse   *pulse
}

// An Agent plays a part of the people of one run that a coordinator leads.
type Agent struct {
	Messenger Messenger
	Lean      Connector      // nil: there are none
	Tell      func(Progress) // hears of progress; may be nil

	id     string
	orders chan order

	mu    sync.Mutex // protects following
	run   string     // that it works for
	heard time.Time  // of the coordinator
}

// Run waits for a coordinator, does what it says, and returns nil once the run is over. ErrGone: the coordinator has not been
// heard of for ten seconds, or a step of it was never ordered; everybody has left by then.
func (a *Agent) Run(ctx context.Context) error {
	a.id, a.orders = rand.Text(), make(chan order, 8)
	stopServing, err := a.Messenger.Serve(subjectAgent(a.id), a.take)
	if err != nil {
		return err
	}
	defer stopServing()
	stopHearing, err := a.Messenger.Subscribe(subjectCall, func(_ string, data []byte) { a.called(string(data)) })
	if err != nil {
		return err
	}
	defer stopHearing()
	first, err := a.next(ctx)
	if err != nil {
		return nil //nolint:nilerr // stopped while it waited
	}
	stopBeat, err := a.Messenger.Subscribe(subjectBeat(first.Run), func(string, []byte) { a.alive() })
	if err != nil {
		return err
	}
	defer stopBeat()
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { a.beat(ctx, cancel) })
	defer func() {
		cancel(nil)
		wg.Wait()
	}()
	return a.work(ctx, first)
}

// called offers the agent's work to a coordinator, unless it has some.
func (a *Agent) called(run string) {
	a.mu.Lock()
	idle := a.run == ""
	a.mu.Unlock()
	if !idle || len(run) > 64 {
		return
	}
	host, _ := os.Hostname() // for people only
	a.tell(run, word{Host: host})
}

func (a *Agent) tell(run string, w word) {
	w.Agent, w.Now = a.id, time.Now().UnixNano()
	raw, err := json.Marshal(w)
	if err == nil {
		_ = a.Messenger.Publish(subjectTell(run), raw) // only its subject could be wrong
	}
}

// take takes an order, and answers with the agent's clock.
func (a *Agent) take(_ context.Context, data []byte) ([]byte, error) {
	var o order
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.run != "" && a.run != o.Run || a.run == "" && o.Do != orderWork {
		return nil, errors.New("works for somebody else")
	}
	select {
	case a.orders <- o:
	default:
		return nil, errors.New("is behind with its orders")
	}
	a.run, a.heard = o.Run, time.Now()
	return json.Marshal(time.Now().UnixNano())
}

func (a *Agent) alive() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard = time.Now()
}

// beat tells the coordinator that the agent lives, and stops the agent once the coordinator is silent.
func (a *Agent) beat(ctx context.Context, stop context.CancelCauseFunc) {
	for pause(ctx, beatEvery) == nil {
		a.mu.Lock()
		run, silent := a.run, time.Since(a.heard)
		a.mu.Unlock()
		a.tell(run, word{})
		if silent > silentLimit {
			stop(ErrGone)
			return
		}
	}
}

// next waits for an order.
func (a *Agent) next(ctx context.Context) (order, error) {
	select {
	case o := <-a.orders:
		return o, nil
	case <-ctx.Done():
		return order{}, context.Cause(ctx)
	}
}

// work carries out orders until it may leave.
func (a *Agent) work(ctx context.Context, first order) error {
	c, err := a.cast(first)
	if err != nil {
		a.tell(first.Run, word{Did: first.Do, Fault: err.Error()})
		return err
	}
	defer c.http.CloseIdleConnections()
	defer c.leave(ctx)
	a.tell(first.Run, word{Did: first.Do})
	for {
		o, err := a.next(ctx)
		if err != nil {
			return err
		}
		w := word{Did: o.Do}
		switch o.Do {
		case orderRooms:
			if c.rooms = o.Rooms; len(c.rooms) != c.plan.scenario.Rooms {
				err = fmt.Errorf("%d rooms, want %d", len(c.rooms), c.plan.scenario.Rooms)
			}
		case orderGather:
			err = c.gather(ctx, time.Unix(0, o.At))
		case orderMeasure:
			w.Outcome, err = c.measure(ctx, time.Unix(0, o.At))
		case orderLeave:
			c.leave(ctx)
			a.tell(o.Run, w)
			return nil
		default:
			err = fmt.Errorf("the order %q is not known", o.Do)
		}
		if err != nil {
			a.tell(o.Run, word{Did: o.Do, Fault: err.Error()})
			return err
		}
		a.tell(o.Run, w)
	}
}

// cast is the agent's part of the people.
func (a *Agent) cast(o order) (*cast, error) {
	w := o.Hello
	if w == nil || w.Agents < 1 || w.Index < 0 || w.Index >= w.Agents {
		return nil, errors.New("the order has no part for anybody")
	}
	s, err := Parse(bytes.NewReader([]byte(w.Scenario)))
	if err != nil {
		return nil, err
	}
	if lean := slices.ContainsFunc(s.People, func(g Group) bool { return g.Receiver == ReceiverLean }); lean && a.Lean == nil {
		return nil, errors.New("there are no lean receivers here")
	}
	clips, err := reel.Load()
	if err != nil {
		return nil, err
	}
	c := newCast(newPlan(s), w.URL, newREST(w.URL, "", nil).http, clips)
	c.lean = a.Lean
	parts := c.plan.deal(w.Agents)
	c.share = func(number int) bool { return parts[number] == w.Index }
	mine := 0
	for _, one := range c.plan.seats {
		if c.share(one.number) {
			mine++
		}
	}
	board := newBoard(1, mine, a.Tell)
	c.pulse = func(p pulse) {
		p.Agent = a.id
		a.tell(o.Run, word{Pulse: &p})
		board.hear(p)
		board.mu.Lock()
		board.stage, board.since = p.Stage, time.Now().Add(-time.Duration(p.Second)*time.Second)
		board.mu.Unlock()
		board.show()
	}
	return c, nil
}
