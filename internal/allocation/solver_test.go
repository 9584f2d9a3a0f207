package allocation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const kbit = int64(1000)

// simulcast is a 720p camera with three streams of two temporal layers, in kbit/s: q 90, 150; h 300, 500; f 1500, 2500.
func simulcast() []Layer {
	return []Layer{
		{0, 0, 320, 180, 15, 90 * kbit},
		{0, 1, 320, 180, 30, 150 * kbit},
		{1, 0, 640, 360, 15, 300 * kbit},
		{1, 1, 640, 360, 30, 500 * kbit},
		{2, 0, 1280, 720, 15, 1500 * kbit},
		{2, 1, 1280, 720, 30, 2500 * kbit},
	}
}

func audio() Slot  { return Slot{Kind: Audio, Layers: []Layer{{Bitrate: 40 * kbit}}} }
func camera() Slot { return Slot{Kind: Other, Layers: simulcast()} }
func as(k Kind, s Slot) Slot {
	s.Kind = k
	return s
}

func sized(w, h int, s Slot) Slot {
	s.Width, s.Height = w, h
	return s
}

func screen() Slot {
	return Slot{Kind: Screen, Layers: []Layer{
		{0, 0, 960, 540, 5, 100 * kbit}, {0, 1, 960, 540, 30, 300 * kbit}, {1, 0, 1920, 1080, 5, 250 * kbit}, {1, 1, 1920, 1080, 30, 900 * kbit},
	}}
}

// told writes grants the way people speak of them: a letter and the temporal layer, "-" for a pause.
func told(slots []Slot) string {
	var out []string
	for _, s := range slots {
		if !s.Shown {
			out = append(out, "-")
			continue
		}
		out = append(out, fmt.Sprintf("%c%d", "qhf"[s.Spatial], s.Temporal))
	}
	return strings.Join(out, " ")
}

func TestSolve(t *testing.T) {
	for name, tc := range map[string]struct {
		budget int64 // kbit/s
		slots  []Slot
		want   string
	}{
		"nobody":                           {1000, nil, ""},
		"nothing to show":                  {0, []Slot{{Kind: Other}}, "-"},
		"plenty":                           {99000, []Slot{audio(), screen(), camera()}, "q0 h1 f1"},
		"audio alone is never paused":      {10, []Slot{camera(), audio(), screen(), audio()}, "- q0 - q0"},
		"audio goes first":                 {200, []Slot{camera(), audio(), audio(), audio()}, "- q0 q0 q0"},
		"a layer that fills its place":     {99000, []Slot{sized(320, 180, camera()), sized(600, 340, camera())}, "q1 h1"},
		"a place a bit larger":             {99000, []Slot{sized(360, 202, camera()), sized(361, 204, camera())}, "q1 h1"},
		"a place smaller than all":         {99000, []Slot{sized(100, 60, camera())}, "q1"},
		"a screen before cameras":          {400, []Slot{camera(), screen()}, "q0 h0"},
		"resolution before frame rate":     {290, []Slot{screen()}, "h0"},
		"two screens in turn":              {600, []Slot{screen(), screen()}, "h0 h0"},
		"everybody before anybody better":  {430, []Slot{camera(), as(Pinned, camera()), camera(), camera()}, "q0 q0 q0 q0"},
		"then who is pinned":               {640, []Slot{camera(), as(Speaking, camera()), as(Pinned, camera()), camera()}, "q0 q0 h0 q0"},
		"then who speaks":                  {750, []Slot{camera(), as(Speaking, camera()), as(Pinned, camera()), camera()}, "q0 q1 h0 q0"},
		"equals in turn":                   {1400, []Slot{camera(), camera(), camera(), camera()}, "h0 h0 h0 h0"},
		"priority before turns":            {1100, []Slot{camera(), {Kind: Other, Priority: 1, Layers: simulcast()}, camera()}, "h0 h1 q1"},
		"the larger first":                 {270, []Slot{sized(640, 360, camera()), sized(1280, 720, camera())}, "q0 q1"},
		"too little for all":               {300, []Slot{camera(), camera(), camera(), camera()}, "q0 q0 q0 -"},
		"what is too much is passed over":  {150, []Slot{as(Pinned, Slot{Layers: simulcast()[2:]}), camera()}, "- q0"},
		"a level that measures less":       {300, []Slot{{Kind: Other, Layers: []Layer{{0, 0, 0, 0, 30, 200 * kbit}, {1, 0, 0, 0, 30, 100 * kbit}}}}, "h0"},
		"no few large pictures for motion": {800, []Slot{{Kind: Other, Layers: []Layer{{0, 0, 320, 180, 30, 150 * kbit}, {1, 0, 640, 360, 7, 300 * kbit}, {1, 1, 640, 360, 15, 900 * kbit}}}}, "q0"},
	} {
		t.Run(name, func(t *testing.T) {
			var s Solver
			plan := s.Solve(tc.budget*kbit, 1, tc.slots)
			if got := told(tc.slots); got != tc.want {
				t.Errorf("shows %q, want %q", got, tc.want)
			}
			used := int64(0)
			for i := range tc.slots {
				used += tc.slots[i].Bitrate
			}
			if used > plan.Used {
				t.Errorf("used %d, told of %d", used, plan.Used)
			}
		})
	}
}

