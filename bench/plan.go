package bench

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// A plan is a scenario worked out: who sits where, when each of them is due to join, and every step of the time that is
// measured. It depends on the scenario alone, so that every agent of a run works out the same one.
type plan struct {
	scenario *Scenario
	seats    []seat
	steps    []step // in the order in which they are due
	cues     map[cue][]time.Duration
	absent   map[int][]span // by seat
}

// A span is a time in which somebody is away, or has just come.
type span struct{ from, to time.Duration }

// A seat is one person's place in a run. Who leaves it is followed by somebody new.
type seat struct {
	number int
	room   int
	group  int           // of Scenario.People
	index  int           // among the group's people of this room
	due    time.Duration // to join, since joining began
}

// A verb is what a step does.
type verb string

const (
	stepLeave verb = "leave"
	stepCome  verb = "come"
	stepLoud  verb = "loud" // or quiet
	stepMute  verb = "mute" // or not
	stepHand  verb = "hand" // up or down
	stepChat  verb = "chat"
	stepTurn  verb = "turn" // to another layout
	stepMeet  verb = "meet" // make a meeting
	stepStage verb = "stage"
)

// A step is one thing that is due at a time since measuring began.
type step struct {
	at     time.Duration
	do     verb
	seat   int  // whose it is; nobody: none's
	on     bool // of loud, mute, hand; of stage: the action begins, or ends
	action int  // that it is of
}

const nobody = -1

// A cue is a change of presence that others are told of.
type cue struct {
	seat int
	do   verb
	on   bool
}

// newPlan works a valid scenario out.
func newPlan(s *Scenario) *plan {
	p := &plan{scenario: s, cues: map[cue][]time.Duration{}, absent: map[int][]span{}}
	p.seat()
	for _, churns := range []bool{true, false} { // who is away can do nothing else
		for i := range s.Actions {
			if a := &s.Actions[i]; (a.Do == DoChurn) == churns {
				p.act(i, a)
			}
		}
	}
	slices.SortStableFunc(p.steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.action, b.action), cmp.Compare(a.seat, b.seat))
	})
	for _, st := range p.steps {
		if st.do == stepHand || st.do == stepMute {
			c := cue{st.seat, st.do, st.on}
			p.cues[c] = append(p.cues[c], st.at)
		}
	}
	return p
}

// seat gives everybody a seat: group after group, one room after the other.
func (p *plan) seat() {
	interval := p.scenario.interval()
	for g, group := range p.scenario.People {
		for i := range group.Count {
			for room := range p.scenario.Rooms {
				n := len(p.seats)
				p.seats = append(p.seats, seat{number: n, room: room, group: g, index: i, due: time.Duration(n) * interval})
			}
		}
	}
}

// of is the group of a seat.
func (p *plan) of(number int) *Group { return &p.scenario.People[p.seats[number].group] }

// chosen are the seats that are right.
func (p *plan) chosen(right func(seat, *Group) bool) (numbers []int) {
	for _, s := range p.seats {
		if right(s, p.of(s.number)) {
			numbers = append(numbers, s.number)
		}
	}
	return numbers
}

// deal says which of so many agents plays each seat. Of every group, and of those in it who look at frames, all agents get as
// many, give or take one: looking is most of the work, and what is only seen so is to be seen from every machine.
func (p *plan) deal(agents int) (parts []int) {
	type kind struct {
		group int
		looks bool
	}
	next := map[kind]int{}
	for i, s := range p.seats {
		k := kind{s.group, p.of(i).verifies(s.index)}
		if _, begun := next[k]; !begun {
			next[k] = i // not all groups begin with the same agent
		}
		parts = append(parts, next[k]%agents)
		next[k]++
	}
	return parts
}

// due is when a change of presence was due that is seen at a time; the latest one before it.
func (p *plan) due(c cue, seen time.Duration) (at time.Duration, ok bool) {
	all := p.cues[c]
	n, exact := slices.BinarySearch(all, seen)
	if exact {
		n++
	}
	if n == 0 {
		return 0, false
	}
	return all[n-1], true
}

// act adds the steps of one action. Each action has dice of its own, so that one more changes nothing of the others.
func (p *plan) act(i int, a *Action) {
	w := &writer{plan: p, action: i, a: a, dice: rand.New(rand.NewPCG(p.scenario.Seed, uint64(i))), begin: a.At.Duration} //nolint:gosec // dice, no secret
	w.end = w.begin + a.lasts(p.scenario)
	switch a.Do {
	case DoChurn:
		w.churn()
	case DoSpeakers:
		w.speakers()
	case DoMute:
		w.mute()
	case DoHands:
		w.hands()
	case DoChat:
		w.chat()
	case DoLayout:
		w.layout()
	case DoMeetings:
		w.every(w.rated(), func(at time.Duration) { w.add(at, stepMeet, nobody, true) })
	default:
		w.stage()
	}
}
