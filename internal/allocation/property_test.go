package allocation

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// anySlot has up to three spatial by three temporal layers, each dearer than the one before.
func anySlot(t *rapid.T) Slot {
	s := Slot{
		Kind:     rapid.SampledFrom([]Kind{Audio, Screen, Pinned, Speaking, Other, Other, Other}).Draw(t, "kind"),
		Priority: rapid.IntRange(0, 2).Draw(t, "priority"),
	}
	if rapid.Bool().Draw(t, "has a size") {
		s.Width = rapid.SampledFrom([]int{160, 320, 640, 1280}).Draw(t, "width")
		s.Height = s.Width * 9 / 16
	}
	rate := int64(0)
	temporal := rapid.IntRange(1, 3).Draw(t, "temporal layers")
	for spatial := range rapid.IntRange(0, 3).Draw(t, "spatial layers") {
		for tid := range temporal {
			rate += rapid.Int64Range(10*kbit, 600*kbit).Draw(t, "step")
			s.Layers = append(s.Layers, Layer{uint8(spatial), uint8(tid), 320 << spatial, 180 << spatial, float64(int(30) >> (temporal - 1 - tid)), rate})
		}
	}
	return s
}

func anySlots(t *rapid.T) []Slot {
	return rapid.SliceOfN(rapid.Custom(anySlot), 0, 12).Draw(t, "slots")
}

func anyBudget(t *rapid.T) int64 { return rapid.Int64Range(0, 12000*kbit).Draw(t, "budget") }

// unit is one level of one slot, as the rules of service see it, written down anew and slowly.
type unit struct {
	slot, level int
	cost        int64
}

// service lists all levels of all cameras and screens in the order in which a fresh solver must serve them.
func service(slots []Slot) []unit {
	type key struct{ phase, kind, priority, level, area, slot int }
	var keys []key
	costs := map[key]int64{}
	for i := range slots {
		s := &slots[i]
		if s.Kind == Audio {
			continue
		}
		var l ladder
		l.climb(s)
		for level := range l.count {
			k := key{1, int(s.Kind), -s.Priority, level, -s.area(), i}
			switch {
			case s.Kind == Screen:
				k.phase = 0
			case level == 0:
				k.level, k.phase = 0, 1
			default:
				k.phase = 2
			}
			keys = append(keys, k)
			costs[k] = l.cost[level]
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.phase, b.phase), cmp.Compare(a.kind, b.kind), cmp.Compare(a.priority, b.priority),
			cmp.Compare(a.level, b.level), cmp.Compare(a.area, b.area), cmp.Compare(a.slot, b.slot))
	})
	var units []unit
	for _, k := range keys {
		units = append(units, unit{k.slot, k.level, costs[k]})
	}
	return units
}

// levels returns how many levels each slot was granted.
func levels(s *Solver) []int {
	var n []int
	for i := range s.slots {
		n = append(n, s.ladders[i].level)
	}
	return n
}

// TestPropertyOrder holds a fresh solution against the rules: whatever was refused did not fit behind what goes before it.
func TestPropertyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots, budget := anySlots(t), anyBudget(t)
		var s Solver
		plan := s.Solve(budget, 1, slots)
		got, want := levels(&s), make([]int, len(slots))
		used, refused := s.purse.used, make([]bool, len(slots))
		spent := int64(0)
		for i := range slots {
			if slots[i].Kind == Audio {
				spent += slots[i].Bitrate
			}
		}
		for _, u := range service(slots) {
			if !refused[u.slot] && spent+u.cost <= budget-budget/10 {
				spent += u.cost
				want[u.slot]++
				continue
			}
			refused[u.slot] = true
		}
		for i := range slots {
			if slots[i].Kind != Audio && got[i] != want[i] {
				t.Fatalf("levels %v, want %v", got, want)
			}
		}
		if used != spent || plan.Used != spent {
			t.Fatalf("used %d, %d, want %d", used, plan.Used, spent)
		}
	})
}

// play brings a solver and its slots into any state that a life of wandering budgets and roles leads to.
func play(t *rapid.T, slots []Slot) (*Solver, int64) {
	s, now := new(Solver), int64(1)
	for range rapid.IntRange(0, 8).Draw(t, "past") {
		now += rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "passes")
		if len(slots) > 0 {
			i := rapid.IntRange(0, len(slots)-1).Draw(t, "who")
			if slots[i].Kind != Audio {
				slots[i].Kind = rapid.SampledFrom([]Kind{Pinned, Speaking, Other}).Draw(t, "becomes")
			}
		}
		s.Solve(anyBudget(t), now, slots)
	}
	return s, now + rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "passes")
}

func fork(s *Solver, slots []Slot) (*Solver, []Slot) {
	c := *s
	c.order, c.ladders = slices.Clone(s.order), slices.Clone(s.ladders)
	return &c, slices.Clone(slots)
}