// TestSolveOverTime: less comes at once, more only with headroom and when what was taken has been found to be there.
func TestSolveOverTime(t *testing.T) {
	const second = int64(time.Second)
	type step struct {
		at     float64 // seconds
		budget int64   // kbit/s
		want   string
	}
	for name, tc := range map[string]struct {
		slots []Slot
		steps []step
	}{
		"a fall at once, a rise after a hold": {[]Slot{camera()}, []step{
			{1, 3000, "f1"}, {9, 2000, "f0"}, {9.1, 3000, "f0"}, {9.9, 3000, "f0"}, {10, 3000, "f1"},
		}},
		"what is shown may use all of it": {[]Slot{camera()}, []step{
			{1, 2800, "f1"}, {2, 2500, "f1"}, {3, 2499, "f0"}, {9, 2777, "f0"}, {10, 2778, "f1"},
		}},
		"holds grow when growing fails": {[]Slot{camera()}, []step{
			{1, 3000, "f1"}, {2, 2000, "f0"}, {3.9, 3000, "f0"}, {4, 3000, "f1"}, {5, 2000, "f0"}, {8.9, 3000, "f0"}, {9, 3000, "f1"},
		}},
		"and end when the link is another": {[]Slot{camera()}, []step{
			{1, 3000, "f1"}, {2, 2000, "f0"}, {4, 3000, "f1"}, {5, 2000, "f0"}, {6, 3400, "f0"}, {6.5, 3500, "f1"},
		}},
		"and shrink when it lasts": {[]Slot{camera()}, []step{
			{1, 3000, "f1"}, {2, 2000, "f0"}, {4, 3000, "f1"}, {14, 2000, "f0"}, {15, 3000, "f1"},
		}},
		"what was paused waits too": {[]Slot{camera(), camera()}, []step{
			{1, 200, "q0 q0"}, {2, 150, "q0 -"}, {3, 200, "q0 -"}, {4.1, 200, "q0 q0"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var s Solver
			for _, step := range tc.steps {
				s.Solve(step.budget*kbit, int64(step.at*float64(second)), tc.slots)
				if got := told(tc.slots); got != step.want {
					t.Fatalf("after %v s: shows %q, want %q", step.at, got, step.want)
				}
			}
		})
	}
}

// TestSpeakerInAHold: while nothing may grow, room is still handed from one to another.
func TestSpeakerInAHold(t *testing.T) {
	var s Solver
	slots := []Slot{camera(), camera(), camera()}
	s.Solve(2000*kbit, 1, slots)
	s.Solve(1550*kbit, int64(time.Second), slots)
	before := told(slots)
	slots[2].Kind = Speaking
	plan := s.Solve(1600*kbit, int64(1600*time.Millisecond), slots)
	if got := told(slots); before != "h1 h1 h1" && got == before || plan.Used > 1600*kbit {
		t.Errorf("%q became %q with %d", before, got, plan.Used)
	}
	slots = append(slots, camera())
	s.Solve(1600*kbit, int64(1700*time.Millisecond), slots)
	if !slots[3].Shown {
		t.Errorf("somebody new is not seen: %q", told(slots))
	}
}

// TestNext: with the budget that the plan names, what it names is shown.
func TestNext(t *testing.T) {
	slots := []Slot{audio(), as(Pinned, camera()), camera()}
	var s Solver
	budget, now, rises := 20*kbit, int64(1), 0
	for plan := s.Solve(budget, now, slots); plan.Next.Needs != 0; rises++ {
		if plan.Next.Needs <= budget {
			t.Fatalf("needs %d, has %d", plan.Next.Needs, budget)
		}
		before, next := told(slots), plan.Next
		budget, now = next.Needs, now+int64(time.Minute)
		if s.Solve(budget-budget/100, now, slots); told(slots) != before {
			t.Fatalf("%q rose to %q with less than is needed", before, told(slots))
		}
		plan = s.Solve(budget, now+1, slots)
		got := slots[next.Slot]
		if !got.Shown || got.Spatial < next.Spatial || got.Spatial == next.Spatial && got.Temporal < next.Temporal {
			t.Fatalf("with %d: %q, want slot %d at %d, %d", budget, told(slots), next.Slot, next.Spatial, next.Temporal)
		}
	}
	if want := "q0 f1 f1"; told(slots) != want || rises < 10 {
		t.Errorf("ended at %q after %d rises", told(slots), rises)
	}
}

func TestReasons(t *testing.T) {
	slots := []Slot{camera()}
	var s Solver
	s.Solve(2000*kbit, 1, slots)
	if slots[0].Reason != Bandwidth {
		t.Errorf("reason %v for less", slots[0].Reason)
	}
	s.Solve(3000*kbit, 2, slots)
	if slots[0].Reason != Settling {
		t.Errorf("reason %v while room is not trusted", slots[0].Reason)
	}
	s.Solve(3000*kbit, int64(time.Minute), slots)
	if slots[0].Reason != Satisfied {
		t.Errorf("reason %v for everything", slots[0].Reason)
	}
}

func TestUnion(t *testing.T) {
	layers := []Layer{{Spatial: 0, Bitrate: 100}, {Spatial: 1, Temporal: 0, Bitrate: 300}, {Spatial: 1, Temporal: 1, Bitrate: 400}, {Spatial: 2, Bitrate: 1000}}
	for name, tc := range map[string]struct {
		wanted uint8
		want   []int64
	}{
		"nothing":        {0, nil},
		"the lowest":     {1, []int64{100}},
		"the middle":     {2, []int64{100, 300, 400}},
		"the highest":    {4, []int64{100, 300, 400, 1000}},
		"both ends":      {5, []int64{100, 400, 500, 1100}},
		"all":            {7, []int64{100, 400, 500, 1500}},
		"the upper half": {6, []int64{100, 300, 400, 1400}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int64
			for _, l := range Union(nil, layers, tc.wanted) {
				got = append(got, l.Bitrate)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("carries %v, want %v", got, tc.want)
			}
		})
	}
}

