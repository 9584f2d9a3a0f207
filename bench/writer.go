package bench

import (
	"math/rand/v2"
	"slices"
	"time"
)

// stay is how long somebody new is left alone.
const stay = time.Second

// A writer adds the steps of one action to a plan.
type writer struct {
	plan       *plan
	action     int
	a          *Action
	dice       *rand.Rand
	begin, end time.Duration
}

func (w *writer) add(at time.Duration, do verb, seat int, on bool) {
	w.plan.steps = append(w.plan.steps, step{at: at, do: do, seat: seat, on: on, action: w.action})
}

// every calls f for each moment of the action.
func (w *writer) every(interval time.Duration, f func(at time.Duration)) {
	for at := w.begin; at < w.end; at += interval {
		f(at)
	}
}

// rated is the time between two steps of an action with a rate.
func (w *writer) rated() time.Duration {
	return max(time.Duration(float64(time.Second)/w.a.Rate), time.Microsecond)
}

// stage has the action itself begin and end.
func (w *writer) stage() {
	w.add(w.begin, stepStage, nobody, true)
	if !w.a.For.IsZero() && w.end > w.begin {
		w.add(w.end, stepStage, nobody, false)
	}
}

// churn has people leave who send nothing, and somebody new come in their place.
func (w *writer) churn() {
	free := w.plan.chosen(func(_ seat, g *Group) bool { return g.Sends == SendsNothing })
	away := w.a.Away.Duration
	w.every(w.rated(), func(at time.Duration) {
		back := at + away + stay
		if n := w.pick(free, at, back); n != nobody {
			w.add(at, stepLeave, n, false)
			w.add(at+away, stepCome, n, true)
			w.plan.absent[n] = append(w.plan.absent[n], span{at, back})
		}
	})
}

// stays says whether somebody is there during a time.
func (w *writer) stays(number int, from, to time.Duration) bool {
	return !slices.ContainsFunc(w.plan.absent[number], func(s span) bool { return s.from <= to && s.to >= from })
}

// pick takes one of some seats who stays for a time; nobody, if none was found soon.
func (w *writer) pick(of []int, from, to time.Duration) int {
	for range min(len(of), 8) {
		if n := of[w.dice.IntN(len(of))]; w.stays(n, from, to) {
			return n
		}
	}
	return nobody
}

// inRoom are the seats of a room that are right.
func (w *writer) inRoom(room int, right func(*Group) bool) []int {
	return w.plan.chosen(func(s seat, g *Group) bool { return s.room == room && right(g) })
}

// speakers makes one after the other loud in every room.
func (w *writer) speakers() {
	for room := range w.plan.scenario.Rooms {
		voices := w.inRoom(room, (*Group).voice)
		last := nobody
		w.every(w.a.Every.Duration, func(at time.Duration) {
			next := w.pick(voices, at, at)
			if next == last || next == nobody {
				return
			}
			if last != nobody {
				w.add(at, stepLoud, last, false)
			}
			w.add(at, stepLoud, next, true)
			last = next
		})
		if last != nobody {
			w.add(w.end, stepLoud, last, false)
		}
	}
}

// mute has a share of all voices mute themselves at once.
func (w *writer) mute() {
	for _, n := range w.share((*Group).voice) {
		w.add(w.begin, stepMute, n, true)
		w.add(w.end, stepMute, n, false)
	}
}

// share takes the action's share of all who are right, and there.
func (w *writer) share(right func(*Group) bool) []int {
	all := w.plan.chosen(func(s seat, g *Group) bool { return right(g) && w.stays(s.number, w.begin, w.begin) })
	w.dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:int(w.a.Share*float64(len(all))+0.5)]
}

// hands has a hand go up in each room, down the next time, then another.
func (w *writer) hands() {
	for room := range w.plan.scenario.Rooms {
		all := w.inRoom(room, func(*Group) bool { return true })
		up := nobody
		w.every(w.a.Every.Duration, func(at time.Duration) {
			if up != nobody {
				w.add(at, stepHand, up, false)
				up = nobody
			} else if up = w.pick(all, at, at+w.a.Every.Duration); up != nobody {
				w.add(at, stepHand, up, true)
			}
		})
	}
}

// chat has somebody write to everybody, the rooms in turn. Lean receivers do not write.
func (w *writer) chat() {
	rooms := make([][]int, w.plan.scenario.Rooms)
	for room := range rooms {
		rooms[room] = w.inRoom(room, func(g *Group) bool { return g.Receiver == ReceiverWhole })
	}
	turn := 0
	w.every(w.rated(), func(at time.Duration) {
		if n := w.pick(rooms[turn%len(rooms)], at, at); n != nobody {
			w.add(at, stepChat, n, true)
		}
		turn++
	})
}

// layout has a share of those who watch turn to another layout.
func (w *writer) layout() {
	for _, n := range w.share(func(g *Group) bool { return w.plan.scenario.pictures(g) > 0 }) {
		w.add(w.begin, stepTurn, n, true)
	}
}