// TestPropertyBudget: never above the budget, unless nothing but audio is left.
func TestPropertyBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := anySlots(t)
		s, now := play(t, slots)
		budget := anyBudget(t)
		s.Solve(budget, now, slots)
		total, video := int64(0), false
		for i := range slots {
			total += slots[i].Bitrate
			video = video || slots[i].Shown && slots[i].Kind != Audio
			if slots[i].Kind == Audio && len(slots[i].Layers) > 0 && !slots[i].Shown {
				t.Fatal("audio is paused")
			}
		}
		if total > budget && video {
			t.Fatalf("%d of %d: %s", total, budget, told(slots))
		}
	})
}

// TestPropertyMonotone: from any state, the first difference that more budget makes in the order of service is a gain.
func TestPropertyMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := anySlots(t)
		less, now := play(t, slots)
		more, moreSlots := fork(less, slots)
		budget := anyBudget(t)
		less.Solve(budget, now, slots)
		more.Solve(budget+rapid.Int64Range(0, 3000*kbit).Draw(t, "more"), now, moreSlots)
		for _, u := range inOrder(less) {
			had, has := less.ladders[u.slot].level > u.level, more.ladders[u.slot].level > u.level
			if has && !had {
				return
			}
			if had && !has {
				t.Fatalf("%q became %q: slot %d lost level %d", told(slots), told(moreSlots), u.slot, u.level)
			}
		}
	})
}

// inOrder is service with the solver's own order of slots, in which those that had more come first among equals.
func inOrder(s *Solver) []unit {
	place := make([]int, len(s.slots))
	for n, i := range s.order {
		place[i] = n
	}
	units := service(s.slots)
	slices.SortStableFunc(units, func(a, b unit) int {
		x, y := &s.slots[a.slot], &s.slots[b.slot]
		same := x.Kind == y.Kind && x.Priority == y.Priority && a.level == b.level
		if !same {
			return 0
		}
		return cmp.Compare(place[a.slot], place[b.slot])
	})
	return units
}

// TestPropertyStable: the same again changes nothing, and neither do bit rates that are a few percent off.
func TestPropertyStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := anySlots(t)
		s, now := play(t, slots)
		budget := anyBudget(t)
		plan := s.Solve(budget, now, slots)
		was := told(slots)
		if s.Solve(budget, now, slots); told(slots) != was {
			t.Fatalf("%q became %q by itself", was, told(slots))
		}
		if plan.Used > budget-budget/10 {
			return // it went on with all that there was, and may have to give something back
		}
		settled := func(now int64) string {
			s.Solve(budget, now, slots)
			return told(slots)
		}
		now += int64(time.Minute)
		settled(now)
		was = settled(now + int64(time.Minute))
		if s.purse.used > budget-budget/10 {
			return
		}
		truth := rates(slots)
		changes, failures := 0, s.failures
		for n := range int64(50) {
			for i := range slots {
				for k := range slots[i].Layers {
					slots[i].Layers[k].Bitrate = truth[i][k] * rapid.Int64Range(950, 1050).Draw(t, "noise") / 1000
				}
			}
			if now := settled(now + int64(time.Minute) + n*int64(100*time.Millisecond)); now != was {
				was = now
				changes++
			}
		}
		// What lay on the edge may be gained once, by luck, and is kept; the noise takes nothing away.
		if s.failures > failures || changes > len(service(slots)) {
			t.Fatalf("%d changes, %d failures", changes, s.failures)
		}
	})
}

func rates(slots []Slot) [][]int64 {
	var truth [][]int64
	for i := range slots {
		var of []int64
		for _, l := range slots[i].Layers {
			of = append(of, l.Bitrate)
		}
		truth = append(truth, of)
	}
	return truth
}

// TestPropertyPriority: who is served before another of the same kind and the same layers never shows less, in a fresh
// solution.
func TestPropertyPriority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := anySlot(t)
		second := first
		if first.Kind == Audio {
			return
		}
		if rapid.Bool().Draw(t, "by kind") && first.Kind < Other && first.Kind != Audio {
			second.Kind++
		} else {
			second.Priority--
		}
		slots := append(anySlots(t), second, first)
		var s Solver
		s.Solve(anyBudget(t), 1, slots)
		n := len(slots)
		if second.Kind == Pinned && first.Kind == Screen {
			return // of another shape: a screen is climbed another way
		}
		if s.ladders[n-1].level < s.ladders[n-2].level {
			t.Fatalf("%q", told(slots[n-2:]))
		}
	})
}

// TestPropertyFair: among equals nobody is two levels ahead of another, unless the second step is the cheaper one.
func TestPropertyFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := anySlots(t)
		one := anySlot(t)
		one.Kind = max(one.Kind, Screen)
		for i, rate := 0, 100*kbit; i < len(one.Layers); i++ {
			one.Layers[i].Bitrate, rate = rate, 2*rate
		}
		n := rapid.IntRange(2, 9).Draw(t, "equals")
		for range n {
			slots = append(slots, one)
		}
		var s Solver
		s.Solve(anyBudget(t), 1, slots)
		equals := levels(&s)[len(slots)-n:]
		if slices.Max(equals)-slices.Min(equals) > 1 {
			t.Fatalf("levels %v of equals", equals)
		}
	})
}
