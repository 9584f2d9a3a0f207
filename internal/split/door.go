package split

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/parley-sfu/parley/internal/telemetry"
)

const (
	maxSources  = 1 << 16          // addresses remembered, those without a connection included
	forgetEvery = 10 * time.Second // those of which there is nothing to remember
	trustFor    = time.Hour        // after a handshake that was finished
	mostQueued  = 2 * time.Second  // of waiting for the rate of all; who would wait longer is sooner served by trying again
)

// refusal is why a connection was closed before it was handed on, as metrics show it.
type refusal string

const (
	refusedConnections        refusal = "connections"
	refusedAddressConnections refusal = "address_connections"
	refusedAddressPending     refusal = "address_pending"
	refusedOldest             refusal = "oldest_pending" // closed to make room
)

// door counts connections and paces handshakes, in all and for each address.
type door struct {
	cfg  Config
	rate *rate.Limiter

	mu      sync.Mutex // protects following
	open    int
	pending *list.List // of *conn that were not handed on, oldest first
	place   map[*conn]*list.Element
	sources map[netip.Addr]*source
}

// source is one address.
type source struct {
	open, pending int
	rate          *rate.Limiter // nil: no handshake yet
	finished      time.Time     // when a connection was handed on at last: a flood of ClientHellos does not come so far
}

func newDoor(cfg Config) *door {
	return &door{
		cfg: cfg, rate: rate.NewLimiter(rate.Limit(cfg.HandshakesPerSec), cfg.HandshakeBurst),
		pending: list.New(), place: map[*conn]*list.Element{}, sources: map[netip.Addr]*source{},
	}
}

// enter counts a new connection until it is closed, or says why it is refused. It may name the oldest of those that were
// not handed on, for the caller to close.
func (d *door) enter(c *conn) (oldest *conn, refused refusal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sources[c.from]
	switch {
	case d.open >= d.cfg.MaxConnections:
		return nil, refusedConnections
	case s != nil && s.open >= d.cfg.MaxConnectionsPerAddress:
		return nil, refusedAddressConnections
	case s != nil && s.pending >= d.cfg.MaxPendingPerAddress:
		return nil, refusedAddressPending
	}
	if d.pending.Len() >= d.cfg.MaxPending {
		oldest, _ = d.pending.Front().Value.(*conn)
		d.passLocked(oldest)
	}
	if s == nil {
		d.makeRoomLocked()
		s = &source{}
		d.sources[c.from] = s
	}
	d.open++
	s.open++
	s.pending++
	d.place[c] = d.pending.PushBack(c)
	c.onEnd = func() { d.leave(c) }
	return oldest, ""
}

// pass takes a connection that is handed on from those that were not. It is false where it was taken before, to make room.
func (d *door) pass(c *conn, now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.passLocked(c) {
		return false
	}
	d.sources[c.from].finished = now
	return true
}

func (d *door) passLocked(c *conn) bool {
	at, ok := d.place[c]
	if !ok {
		return false
	}
	d.pending.Remove(at)
	delete(d.place, c)
	d.sources[c.from].pending--
	return true
}

// leave ends the counting of a connection.
func (d *door) leave(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.passLocked(c)
	d.open--
	s := d.sources[c.from]
	if s.open--; s.open == 0 && s.rate == nil { // which is so after silence
		delete(d.sources, c.from)
	}
}

// reserveOwn takes a handshake from the rate of the connection's address. It is nil where the connection was closed meanwhile.
func (d *door) reserveOwn(c *conn, now time.Time) *rate.Reservation {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.sources[c.from]
	if s == nil {
		return nil
	}
	if s.rate == nil {
		s.rate = rate.NewLimiter(rate.Limit(d.cfg.AddressHandshakesPerSec), d.cfg.AddressHandshakeBurst)
	}
	return s.rate.ReserveN(now, 1)
}

// reserveOfAll takes a handshake from the rate of all. It is nil for an address that has finished a handshake: strangers who
// only begin them keep nobody out who was here before.
func (d *door) reserveOfAll(c *conn, now time.Time) *rate.Reservation {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.sources[c.from]; s != nil && !s.finished.IsZero() {
		return nil
	}
	return d.rate.ReserveN(now, 1)
}

// forget forgets addresses whose rate has nothing to remember any more, until ctx ends.
func (d *door) forget(ctx context.Context) {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			d.forgetOld(now)
		}
	}
}

func (d *door) forgetOld(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgetLocked(func(s *source) bool {
		return s.rate.TokensAt(now) >= float64(d.cfg.AddressHandshakeBurst) && now.Sub(s.finished) > trustFor
	})
}

// makeRoomLocked forgets addresses without a connection when there are too many: first those that finished no handshake.
func (d *door) makeRoomLocked() {
	if len(d.sources) >= maxSources {
		d.forgetLocked(func(s *source) bool { return s.finished.IsZero() })
	}
	if len(d.sources) >= maxSources {
		d.forgetLocked(func(*source) bool { return true })
	}
}

func (d *door) forgetLocked(which func(*source) bool) {
	for addr, s := range d.sources {
		if s.open == 0 && which(s) {
			delete(d.sources, addr)
		}
	}
}

// closePending closes all connections that were not handed on.
func (d *door) closePending() {
	for _, c := range d.allPending() {
		c.reset()
	}
}

func (d *door) allPending() []*conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*conn, 0, len(d.place))
	for c := range d.place {
		all = append(all, c)
	}
	return all
}

// measure shows how full the door is.
func (d *door) measure(port string) {
	telemetry.Gauge(telemetry.Name("parley_tls_connections", "port", port), func() float64 {
		d.mu.Lock()
		defer d.mu.Unlock()
		return float64(d.open)
	})
	telemetry.Gauge(telemetry.Name("parley_tls_pending_connections", "port", port), func() float64 {
		d.mu.Lock()
		defer d.mu.Unlock()
		return float64(d.pending.Len())
	})
}
