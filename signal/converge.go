package signal

import (
	"slices"
	"sync"
	"time"
)

// catchUp is when rosters are compared after the bus has come back or a node has: what carries the messages and what
// knows the nodes do not mend at the same moment. NATS servers try each other every two seconds. Later differences are found
// by the periodic digests.
func catchUp() []time.Duration {
	rounds := []time.Duration{0, 250 * time.Millisecond}
	for at := 500 * time.Millisecond; at <= 3*time.Second; at += 500 * time.Millisecond {
		rounds = append(rounds, at)
	}
	return rounds
}

// hailEvery is how often a room tells where it stands while it misses the digests of another node: a cut that neither gossip nor
// this node's own connection to NATS has noticed is over when words cross again, and then both sides hear it this soon.
const hailEvery = 500 * time.Millisecond

// missedAfter is how long another node must have said nothing to be missed: more than a digest and a half.
func missedAfter(cfg Config) time.Duration { return cfg.DigestEvery * 3 / 2 }

// hail tells the rooms in which another node is missed. When that one hears it, or is heard first, it tells as well.
func (f *fabric) hail(now time.Time) {
	since := now.Add(-missedAfter(f.svc.cfg))
	for _, r := range f.svc.allRooms() {
		r.mu.Lock()
		if len(r.roster.silent(since)) > 0 {
			r.tellLocked(update{})
		}
		r.mu.Unlock()
	}
}

// catchUpGap is how long comparisons that were asked for by several events are apart at least.
const catchUpGap = 200 * time.Millisecond

// census gathers what gossip tells of nodes until the fabric looks.
type census struct {
	news chan struct{} // holds an element when there is something

	mu           sync.Mutex
	joined, left []string
}

func newCensus() *census { return &census{news: make(chan struct{}, 1)} }

// hear never blocks.
func (c *census) hear(joined, left []string) {
	if len(joined) == 0 && len(left) == 0 {
		return
	}
	c.mu.Lock()
	c.joined, c.left = append(c.joined, joined...), append(c.left, left...)
	c.mu.Unlock()
	select {
	case c.news <- struct{}{}:
	default:
	}
}

func (c *census) take() (joined, left []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	joined, left = c.joined, c.left
	c.joined, c.left = nil, nil
	return joined, left
}

// reunion times the comparisons after an event. It belongs to the fabric's goroutine.
type reunion struct {
	timer *time.Timer
	began time.Time
	last  time.Time
	round int
}

func newReunion() *reunion {
	r := &reunion{timer: time.NewTimer(time.Hour)}
	r.timer.Stop()
	return r
}

// begin starts the rounds anew.
func (r *reunion) begin(now time.Time) {
	r.began, r.round = now, 0
	r.timer.Reset(max(0, catchUpGap-now.Sub(r.last)))
}

// next notes that a round is done, and says whether it is the first, in which the others are asked to tell where they stand.
func (r *reunion) next(now time.Time) (first bool) {
	r.last = now
	first = r.round == 0
	if r.round++; r.round < len(catchUp()) {
		r.timer.Reset(max(0, r.began.Add(catchUp()[r.round]).Sub(now)))
	}
	return first
}

// obituary is the nodes that gossip says have gone, each with the moment. Their participants have a short time to come
// back through another node, so that nobody sees them leave. It belongs to the fabric's goroutine.
type obituary struct {
	grace time.Duration
	gone  map[string]time.Time
	timer *time.Timer
}

func newObituary(grace time.Duration) *obituary {
	o := &obituary{grace: grace, gone: map[string]time.Time{}, timer: time.NewTimer(time.Hour)}
	o.timer.Stop()
	return o
}

// note takes over what gossip says. A node that started anew has gone, too.
func (o *obituary) note(joined, left []string, now time.Time) {
	for _, id := range joined {
		if !slices.Contains(left, id) {
			delete(o.gone, id)
		}
	}
	for _, id := range left {
		o.gone[id] = now
	}
	o.rearm(now)
}

// due takes the nodes whose time is over.
func (o *obituary) due(now time.Time) map[string]time.Time {
	due := map[string]time.Time{}
	for id, at := range o.gone {
		if now.Sub(at) >= o.grace {
			due[id] = at
			delete(o.gone, id)
		}
	}
	o.rearm(now)
	return due
}

func (o *obituary) rearm(now time.Time) {
	o.timer.Stop()
	next := time.Duration(-1)
	for _, at := range o.gone {
		if wait := at.Add(o.grace).Sub(now); next < 0 || wait < next {
			next = max(0, wait)
		}
	}
	if next >= 0 {
		o.timer.Reset(next)
	}
}

// bury drops the parts of nodes that have gone, unless the bus has brought word of them since: then it is gossip that is
// cut.
func (f *fabric) bury(gone map[string]time.Time) {
	if len(gone) == 0 {
		return
	}
	for _, r := range f.svc.allRooms() {
		r.mu.Lock()
		for id, at := range gone {
			if p := r.roster.parts[id]; p != nil && p.heard.Before(at) {
				r.missLocked(id, "a node is gone")
			}
		}
		r.mu.Unlock()
	}
}