// room25 is a page of 25 cameras with all layers, one of them speaking.
func room25() []Slot {
	var slots []Slot
	for range 25 {
		slots = append(slots, sized(640, 360, camera()))
	}
	slots[7].Kind = Speaking
	return slots
}

func TestSolveAllocates(t *testing.T) {
	slots := room25()
	var s Solver
	now := int64(0)
	if allocs := testing.AllocsPerRun(500, func() {
		now += int64(100 * time.Millisecond)
		s.Solve(5000*kbit+now%7*1000*kbit, now, slots)
	}); allocs != 0 {
		t.Errorf("%v allocations a solution", allocs)
	}
}

func BenchmarkSolve25(b *testing.B) {
	slots := room25()
	var s Solver
	b.ReportAllocs()
	now := int64(0)
	for b.Loop() {
		now += int64(100 * time.Millisecond)
		s.Solve(5000*kbit+now%7*1000*kbit, now, slots)
	}
}

// TestPaced: where packets wait for their turn what is shown grows little by little, not at all while many wait, and dares more when it has been
// still; a grace takes nothing away; a link that carries much less forgets the failures of the one before.
func TestPaced(t *testing.T) {
	type step struct {
		at            float64 // seconds
		budget, grace int64   // kbit/s
		full          bool
		want          string
	}
	for name, tc := range map[string]struct {
		slots []Slot
		steps []step
	}{
		"little by little": {[]Slot{camera(), camera()}, []step{
			{1, 300, 0, false, "q1 q0"}, {9, 1200, 0, false, "h0 q1"}, {9.1, 1200, 0, false, "h0 q1"}, {10, 1200, 0, false, "h0 h0"}, {10.2, 1200, 0, false, "h1 h0"},
		}},
		"not while many wait": {[]Slot{camera()}, []step{
			{1, 100, 0, false, "q0"}, {9, 1000, 0, true, "q0"}, {9.1, 1000, 0, false, "h0"},
		}},
		"daring": {[]Slot{camera()}, []step{
			{0.5, 315, 0, false, "q1"}, {1.4, 315, 0, false, "q1"}, {1.5, 315, 0, false, "h0"},
		}},
		"not what does not fit": {[]Slot{camera()}, []step{
			{0.5, 157, 0, false, "q0"}, {30, 157, 0, false, "q1"}, {31, 195, 0, false, "q1"}, {60, 195, 0, false, "q1"},
		}},
		"daring where little is left": {[]Slot{{Kind: Screen, Layers: []Layer{{Bitrate: 900 * kbit}}}, camera()}, []step{
			{0.5, 1250, 0, false, "q0 q1"}, {1.4, 1250, 0, false, "q0 q1"}, {1.5, 1240, 0, false, "q0 q1"}, {1.6, 1250, 0, false, "q0 h0"},
		}},
		"grace": {[]Slot{camera()}, []step{
			{1, 600, 0, false, "h1"}, {2, 450, 600, false, "h1"}, {2.1, 450, 450, false, "h0"},
		}},
		"another link": {[]Slot{camera()}, []step{
			{1, 600, 0, false, "h1"}, {2, 450, 0, false, "h0"}, {4, 600, 0, false, "h1"}, {5, 160, 0, false, "q1"}, {5.4, 400, 0, false, "q1"}, {5.6, 400, 0, false, "h0"},
		}},
		"another link soon after a growth that failed": {[]Slot{camera()}, []step{
			{1, 600, 0, false, "h1"}, {2, 450, 0, false, "h0"}, {2.5, 160, 0, false, "q1"}, {2.7, 400, 0, false, "q1"}, {3.1, 400, 0, false, "h0"},
		}},
		"a cut, while many wait": {[]Slot{camera(), camera()}, []step{
			{1, 1200, 0, false, "h1 h1"},
			{2, 400, 0, true, "- -"},
			{2.2, 400, 0, false, "- -"},
			{2.4, 400, 0, true, "- -"},
			{2.5, 400, 0, false, "q0 -"},
			{2.7, 400, 0, false, "q0 q0"},
		}},
		"a cut takes what would fit, too": {[]Slot{camera(), camera()}, []step{
			{1, 300, 0, false, "q1 q0"}, {2, 150, 0, true, "- -"}, {2.4, 150, 0, false, "q0 -"},
		}},
		"a cut, while few do": {[]Slot{camera(), camera()}, []step{
			{1, 1200, 0, false, "h1 h1"}, {2, 400, 0, false, "q1 q1"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := Solver{Paced: true}
			for _, step := range tc.steps {
				s.Grace, s.Full = step.grace*kbit, step.full
				s.Solve(step.budget*kbit, int64(step.at*float64(time.Second)), tc.slots)
				if got := told(tc.slots); got != step.want {
					t.Fatalf("after %v s: shows %q, want %q", step.at, got, step.want)
				}
			}
		})
	}
}

// TestInPlaceOfMoreImportant: where growth is little by little, who is less important has nothing in place of the same for who is more important, whether it
// would be new or is shown; but has what takes half as much, or when it is of another kind.
func TestInPlaceOfMoreImportant(t *testing.T) {
	two := func(k Kind, priority int, most int64) Slot {
		return Slot{Kind: k, Priority: priority, Layers: []Layer{
			{Width: 320, Height: 180, Bitrate: 100 * kbit}, {Spatial: 1, Width: 640, Height: 360, Bitrate: most * kbit},
		}}
	}
	for name, tc := range map[string]struct {
		before int64 // kbit/s of budget, at first; 0 for none
		slots  []Slot
		want   string
	}{
		"it fits":               {0, []Slot{two(Other, 1, 790), two(Other, 0, 500)}, "h0 q0"},
		"does not quite":        {0, []Slot{two(Other, 1, 840), two(Other, 0, 500)}, "q0 q0"},
		"by far not":            {0, []Slot{two(Other, 1, 1500), two(Other, 0, 810)}, "q0 q0"},
		"half as much":          {0, []Slot{two(Other, 1, 1500), two(Other, 0, 800)}, "q0 h0"},
		"of another kind":       {0, []Slot{two(Speaking, 0, 840), two(Other, 0, 500)}, "q0 h0"},
		"equals":                {0, []Slot{two(Other, 0, 840), two(Other, 0, 500)}, "q0 h0"},
		"behind another kind":   {0, []Slot{two(Speaking, 1, 840), two(Speaking, 0, 840), two(Other, 0, 500)}, "q0 q0 h0"},
		"is shown":              {2000, []Slot{two(Other, 1, 1000), two(Other, 0, 700)}, "q0 q0"},
		"is shown, and is half": {2000, []Slot{two(Other, 1, 1100), two(Other, 0, 600)}, "q0 h0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Solver{Paced: true}
			budget := 1000 * kbit // of which 900 may be used, and 100 for who is beside
			if len(tc.slots) > 2 {
				budget = 1110 * kbit
			}
			now := int64(0)
			solve := func(budget int64) {
				for range 5 {
					now += int64(200 * time.Millisecond)
					s.Solve(budget, now, tc.slots)
				}
			}
			if tc.before > 0 {
				solve(tc.before * kbit)
			}
			solve(budget)
			if got := told(tc.slots); got != tc.want {
				t.Errorf("shows %q, want %q", got, tc.want)
			}
		})
	}
}

// TestWaitsForWhoSettles: who is less important does not grow in the half second in which who is more important stays as it is.
func TestWaitsForWhoSettles(t *testing.T) {
	s := Solver{Paced: true}
	slots := []Slot{{Kind: Other, Priority: 1}, camera()}
	for _, step := range []struct {
		at     int64 // ms
		budget int64 // kbit/s
		want   string
	}{{100, 200, "- q1"}, {1000, 300, "q0 q1"}, {1200, 2000, "q0 q1"}, {1600, 2000, "h0 q1"}} {
		if step.at == 1000 {
			slots[0].Layers = simulcast()
		}
		s.Solve(step.budget*kbit, step.at*int64(time.Millisecond), slots)
		if got := told(slots); got != step.want {
			t.Errorf("after %d ms: shows %q, want %q", step.at, got, step.want)
		}
	}
}
