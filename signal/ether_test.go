package signal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/node/grant"
)

// ether is a network of nodes in memory: what NATS, JetStream and gossip would be between them. It loses, delays and
// reorders messages, and can be cut. Time is that of the test's bubble.
type ether struct {
	mu       sync.Mutex
	random   *rand.Rand
	loss     float64
	delay    time.Duration // the most
	exact    bool          // always the most
	side     map[string]int
	bus      map[string]int // sides of NATS alone
	down     bool           // NATS is away, for everybody
	ports    map[string]*port
	leases   map[string]bus.Entry
	revision uint64
	bytes    int64 // delivered
}

// port is a node's bus, and its gossip's connections. It implements Bus, Leases and Direct.
type port struct {
	ether    *ether
	id       string
	dead     bool
	subs     map[int]subscriber
	serve    map[string]func(context.Context, []byte) ([]byte, error)
	supply   func(from string, question []byte) ([]byte, error)
	next     int
	relinked chan struct{}
}

type subscriber struct {
	prefix string
	f      func(subject string, data []byte)
}

func newEther(seed uint64) *ether {
	return &ether{
		random: rand.New(rand.NewPCG(seed, 1)), delay: 40 * time.Millisecond,
		side: map[string]int{}, bus: map[string]int{}, ports: map[string]*port{}, leases: map[string]bus.Entry{},
	}
}

func (e *ether) plug(id string) *port {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := &port{
		ether: e, id: id, subs: map[int]subscriber{}, serve: map[string]func(context.Context, []byte) ([]byte, error){},
		relinked: make(chan struct{}),
	}
	e.ports[id] = p
	return p
}

// reachLocked says whether a message gets from one node to another now.
func (e *ether) reachLocked(from, to *port) bool {
	return !e.down && e.bus[from.id] == e.bus[to.id] && e.nearLocked(from, to)
}

// nearLocked says whether a packet does.
func (e *ether) nearLocked(from, to *port) bool {
	return !from.dead && !to.dead && e.side[from.id] == e.side[to.id]
}

// Fetch implements Direct: it gets a connection, a question and an answer through, or nothing.
func (p *port) Fetch(ctx context.Context, node string, question []byte) ([]byte, error) {
	p.ether.mu.Lock()
	to := p.ether.ports[node]
	round := 4 * p.ether.delay
	p.ether.mu.Unlock()
	select {
	case <-time.After(round):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.ether.mu.Lock()
	near := to != nil && to.supply != nil && p.ether.nearLocked(p, to)
	p.ether.mu.Unlock()
	if !near {
		return nil, errors.New("not reached")
	}
	return to.supply(p.id, question)
}

// Supply implements Direct.
func (p *port) Supply(f func(from string, question []byte) ([]byte, error)) {
	p.ether.mu.Lock()
	defer p.ether.mu.Unlock()
	p.supply = f
}

// travelLocked draws how long a message takes, and whether it arrives.
func (e *ether) travelLocked() (time.Duration, bool) {
	if e.exact {
		return e.delay, e.random.Float64() >= e.loss
	}
	return time.Duration(e.random.Int64N(int64(e.delay) + 1)), e.random.Float64() >= e.loss
}

// restore makes NATS come back for everybody. Nobody hears from it when a cut between its servers heals.
func (e *ether) restore() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.down {
		return
	}
	e.down = false
	for _, p := range e.ports {
		close(p.relinked)
		p.relinked = make(chan struct{})
	}
}

func (p *port) Publish(subject string, data []byte) error {
	p.ether.mu.Lock()
	defer p.ether.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(p.ether.ports)) {
		to := p.ether.ports[id]
		wait, arrives := p.ether.travelLocked()
		if to == p {
			wait, arrives = 0, true
		}
		if arrives && p.ether.reachLocked(p, to) {
			time.AfterFunc(wait, func() { to.deliver(p, subject, data) })
		}
	}
	return nil
}

func (p *port) deliver(from *port, subject string, data []byte) {
	p.ether.mu.Lock()
	var calls []func()
	if p.ether.reachLocked(from, p) {
		for _, s := range p.subs {
			if strings.HasPrefix(subject, s.prefix) {
				calls = append(calls, func() { s.f(subject, data) })
				p.ether.bytes += int64(len(subject) + len(data))
			}
		}
		if f := p.serve[subject]; f != nil {
			calls = append(calls, func() { _, _ = f(context.Background(), data) })
		}
	}
	p.ether.mu.Unlock()
	for _, call := range calls {
		call()
	}
}

