package placement

import (
	"context"
	"slices"
)

// Watch calls f, from one goroutine, with the ids of nodes that have come and gone since its last call; f must not block.
// A node that started anew is in both lists: all that it had is lost. When only what is known of nodes has changed
// (a node drains, is under another pressure, or has another load), both lists are empty. f starts with the next change: to miss
// nothing, watch first and call Nodes then. A call that has begun may still be under way when stop returns.
func (c *Cluster) Watch(f func(joined, left []string)) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched++
	id := c.watched
	c.watchers[id] = f
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, id)
	}
}

// dispatch calls the watchers. It compares with what it saw last, so that any number of changes make one call.
func (c *Cluster) dispatch(ctx context.Context) {
	seen := map[string]uint64{c.cfg.NodeID: c.Self().Incarnation}
	for {
		select {
		case <-c.change:
		case <-ctx.Done():
			return
		}
		now := map[string]uint64{}
		for _, n := range c.Nodes() {
			now[n.ID] = n.Incarnation
		}
		joined, left := missingFrom(seen, now), missingFrom(now, seen)
		seen = now
		for _, f := range c.callees() {
			f(slices.Clone(joined), slices.Clone(left))
		}
	}
}

func (c *Cluster) callees() (fs []func(joined, left []string)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.watchers {
		fs = append(fs, f)
	}
	return fs
}

// missingFrom returns the ids of nodes whose incarnation is not in known, sorted.
func missingFrom(known, nodes map[string]uint64) (ids []string) {
	for id, incarnation := range nodes {
		if was, ok := known[id]; !ok || was != incarnation {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
