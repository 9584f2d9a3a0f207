package allocation

import (
	"math"
	"time"
)

// dwell is how long a slot stays as it is before it is given more. Less can be forced on it at any time.
const dwell = int64(500 * time.Millisecond)

// noise is the part of a bit rate by which it may be measured wrong: a twentieth.
const noise = 20

// purse is what is spent, and how far one may go for what.
type purse struct {
	used  int64
	held  int64 // for what is shown already
	grow  int64 // for more
	fresh int64 // for the least of a slot that is new
	steps int64 // bit/s that may still be added to what is shown; one step may go beyond
	close bool  // more was refused that would fit if it were measured a bit lower
}

// restart takes back all grants but audio's.
func (s *Solver) restart() {
	for i := range s.slots {
		if l := &s.ladders[i]; s.slots[i].Kind != Audio {
			l.level, l.open = 0, true
		}
	}
}

// walk grants everything that fits, in order.
func (s *Solver) walk() {
	screens := s.from(Screen)
	cameras := s.from(Pinned)
	s.raise(s.order[screens:cameras])
	for _, i := range s.order[cameras:] {
		s.step(i)
	}
	s.raise(s.order[cameras:])
}

// from returns where in the order the slots of a kind, or of those behind it, begin.
func (s *Solver) from(k Kind) int {
	for n, i := range s.order {
		if s.slots[i].Kind >= k {
			return n
		}
	}
	return len(s.order)
}

// raise goes through groups of equals, each level by level. Where what is shown grows little by little it is not for chance who does: as long as more
// important ones of a kind nearly fit, no others of it grow in their place.
func (s *Solver) raise(order []int) {
	grow := s.purse.grow
	for n := 0; len(order) > 0; order = order[n:] {
		s.purse.close = false
		for n = 1; n < len(order) && s.equal(order[0], order[n]); n++ {
		}
		for range maxLevels {
			if !s.round(order[:n]) {
				break
			}
		}
		switch {
		case n == len(order) || s.slots[order[n]].Kind != s.slots[order[0]].Kind:
			s.purse.grow = grow
		case s.Paced && s.purse.close:
			s.purse.grow = math.MinInt64
		}
	}
}

func (s *Solver) equal(i, j int) bool {
	return s.slots[i].Kind == s.slots[j].Kind && s.slots[i].Priority == s.slots[j].Priority
}

// round gives one level more to those of the group that have the fewest and may have more, and reports whether any got it.
func (s *Solver) round(group []int) (more bool) {
	lowest := maxLevels
	for _, i := range group {
		if l := &s.ladders[i]; l.open && l.level < l.count {
			lowest = min(lowest, l.level)
		}
	}
	for _, i := range group {
		if s.ladders[i].level == lowest && s.step(i) {
			more = true
		}
	}
	return more
}

// step grants a slot its next level if that fits, and otherwise nothing any more.
func (s *Solver) step(i int) bool {
	l := &s.ladders[i]
	if !l.open || l.level == l.count {
		return false
	}
	p, bound := &s.purse, s.bound(i)
	if p.used+l.cost[l.level] > bound {
		l.open, l.lacking = false, p.used+l.cost[l.level]
		p.close = p.close || bound == p.grow && l.lacking <= bound+max(bound, 0)/noise
		return false
	}
	if l.level >= l.held { // something changes: the rest is to leave headroom too
		p.held = min(p.held, bound)
		p.steps -= l.cost[l.level]
	}
	p.used += l.cost[l.level]
	l.level++
	return true
}

// bound returns how much may be spent in all with the next level of slot i.
func (s *Solver) bound(i int) int64 {
	l, slot := &s.ladders[i], &s.slots[i]
	switch {
	case l.level < l.held:
		return s.purse.held
	case !slot.known && l.level == 0:
		return s.purse.fresh
	case slot.known && (slot.Shown && s.now-slot.changed < dwell || s.purse.steps <= 0):
		return math.MinInt64
	}
	return s.purse.grow
}
