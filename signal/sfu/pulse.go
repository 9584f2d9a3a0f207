package sfu

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	pulseEvery = 400 * time.Millisecond
	maxMisses  = 3 // requests in a row without an answer, before the node is asked in another way
)

// feel notices dead media nodes before gossip is sure: one that answers neither over the bus nor directly is dead, while one whose
// bus is away answers directly.
func (f *Fleet) feel(ctx context.Context) {
	tick := time.NewTicker(pulseEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var wg sync.WaitGroup
		for _, r := range f.all() {
			if r.carries() {
				wg.Go(func() { r.feel(ctx) })
			}
		}
		wg.Wait()
	}
}

// carries says whether the node has peers of this one.
func (r *Remote) carries() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.peers) > 0
}

// feel asks the node for a sign of life.
func (r *Remote) feel(ctx context.Context) {
	_, err := r.ask(ctx, pulseEvery, request{Op: opPing})
	if !errors.Is(err, ErrUnreachable) || !r.fleet.bus.Connected() || ctx.Err() != nil {
		r.misses = 0
		return
	}
	if r.misses++; r.misses < maxMisses {
		return
	}
	r.misses = 0
	for range 2 { // a packet may be lost
		if r.fleet.cluster.Answers(r.node) {
			return
		}
	}
	r.fleet.log.Warn("a media node is dead", "peer_node", r.node, "error", err)
	r.lose(fmt.Errorf("%w: %s is dead", ErrUnreachable, r.node))
}
