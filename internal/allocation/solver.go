package allocation

import (
	"cmp"
	"math"
	"time"
)

const (
	// A tenth of the budget is headroom, into which nothing new is put: so what was granted still fits when bit rates,
	// which are measured, were five percent low then and are five percent high now.
	headroom = 10

	// Where packets are paced and nothing has changed for so long, as many times doubled as growths have failed, the headroom is smaller.
	patience = int64(time.Second)
	daring   = 25

	// A fall is followed by a hold, in which nothing may make the whole grow. Each growth that does not last its trial
	// doubles the next hold.
	firstHold   = int64(time.Second)
	maxDoubling = 5
	firstTrial  = int64(5 * time.Second)

	// Another link is not waited for as long where growth is little by little anyway.
	pacedHold = int64(300 * time.Millisecond)

	// Growth where packets are paced takes a step, or steps of this part of the budget together, in so many nanoseconds.
	gradually  = 10
	growsEvery = int64(150 * time.Millisecond)

	// What carries less than this part of what has been too much, in hundredths, is another link.
	otherLink = 75
)

// Plan sums up a solution.
type Plan struct {
	Used int64 // bit/s of all that is to be sent
	Next Upgrade
}

// Upgrade is the next thing that more bandwidth would bring.
type Upgrade struct {
	Slot              int   // index of the slot; meaningless while Needs is 0
	Spatial, Temporal uint8 // what it would show
	Needs             int64 // bit/s of budget from which it fits; 0 when nothing is missing
}

// Solver divides one budget, again and again. It remembers how well growing went, so there is one for each link to a
// subscriber or a node. It allocates only when there are more slots than ever before. The zero value is ready.
type Solver struct {
	Grace int64 // bit/s that what is shown may take for now, whatever the budget; the budget counts where it is more
	Paced bool  // packets wait for their turn: what is shown grows little by little, since each step begins with a keyframe, and more of the budget is used
	Full  bool  // many do: nothing grows, and when the link is cut no camera is shown for now

	slots   []Slot
	ladders []ladder
	order   []int // of service
	now     int64
	purse   purse

	rose     int64 // when the whole last grew, as long as that has not been followed by a fall; 0 otherwise
	hold     int64 // until when it may not grow
	failures int   // growths in a row that did not last
	grown    int64 // when it last grew
	still    int64 // when it last grew or fell
	broke    int64 // bit/s that were too much at the last fall
}

// Solve decides what each slot is to show within a budget in bit/s, at a time in monotonic nanoseconds, and writes it into
// the slots' Grants.
//
// Audio is always granted, everything else only if it fits: first shared screens, then the least of each camera, then more
// for pinned cameras, for speaking ones, and for the others by priority. Equals are raised in turn, one level each, larger
// ones first. What does not fit is passed over, and what comes behind it may still fit: where packets are paced, only what takes half as much, so that who is
// less important has nothing in place of who is more.
//
// What is shown may use the whole budget; more is granted only into nine tenths of it. So a Solve with what the last
// one left, and with bit rates that differ by a few percent, changes nothing. With more budget, the first difference in the
// order of service is always something gained.
func (s *Solver) Solve(budget, now int64, slots []Slot) Plan {
	s.begin(now, slots)
	audio, shown := s.standing()
	kept, held := shown, max(budget, s.Grace)
	if shown > held {
		s.fell(shown, budget)
		s.purse = purse{used: audio, held: held, grow: math.MinInt64, fresh: math.MinInt64, falls: true}
		s.walk()
		if s.Full && another(budget, shown) && s.close() {
			s.purse.used = audio
			s.restart()
			s.walk()
		}
		kept = s.purse.used
		s.restart()
	}
	room := s.room(budget)
	s.purse = purse{used: audio, held: held, grow: room, fresh: room, steps: math.MaxInt64, falls: shown > held}
	switch {
	case s.Full, s.Paced && now-s.grown < growsEvery:
		s.purse.steps = 0
	case s.Paced:
		s.purse.steps = budget / gradually
	}
	if room > s.broke+s.broke/4 { // another link than the one that failed
		s.hold, s.failures = 0, 0
	}
	if now < s.hold {
		s.purse.grow = min(room, kept)
	}
	s.walk()
	if s.purse.used > kept {
		s.grew()
		s.grown, s.still = now, now
	}
	s.write(room)
	return Plan{Used: s.purse.used, Next: s.next(room)}
}

