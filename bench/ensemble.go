package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxSkew is how far the clock of an agent may surely be off: latency is the difference of two clocks.
const maxSkew = 5 * time.Millisecond

// An ensemble is a troupe of agents in other processes.
type ensemble struct {
	messenger Messenger
	board     *board
	run       string
	stop      func() // hearing and beating

	mu      sync.Mutex    // protects following
	agents  []*member     // in the order of their parts
	offers  []*member     // who would work, before there are agents
	changed chan struct{} // closed, and replaced, when something was heard
	why     []string      // the result may not be trusted
}

// member is what is known of one agent.
type member struct {
	id, host string
	heard    time.Time
	did      map[string]bool // orders
	gone     bool            // silent, or failed
	outcome  *outcome
}

// newEnsemble finds agents and gives each its part.
func newEnsemble(ctx context.Context, cfg *Config, b *board) (*ensemble, error) {
	e := &ensemble{messenger: cfg.Messenger, board: b, run: rand.Text(), changed: make(chan struct{})}
	unsubscribe, err := cfg.Messenger.Subscribe(subjectTell(e.run), func(_ string, data []byte) { e.hear(data) })
	if err != nil {
		return nil, err
	}
	beating, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() {
		for pause(beating, beatEvery) == nil {
			_ = e.messenger.Publish(subjectBeat(e.run), nil) // only its subject could be wrong
		}
	})
	e.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		unsubscribe()
	})
	if err := e.hire(ctx, cfg); err != nil {
		e.leave(context.WithoutCancel(ctx))
		return nil, err
	}
	return e, nil
}

// hire calls for agents until there are enough, and gives the first of them their parts.
func (e *ensemble) hire(ctx context.Context, cfg *Config) error {
	calling, cancel := context.WithTimeout(ctx, hireLimit)
	defer cancel()
	for e.offered() < cfg.Agents {
		if err := e.messenger.Publish(subjectCall, []byte(e.run)); err != nil {
			return err
		}
		if pause(calling, 250*time.Millisecond) != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("agents: %d of %d came within %s; start more with swarm --agent --nats URL", e.offered(), cfg.Agents, hireLimit)
		}
	}
	scenario, err := cfg.Scenario.Encode()
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.agents = e.offers[:cfg.Agents]
	e.mu.Unlock()
	for i := range e.agents {
		err := e.order(ctx, i, order{Do: orderWork, Hello: &work{Scenario: string(scenario), URL: cfg.URL, Index: i, Agents: cfg.Agents}})
		if err != nil {
			return err
		}
	}
	return e.await(ctx, orderWork)
}

func (e *ensemble) offered() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.offers)
}

// order tells one agent what to do, and compares its clock.
func (e *ensemble) order(ctx context.Context, i int, o order) error {
	o.Run = e.run
	raw, err := json.Marshal(o)
	if err != nil {
		return err
	}
	asked := time.Now()
	answer, err := e.messenger.Request(ctx, subjectAgent(e.agents[i].id), raw)
	if err != nil {
		return fmt.Errorf("%s cannot be reached: %w", e.name(i), err)
	}
	took := time.Since(asked)
	var clock int64
	if err := json.Unmarshal(answer, &clock); err != nil {
		return fmt.Errorf("%s: %w", e.name(i), err)
	}
	if off := skew(asked, took, time.Unix(0, clock)); off > maxSkew {
		e.doubt(fmt.Sprintf("the clock of %s is %s off at least: latencies are wrong by that", e.name(i), off.Round(time.Millisecond)))
	}
	return nil
}

// skew is how far a clock is off at least, that was read at some moment of a call.
func skew(asked time.Time, took time.Duration, clock time.Time) time.Duration {
	asked = asked.Round(0) // the wall clock's
	return max(asked.Sub(clock), clock.Sub(asked.Add(took)), 0)
}

func (e *ensemble) name(i int) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return fmt.Sprintf("agent %d on %s", i+1, e.agents[i].host)
}

// all orders all agents that are there. Who cannot be reached is gone.
func (e *ensemble) all(ctx context.Context, o order) error {
	for i := range e.agents {
		if e.isGone(i) {
			continue
		}
		if err := e.order(ctx, i, o); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			e.lose(i, err.Error())
		}
	}
	return nil
}

