package allocation

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A link's capacity and what an estimator says of it: it follows within a second, wanders around it, and falls too far when
// it falls.
type link struct {
	capacity, estimate float64 // bit/s
	rng                *rand.Rand
}

func (l *link) tick(used float64) int64 {
	if used > l.capacity { // the queue grows: back below what goes through
		l.estimate = min(l.estimate, 0.85*l.capacity)
	} else {
		l.estimate += 0.08 * (l.capacity - l.estimate)
	}
	l.estimate *= 1 + 0.02*(l.rng.Float64()*2-1)
	return int64(l.estimate)
}

// wander runs nine cameras, one of which speaks, and microphones over the link for some time, ten solutions a second,
// with bit rates that are never the same. It returns the share of the link that was used after the first three seconds and from
// then on, and how often the picture changed from then on. Without memory each solution begins afresh.
func wander(l *link, slots []Slot, s *Solver, from, until time.Duration, memory bool) (early, share float64, changes int) {
	truth := rates(slots)
	used, sum, ticks := 0.0, 0.0, 0
	was := told(slots)
	const tick = 100 * time.Millisecond
	for now := from; now < until; now += tick {
		for i := range slots {
			for k := range slots[i].Layers {
				slots[i].Layers[k].Bitrate = int64(float64(truth[i][k]) * (1 + 0.05*(l.rng.Float64()*2-1)))
			}
		}
		if !memory {
			*s = Solver{}
			for i := range slots {
				slots[i].Grant = Grant{}
			}
		}
		used = float64(s.Solve(l.tick(used), int64(now)+1, slots).Used)
		if now < from+3*time.Second { // time to settle
			was, early = told(slots), used/l.capacity
			continue
		}
		sum, ticks = sum+used/l.capacity, ticks+1
		if is := told(slots); is != was {
			was = is
			changes++
		}
	}
	for i := range slots {
		for k := range slots[i].Layers {
			slots[i].Layers[k].Bitrate = truth[i][k]
		}
	}
	return early, sum / float64(ticks), changes
}

func grid() []Slot {
	slots := []Slot{audio(), audio(), audio()}
	for range 9 {
		slots = append(slots, sized(640, 360, camera()))
	}
	slots[5].Kind = Speaking
	return slots
}

// TestWander steps a link up and down under estimates that wander: the picture follows within three seconds, makes use of
// the link, and keeps still.
func TestWander(t *testing.T) {
	for seed := range uint64(20) {
		l := &link{rng: rand.New(rand.NewPCG(seed, 1))}
		slots, s := grid(), new(Solver)
		for n, mbit := range []float64{5, 1, 0.4, 5, 2} {
			l.capacity = mbit * 1e6
			from := time.Duration(n) * time.Minute
			early, share, changes := wander(l, slots, s, from, from+time.Minute, true)
			name := fmt.Sprintf("seed %d, %v Mbit/s: %.0f %% used, %d changes a minute: %s", seed, mbit, share*100, changes, told(slots))
			if testing.Verbose() && seed < 3 {
				t.Log(name)
			}
			if early < 0.7 {
				t.Errorf("%s: only %.0f %% after three seconds", name, early*100)
			}
			if full := mbit == 5 && changes == 0; (share < 0.8 && !full) || share > 1 {
				t.Errorf("%s: the link is not made use of", name)
			}
			if changes > 20 {
				t.Errorf("%s: restless", name)
			}
		}
	}
}

// TestWanderWithoutMemory: what keeps the picture still is what the solver remembers.
func TestWanderWithoutMemory(t *testing.T) {
	count := func(memory bool) (changes int) {
		for seed := range uint64(5) {
			l := &link{capacity: 2e6, rng: rand.New(rand.NewPCG(seed, 2))}
			_, _, n := wander(l, grid(), new(Solver), 0, time.Minute, memory)
			changes += n
		}
		return changes
	}
	if with, without := count(true), count(false); with*10 > without {
		t.Errorf("%d changes with memory, %d without", with, without)
	}
}