// begin takes the slots in and puts them in order.
func (s *Solver) begin(now int64, slots []Slot) {
	s.now, s.slots = now, slots
	if len(s.order) != len(slots) {
		s.order = s.order[:0]
		for i := range slots {
			s.order = append(s.order, i)
		}
		for len(s.ladders) < len(slots) {
			s.ladders = append(s.ladders, ladder{})
		}
	}
	for i := range slots {
		s.ladders[i].climb(&slots[i])
	}
	for i := 1; i < len(s.order); i++ { // nearly in order already, from the last time
		for j := i; j > 0 && s.before(s.order[j], s.order[j-1]) < 0; j-- {
			s.order[j], s.order[j-1] = s.order[j-1], s.order[j]
		}
	}
}

// before orders slots by service. Among equals those come first that show more already, so that nothing moves without need.
func (s *Solver) before(i, j int) int {
	a, b := &s.slots[i], &s.slots[j]
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(b.Priority, a.Priority), cmp.Compare(b.area(), a.area()),
		cmp.Compare(s.ladders[j].held, s.ladders[i].held), cmp.Compare(i, j))
}

func (s *Slot) area() int {
	if s.Width <= 0 || s.Height <= 0 {
		return math.MaxInt
	}
	return s.Width * s.Height
}

// standing grants audio, and returns what that takes and what goes on as it is would take.
func (s *Solver) standing() (audio, shown int64) {
	for i := range s.slots {
		l := &s.ladders[i]
		if s.slots[i].Kind == Audio {
			l.level, l.held = l.count, l.count
		}
		for level := range l.held {
			shown += l.cost[level]
		}
		for level := range l.level {
			audio += l.cost[level]
		}
	}
	return audio, shown
}

// room is how much of a budget may be granted anew. Where nothing has changed for long, that is more.
func (s *Solver) room(budget int64) int64 {
	if s.Paced && s.now-s.still >= patience<<s.failures {
		return budget - budget/daring
	}
	return budget - budget/headroom
}

// close has cameras show nothing for now, and reports whether any did: nothing of them leaves until fewer packets wait, and a smaller picture begins
// with a keyframe. They come back one by one, like any growth.
func (s *Solver) close() (some bool) {
	for i := range s.slots {
		if l := &s.ladders[i]; s.slots[i].Kind > Screen && l.held > 0 {
			l.held, some = 0, true
		}
	}
	return some
}

// another reports whether a budget that is too little for what is shown must be another link's.
func another(budget, shown int64) bool { return budget < shown/100*otherLink }

// fell notes that what is shown does not fit any more. A link that carries much less is another one: it says nothing of growths.
func (s *Solver) fell(shown, budget int64) {
	s.broke, s.still = shown, s.now
	switch {
	case another(budget, shown):
		s.failures, s.rose = 0, 0
	case s.rose != 0:
		if s.now-s.rose < s.trial() {
			s.failures = min(s.failures+1, maxDoubling)
		} else {
			s.failures = 0
		}
		s.rose = 0
	}
	if s.Paced && another(budget, shown) {
		s.hold = s.now + pacedHold
		return
	}
	s.hold = max(s.hold, s.now+firstHold<<s.failures)
}

// grew notes that more is sent than before.
func (s *Solver) grew() {
	if s.rose != 0 && s.now-s.rose >= s.trial() {
		s.failures = 0
	}
	s.rose = max(s.now, 1)
}

// trial is how long a growth must last to count as a success.
func (s *Solver) trial() int64 { return max(firstTrial, 2*firstHold<<s.failures) }

// write puts the solution into the slots.
func (s *Solver) write(room int64) {
	for i := range s.slots {
		slot, l := &s.slots[i], &s.ladders[i]
		was := slot.Grant
		slot.Grant = Grant{known: true, changed: was.changed}
		if l.level > 0 {
			layer := &slot.Layers[l.at[l.level-1]]
			slot.Shown, slot.Spatial, slot.Temporal, slot.Bitrate = true, layer.Spatial, layer.Temporal, layer.Bitrate
		}
		if l.level < l.count {
			slot.Reason = Settling
			if l.lacking > room {
				slot.Reason = Bandwidth
			}
		}
		if !was.known || was.Shown != slot.Shown || was.Spatial != slot.Spatial || was.Temporal != slot.Temporal {
			slot.changed = s.now
		}
	}
}

// next finds what comes first when the budget rises. Whatever comes behind it in the order of service may go for it.
func (s *Solver) next(room int64) Upgrade {
	var next Upgrade
	for _, i := range s.order {
		l := &s.ladders[i]
		if l.level == l.count || l.lacking <= room {
			continue
		}
		needs := (l.lacking*headroom + headroom - 2) / (headroom - 1)
		if next.Needs == 0 || needs < next.Needs {
			layer := &s.slots[i].Layers[l.at[l.level]]
			next = Upgrade{Slot: i, Spatial: layer.Spatial, Temporal: layer.Temporal, Needs: needs}
		}
	}
	return next
}