func (e *ensemble) isGone(i int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.agents[i].gone
}

// lose counts an agent as gone: its people are missing in the result, which says so.
func (e *ensemble) lose(i int, why string) {
	e.mu.Lock()
	was := e.agents[i].gone
	e.agents[i].gone = true
	e.mu.Unlock()
	if !was {
		e.doubt(why)
	}
}

func (e *ensemble) doubt(why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !slices.Contains(e.why, why) && len(e.why) < maxFaults {
		e.why = append(e.why, why)
	}
}

// doubts are why the result may not be trusted; empty: it may.
func (e *ensemble) doubts() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.why, "; ")
}

// hear takes what an agent tells.
func (e *ensemble) hear(data []byte) {
	var w word
	if json.Unmarshal(data, &w) != nil || w.Agent == "" {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	defer func() {
		close(e.changed)
		e.changed = make(chan struct{})
	}()
	if e.agents == nil {
		if w.Host != "" && !slices.ContainsFunc(e.offers, func(m *member) bool { return m.id == w.Agent }) {
			e.offers = append(e.offers, &member{id: w.Agent, host: w.Host, heard: time.Now(), did: map[string]bool{}})
		}
		return
	}
	i := slices.IndexFunc(e.agents, func(m *member) bool { return m.id == w.Agent })
	if i < 0 {
		return
	}
	m := e.agents[i]
	m.heard = time.Now()
	switch {
	case w.Fault != "":
		m.gone = true
		e.why = append(e.why, fmt.Sprintf("agent %d on %s: %s", i+1, m.host, w.Fault))
	case w.Did != "":
		m.did[w.Did] = true
		if w.Outcome != nil {
			m.outcome = w.Outcome
		}
	case w.Pulse != nil:
		e.board.hear(*w.Pulse)
	}
}

// await waits until all agents that are there have done what they were ordered. Who is silent for long is gone; it is an
// error only if all are.
func (e *ensemble) await(ctx context.Context, what string) error {
	for {
		e.mu.Lock()
		changed, waiting, alive := e.changed, 0, 0
		for i, m := range e.agents {
			if m.gone {
				continue
			}
			if silent := time.Since(m.heard); silent > silentLimit {
				m.gone = true
				e.why = append(e.why, fmt.Sprintf("agent %d on %s has not been heard of for %.0f s while it was to %s", i+1, m.host, silent.Seconds(), what))
				continue
			}
			alive++
			if !m.did[what] {
				waiting++
			}
		}
		e.mu.Unlock()
		switch {
		case alive == 0:
			return errors.New("all agents are gone: " + e.doubts())
		case waiting == 0:
			return nil
		}
		select {
		case <-changed:
		case <-time.After(beatEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// send tells the agents where the meetings are.
func (e *ensemble) send(ctx context.Context, rooms []string) error {
	return e.do(ctx, order{Do: orderRooms, Rooms: rooms})
}

func (e *ensemble) do(ctx context.Context, o order) error {
	if err := e.all(ctx, o); err != nil {
		return err
	}
	return e.await(ctx, o.Do)
}

func (e *ensemble) gather(ctx context.Context, begin time.Time) error {
	return e.do(ctx, order{Do: orderGather, At: begin.UnixNano()})
}

func (e *ensemble) measure(ctx context.Context, begin time.Time) (*outcome, error) {
	if err := e.do(ctx, order{Do: orderMeasure, At: begin.UnixNano()}); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	sum := newOutcome()
	for i, m := range e.agents {
		if m.outcome == nil {
			continue // gone, and told of
		}
		for _, used := range [][]Usage{m.outcome.Own, m.outcome.Joining} {
			for n := range used {
				used[n].Agent = fmt.Sprintf("agent %d on %s", i+1, m.host)
			}
		}
		sum.merge(m.outcome)
	}
	return sum, nil
}

// leave lets all agents go. It waits for them, but not for long.
func (e *ensemble) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	if len(e.agents) > 0 {
		_ = e.do(ctx, order{Do: orderLeave}) // who does not hear it ends by itself
	}
	e.stop()
}
