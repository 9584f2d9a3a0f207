package bench

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"
)

// Percentiles of several agents are those of all values together, and no mean.
func TestTalliesMerge(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	all, sum := newTally(), newTally()
	for agent := range 3 {
		one := newTally()
		for range 1000 {
			d := time.Duration(dice.ExpFloat64() * float64(10*time.Millisecond) * float64(agent*agent+1))
			one.add(d)
			all.add(d)
			if dice.IntN(100) == 0 {
				one.take() // pulses change nothing of the sum
			}
		}
		raw, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		var told tally
		if err := json.Unmarshal(raw, &told); err != nil {
			t.Fatal(err)
		}
		sum.merge(&told)
	}
	if sum.spread() != all.spread() {
		t.Errorf("merged %+v, all together %+v", sum.spread(), all.spread())
	}
	if all.spread().P99 < 5*all.spread().P50 {
		t.Errorf("%+v is no test of it", all.spread())
	}
}

func TestTalliesOfStrangers(t *testing.T) {
	for name, raw := range map[string]string{"no text": "3", "no histogram": `"abc"`, "empty": `""`} {
		t.Run(name, func(t *testing.T) {
			var told tally
			if json.Unmarshal([]byte(raw), &told) == nil {
				t.Error("is taken")
			}
		})
	}
	var times tallies
	if json.Unmarshal([]byte(`{"smell": null}`), &times) == nil {
		t.Error("an unknown measure is taken")
	}
}

func TestTallyBounds(t *testing.T) {
	a := newTally()
	a.add(-time.Second)
	a.add(2 * time.Hour)
	s := a.spread()
	if s.Count != 2 || s.Max < 59_000 || s.Max > 61_000 || s.P50 > 0.01 {
		t.Errorf("%+v", s)
	}
	curve := a.curve()
	if last := curve[len(curve)-1]; last.Percent != 100 || last.Millis != s.Max {
		t.Errorf("%+v", curve)
	}
}

func FuzzOutcome(f *testing.F) {
	o := newOutcome()
	o.Times[timeJoin].add(time.Second)
	raw, err := json.Marshal(word{Agent: "a", Did: orderMeasure, Outcome: o})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"Agent":"a","Pulse":{"Voice":null}}`))
	f.Fuzz(func(_ *testing.T, raw []byte) {
		e := &ensemble{board: newBoard(1, 1, nil), changed: make(chan struct{}), agents: []*member{{id: "a", did: map[string]bool{}}}}
		e.hear(raw)
		if o := e.agents[0].outcome; o != nil {
			newOutcome().merge(o)
		}
	})
}
