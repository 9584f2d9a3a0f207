package allocation

import (
	"math"
	"time"
)

// dwell is how long a slot stays as it is before it is given more. Less can be forced on it at any time.
const dwell = int64(500 * time.Millisecond)

// besides is the part of a step that was refused to who is more important, a half, up to which a step of who is less important counts as something else
// and not as the same in its place.
const besides = 2

// purse is what is spent, and how far one may go for what.
type purse struct {
	used   int64
	held   int64 // for what is shown already
	grow   int64 // for more
	fresh  int64 // for the least of a slot that is new
	steps  int64 // bit/s that may still be added to what is shown; one step may go beyond
	falls  bool  // what is shown is too much
	least  int64 // bit/s of the smallest step that was refused in this group
	denied int64 // likewise, in all the more important ones of its kind
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

// raise goes through groups of equals, each level by level. Where what is shown grows little by little it is not for bit rates that differ a little to say
// who has more: what was refused to more important ones of a kind, no others of it are given in their place, nor keep when what is shown is too much.
func (s *Solver) raise(order []int) {
	p := &s.purse
	p.denied = math.MaxInt64
	for n := 0; len(order) > 0; order = order[n:] {
		p.least = math.MaxInt64
		for n = 1; n < len(order) && s.equal(order[0], order[n]); n++ {
		}
		for range maxLevels {
			if !s.round(order[:n]) {
				break
			}
		}
		switch {
		case n == len(order) || s.slots[order[n]].Kind != s.slots[order[0]].Kind:
			p.denied = math.MaxInt64
		case s.Paced:
			p.denied = min(p.denied, p.least)
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
	p, bound, cost := &s.purse, s.bound(i), l.cost[l.level]
	inPlace := cost > p.denied/besides && (p.falls || l.level >= l.held)
	if inPlace || p.used+cost > bound {
		l.open, l.lacking = false, p.used+cost
		p.least = min(p.least, cost)
		return false
	}
	if l.level >= l.held { // something changes: the rest is to leave headroom too
		p.held = min(p.held, bound)
		p.steps -= cost
	}
	p.used += cost
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
