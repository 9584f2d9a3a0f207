package bench

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// someScenario draws a valid one.
func someScenario(t *rapid.T) *Scenario {
	seconds := func(name string, least, most int) Duration {
		return lasting(time.Duration(rapid.IntRange(least, most).Draw(t, name)) * time.Second)
	}
	s := &Scenario{
		Seed: rapid.Uint64().Draw(t, "seed"), Rooms: rapid.IntRange(1, 3).Draw(t, "rooms"), Duration: seconds("duration", 1, 60),
		People: []Group{
			{Role: roleAttendee, Count: rapid.IntRange(1, 5).Draw(t, "publishers")},
			{Role: roleViewer, Count: rapid.IntRange(1, 20).Draw(t, "viewers")},
		},
	}
	for range rapid.IntRange(0, 6).Draw(t, "actions") {
		a := Action{Do: rapid.SampledFrom([]string{DoChurn, DoSpeakers, DoMute, DoHands, DoChat, DoLayout, DoMeetings, DoDrain}).Draw(t, "do")}
		a.At = seconds("at", 0, int(s.Duration.Seconds()))
		switch a.Do {
		case DoChurn, DoChat, DoMeetings:
			a.Rate = rapid.Float64Range(0.1, 20).Draw(t, "rate")
		case DoSpeakers, DoHands:
			a.Every = seconds("every", 1, 5)
		case DoMute:
			a.For, a.Share = seconds("for", 1, 9), rapid.Float64Range(0.1, 1).Draw(t, "share")
		case DoLayout:
			a.Layout = LayoutSpeaker
		default:
			a.Node = "n"
		}
		s.Actions = append(s.Actions, a)
	}
	s.complete()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPlansAreRepeatable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := someScenario(t)
		p := newPlan(s)
		if !reflect.DeepEqual(p, newPlan(s)) {
			t.Fatal("the same scenario is another plan")
		}
		there := make([]bool, len(p.seats))
		for i := range there {
			there[i] = true
		}
		last := time.Duration(0)
		for _, st := range p.steps {
			if st.at < last || st.at > s.Duration.Duration+defaultAway {
				t.Fatalf("%+v comes after %s", st, last)
			}
			last = st.at
			switch {
			case st.do == stepLeave && !there[st.seat], st.do == stepCome && there[st.seat]:
				t.Fatalf("%+v: is there: %v", st, there[st.seat])
			case st.do == stepLeave, st.do == stepCome:
				there[st.seat] = st.do == stepCome
			case st.do == stepHand || st.do == stepChat || st.do == stepTurn:
				if !there[st.seat] {
					t.Fatalf("%+v of somebody who is away", st)
				}
			}
		}
	})
}

// One more action changes nothing of the others.
func TestAnotherSeedIsAnotherPlan(t *testing.T) {
	s := Simple(1, 2, 50, SendsAV, "vp8", LayoutGrid, 10, time.Minute)
	s.Actions = append(s.Actions, Action{Do: DoChurn, Rate: 2})
	s.complete()
	one := newPlan(s).steps
	s.Seed++
	if other := newPlan(s).steps; slices.Equal(one, other) {
		t.Error("the seed changes nothing")
	}
	s.Seed--
	s.Actions = append(s.Actions, Action{Do: DoMeetings, Rate: 1})
	kept := slices.DeleteFunc(newPlan(s).steps, func(st step) bool { return st.do == stepMeet })
	if !slices.Equal(one, kept) {
		t.Error("one more action changes what the others do")
	}
}

func TestCuesTellWhenAChangeWasDue(t *testing.T) {
	up := cue{3, stepHand, true}
	p := &plan{cues: map[cue][]time.Duration{up: {time.Second, 5 * time.Second}}}
	for _, tc := range []struct {
		name     string
		of       cue
		seen     time.Duration
		due      time.Duration
		expected bool
	}{
		{"before the first", up, 900 * time.Millisecond, 0, false},
		{"at the first", up, time.Second, time.Second, true},
		{"late", up, 4 * time.Second, time.Second, true},
		{"the second", up, 5001 * time.Millisecond, 5 * time.Second, true},
		{"somebody else's", cue{4, stepHand, true}, 6 * time.Second, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if due, ok := p.due(tc.of, tc.seen); due != tc.due || ok != tc.expected {
				t.Errorf("%s %v", due, ok)
			}
		})
	}
}

// Every twentieth looks at frames: dealt by number alone, all of them would be one agent's.
func TestAgentsGetPartsAlike(t *testing.T) {
	s := Simple(1, 25, 500, SendsAV, "vp8", LayoutGrid, 10, time.Minute)
	s.LeanViewers(0.05)
	p := newPlan(s)
	for agents := 1; agents <= 10; agents++ {
		publishers, looking, others := make([]int, agents), make([]int, agents), make([]int, agents)
		for i, part := range p.deal(agents) {
			switch {
			case p.of(i).Role == roleAttendee:
				publishers[part]++
			case p.of(i).verifies(p.seats[i].index):
				looking[part]++
			default:
				others[part]++
			}
		}
		for name, kind := range map[string][]int{"publishers": publishers, "viewers who look": looking, "other viewers": others} {
			if slices.Max(kind)-slices.Min(kind) > 1 {
				t.Errorf("%d agents have %v %s", agents, kind, name)
			}
		}
	}
}

func TestPeopleJoinAtTheRamp(t *testing.T) {
	s := Simple(2, 1, 9, SendsAV, "vp8", LayoutGrid, 0, time.Minute)
	s.Join = Ramp{Within: lasting(10 * time.Second)}
	p := newPlan(s)
	if len(p.seats) != 20 || p.seats[19].due != 9500*time.Millisecond || p.seats[1].room != 1 || p.of(1).Role != roleAttendee || p.of(2).Role != roleViewer {
		t.Errorf("%+v", p.seats)
	}
}
