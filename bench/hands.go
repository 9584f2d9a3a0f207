package bench

import (
	"context"
	"sync"
	"time"

	"github.com/parley-sfu/parley/signal/wire"
)

// hands measures how long it takes until everybody in a room knows of a raised hand.
type hands struct {
	seen *tally

	mu    sync.Mutex
	who   string
	up    bool
	since time.Time
}

// saw notes that somebody was told of a hand.
func (h *hands) saw(who string, up bool) {
	h.mu.Lock()
	since, asked := h.since, h.who == who && h.up == up
	h.mu.Unlock()
	if asked {
		h.seen.add(time.Since(since))
	}
}

// raise raises or lowers a hand.
func (h *hands) raise(ctx context.Context, p *person, up bool) error {
	h.mu.Lock()
	h.who, h.up, h.since = p.Self().ID, up, time.Now()
	h.mu.Unlock()
	return p.Presence(ctx, wire.PresenceUpdate{HandRaised: &up})
}
