package node

import (
	"slices"
	"time"

	"github.com/parley-sfu/parley/cascade"
)

// course decides from whom a node takes a track of another node, and whom it passes it on to. It touches neither network
// nor clock, so that a test can let many of them, with contradictory opinions about parents, play against each other.
//
// A track is pulled from its origin, or from a node that pulls it straight from the origin. Who passes a track on therefore
// pulls it from the origin and nowhere else: whatever nodes believe of each other, there is no loop, and no packet crosses
// more than two links.
type course struct {
	self, origin string
	leaves       []string           // nodes that the track is passed on to
	pause        int64              // nobody is asked before: the track is not there
	avoid        map[string]refusal // by node
}

// refusal is what a node would not serve.
type refusal struct {
	until int64 // the node is not to be asked before
	times int   // in a row
}

// reach is how another node can be reached.
type reach int

const (
	cut     reach = iota // its link has died, or could not be made so far
	coming               // a link is being made
	reached              // there is a link
)

const (
	// endedFor is how long a track is not asked for that was not there: it may have been announced before it was.
	endedFor = 200 * time.Millisecond

	// refusedFor is how long a node is not asked that would not serve a track; the time doubles up to maxDoublings times.
	refusedFor   = time.Second
	maxDoublings = 4

	// steadyFor is how long a better parent must have been there before it takes over.
	steadyFor = 5 * time.Second
)

// allowed are the parents that may be pulled from, best first.
func (c *course) allowed(parents []string) []string {
	if len(c.leaves) > 0 {
		return []string{c.origin}
	}
	return parents
}

// choose returns the parent to pull from: the best that can be reached, or none as long as a better one may come soon.
func (c *course) choose(parents []string, to func(string) reach, now int64) string {
	if now < c.pause {
		return ""
	}
	for _, p := range c.allowed(parents) {
		if now < c.avoid[p].until {
			continue
		}
		switch to(p) {
		case reached:
			return p
		case coming:
			return ""
		case cut:
		}
	}
	return ""
}

// better returns the parent that is to take over from the present one, which works: the first before it in the list that
// has been there for some time.
func (c *course) better(present string, parents []string, steady func(string) bool, now int64) string {
	for _, p := range c.allowed(parents) {
		if p == present {
			return ""
		}
		if now >= c.avoid[p].until && steady(p) {
			return p
		}
	}
	return ""
}

// refused notes that a parent does not serve the track.
func (c *course) refused(parent string, why cascade.Reason, now int64) {
	if why == cascade.Ended {
		c.pause = now + int64(endedFor)
		return
	}
	if c.avoid == nil {
		c.avoid = map[string]refusal{}
	}
	times := c.avoid[parent].times
	c.avoid[parent] = refusal{now + int64(refusedFor)<<min(times, maxDoublings), times + 1}
}

// served notes that a parent does.
func (c *course) served(parent string) { delete(c.avoid, parent) }

// path is what a pull says of where the packets go: a leaf stands for all of them.
func (c *course) path() []string {
	return append([]string{c.self}, c.leaves[:min(len(c.leaves), cascade.MaxHops-1)]...)
}

// stranded reports whether those whom the track is passed on to must look elsewhere, because it does not come from the
// origin.
func (c *course) stranded(to func(string) reach, now int64) bool {
	return len(c.leaves) > 0 && (now < c.avoid[c.origin].until || to(c.origin) == cut)
}

// admit decides whether the track is passed on to a node that pulls it from here. The path is what the pull says; present
// is the parent of the moment, if any.
func (c *course) admit(present, from string, path []string) (why cascade.Reason, ok bool) {
	switch {
	case from == c.origin || slices.Contains(path, c.self):
		return cascade.Loop, false
	case len(path) >= cascade.MaxHops, present != "" && present != c.origin:
		return cascade.TooFar, false
	}
	c.leaves = append(c.leaves, from)
	return "", true
}

// release ends what admit began.
func (c *course) release(leaf string) {
	if i := slices.Index(c.leaves, leaf); i >= 0 {
		c.leaves = slices.Delete(c.leaves, i, i+1)
	}
}