func (p *port) Subscribe(subject string, f func(subject string, data []byte)) (func(), error) {
	p.ether.mu.Lock()
	defer p.ether.mu.Unlock()
	p.next++
	id := p.next
	p.subs[id] = subscriber{strings.TrimSuffix(subject, "*"), f}
	return func() {
		p.ether.mu.Lock()
		defer p.ether.mu.Unlock()
		delete(p.subs, id)
	}, nil
}

func (p *port) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	p.ether.mu.Lock()
	var to *port
	var f func(context.Context, []byte) ([]byte, error)
	for _, other := range p.ether.ports {
		if g := other.serve[subject]; g != nil && p.ether.reachLocked(p, other) {
			to, f = other, g
		}
	}
	there, arrives := p.ether.travelLocked()
	back, returns := p.ether.travelLocked()
	p.ether.mu.Unlock()
	if f == nil {
		return nil, bus.ErrUnavailable // nobody serves it
	}
	wait := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", bus.ErrUnavailable, ctx.Err())
		}
	}
	if !arrives {
		there = time.Hour
	}
	if err := wait(there); err != nil {
		return nil, err
	}
	answer, err := f(ctx, data)
	p.ether.mu.Lock()
	returns = returns && p.ether.reachLocked(to, p)
	p.ether.mu.Unlock()
	if !returns {
		back = time.Hour
	}
	if err := wait(back); err != nil {
		return nil, err
	}
	return answer, err
}

func (p *port) Serve(subject string, f func(context.Context, []byte) ([]byte, error)) (func(), error) {
	p.ether.mu.Lock()
	defer p.ether.mu.Unlock()
	p.serve[subject] = f
	return func() {
		p.ether.mu.Lock()
		defer p.ether.mu.Unlock()
		delete(p.serve, subject)
	}, nil
}

func (p *port) Connected() bool {
	p.ether.mu.Lock()
	defer p.ether.mu.Unlock()
	return !p.ether.down
}

func (p *port) Relinked() <-chan struct{} {
	p.ether.mu.Lock()
	defer p.ether.mu.Unlock()
	return p.relinked
}

// write changes the store, which answers only those on side 0: there are most of its servers.
func (p *port) write(change func(e *ether) error) error {
	p.ether.mu.Lock()
	defer p.ether.mu.Unlock()
	if p.ether.down || p.dead || p.ether.side[p.id] != 0 {
		return bus.ErrUnavailable
	}
	return change(p.ether)
}

func (p *port) Create(_ context.Context, key string, value []byte) (revision uint64, err error) {
	err = p.write(func(e *ether) error {
		if _, is := e.leases[key]; is {
			return bus.ErrExists
		}
		e.revision++
		revision = e.revision
		e.leases[key] = bus.Entry{Key: key, Value: value, Revision: revision}
		return nil
	})
	return revision, err
}

func (p *port) Update(_ context.Context, key string, value []byte, last uint64) (revision uint64, err error) {
	err = p.write(func(e *ether) error {
		if e.leases[key].Revision != last {
			return bus.ErrConflict
		}
		e.revision++
		revision = e.revision
		e.leases[key] = bus.Entry{Key: key, Value: value, Revision: revision}
		return nil
	})
	return revision, err
}

func (p *port) DeleteAt(_ context.Context, key string, last uint64) error {
	return p.write(func(e *ether) error {
		if e.leases[key].Revision != last {
			return bus.ErrConflict
		}
		delete(e.leases, key)
		return nil
	})
}

func (p *port) Watch(ctx context.Context, f func(e bus.Entry, deleted bool), caughtUp func()) error {
	known := map[string]bus.Entry{}
	for ctx.Err() == nil {
		now := map[string]bus.Entry{}
		if p.write(func(e *ether) error {
			maps.Copy(now, e.leases)
			return nil
		}) == nil {
			for key, entry := range now {
				if known[key].Revision != entry.Revision {
					f(entry, false)
				}
			}
			for key := range known {
				if _, is := now[key]; !is {
					f(bus.Entry{Key: key}, true)
				}
			}
			known = now
			if caughtUp != nil {
				caughtUp()
				caughtUp = nil
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

// noKeys verifies nothing: those who take part in a play need no tokens.
type noKeys struct{}

func (noKeys) VerifyJoin(string) (grant.Claims, error) { return grant.Claims{}, grant.ErrTokenExpired }

func (noKeys) VerifyResume(string) (grant.Claims, error) {
	return grant.Claims{}, grant.ErrTokenExpired
}

func (noKeys) IssueJoin(grant.Claims) (string, time.Time, error) {
	return "", time.Time{}, grant.ErrTokenExpired
}

func (noKeys) IssueResume(grant.Claims) (string, time.Time, error) {
	return "", time.Time{}, nil
}

func silence() *slog.Logger { return slog.New(slog.DiscardHandler) }
