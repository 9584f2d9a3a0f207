package node

import (
	"slices"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/bandwidth"
)

// narrow is a pacer at work that lets 1,000 bytes leave in a millisecond; 100,000 may wait.
func narrow() *pacer {
	c := &pacer{}
	c.set(true, bandwidth.Pacing{Rate: 8_000_000, Estimate: 8_000_000, Queue: 100_000}, 0)
	return c
}

// waiting is a packet of so many bytes, overhead included.
func waiting(kind Kind, of bandwidth.Kind, n int) *held {
	return &held{from: &slot{kind: kind}, voice: kind == Audio, kind: of, packet: make([]byte, n-overhead)}
}

// leaves takes out all that may leave at a moment.
func leaves(c *pacer, at time.Duration) (all []*held) {
	for h := c.next(int64(at)); h != nil; h = c.next(int64(at)) {
		all = append(all, h)
	}
	return all
}

// TestPacerOrder: voices go first and at once, then what repairs pictures, then pictures, each in the order of coming.
func TestPacerOrder(t *testing.T) {
	c := narrow()
	one, two := waiting(Video, bandwidth.Media, 1000), waiting(Video, bandwidth.Media, 1000)
	repair, voice := waiting(Video, bandwidth.Retransmission, 1000), waiting(Audio, bandwidth.Media, 100)
	for i, h := range []*held{one, two, repair, voice} {
		if first, ok := c.hold(h); !ok || first != (i == 0) {
			t.Fatalf("packet %d: first %v, held %v", i, first, ok)
		}
	}
	if got := leaves(c, 0); !slices.Equal(got, []*held{voice}) {
		t.Errorf("%d packets leave at once, want the voice", len(got))
	}
	if got := leaves(c, 5*time.Millisecond); !slices.Equal(got, []*held{repair, one, two}) {
		t.Errorf("%d packets leave, or not in order", len(got))
	}
	if c.rest(startNode(t).takeBatch()) {
		t.Error("something waits")
	}
}

// TestPacerPace: pictures leave at the pace, voices included, whatever the rounds do, and a pause is made up for by 20 ms of them at the most.
func TestPacerPace(t *testing.T) {
	c := narrow()
	for range 200 {
		c.hold(waiting(Video, bandwidth.Media, 1000))
	}
	sent := 0
	for at := time.Duration(0); at <= 100*time.Millisecond; at += 4 * time.Millisecond {
		c.hold(waiting(Audio, bandwidth.Media, 500))
		sent += len(leaves(c, at)) - 1
	}
	if sent < 86 || sent > 88 { // 100 kB, less 26 voices
		t.Errorf("%d pictures in 100 ms, want 87", sent)
	}
	if got := len(leaves(c, 900*time.Millisecond)); got != 20 {
		t.Errorf("%d leave together after a pause, want 20", got)
	}
}

// TestPacerDoubts: in doubt voices leave and pictures do not; whoever adjusts the pace next is told that they have stopped.
func TestPacerDoubts(t *testing.T) {
	c := narrow()
	pace := c.pace
	if c.adjust(bandwidth.Pacing{Estimate: pace.Estimate, Queue: pace.Queue, Emptying: true}) {
		t.Error("pictures had stopped before")
	}
	picture, voice := waiting(Video, bandwidth.Media, 1000), waiting(Audio, bandwidth.Media, 100)
	c.hold(picture)
	c.hold(voice)
	if got := leaves(c, 50*time.Millisecond); !slices.Equal(got, []*held{voice}) {
		t.Errorf("%d packets leave in doubt, want the voice", len(got))
	}
	if !c.adjust(pace) {
		t.Error("pictures had not stopped")
	}
	if got := leaves(c, 60*time.Millisecond); !slices.Equal(got, []*held{picture}) {
		t.Errorf("%d packets leave then, want the picture", len(got))
	}
}

// TestPacerBounds: what waits is told by parts of what may, retransmissions have a quarter of the way, and keyframes are asked for one at a time.
func TestPacerBounds(t *testing.T) {
	c := narrow()
	for range 26 {
		c.hold(waiting(Video, bandwidth.Media, 1000))
	}
	if !c.full(littleWaits) || c.full(muchWaits) || c.mayPlead(int64(time.Second)) {
		t.Error("26 kB of 100 are little or much, or room for another keyframe")
	}
	leaves(c, 20*time.Millisecond)
	if c.full(littleWaits) || !c.mayPlead(int64(time.Second)) || c.mayPlead(int64(time.Second+50*time.Millisecond)) {
		t.Error("6 kB are too much, or two keyframes are asked for in 50 ms")
	}
	repairs := 0
	for at := time.Second; at < 2*time.Second; at += time.Millisecond {
		for c.mayRepair(1000, int64(at)) {
			repairs++
		}
	}
	if repairs < 295 || repairs > 305 { // 250 kB, and 50 at the beginning
		t.Errorf("%d retransmissions of 1 kB in a second, want 300", repairs)
	}
}

// TestPacerForgets: what has waited for more than a second, since voices took all there was, does not leave as a burst when there is room again.
func TestPacerForgets(t *testing.T) {
	c := narrow()
	for range 50 {
		c.hold(waiting(Video, bandwidth.Media, 1000))
	}
	for _, h := range leaves(c, 1100*time.Millisecond) {
		if !h.late {
			t.Fatal("a picture leaves a second late")
		}
	}
	fresh := waiting(Video, bandwidth.Media, 1000)
	fresh.since = int64(1100 * time.Millisecond)
	c.hold(fresh)
	if got := leaves(c, 1100*time.Millisecond); len(got) != 1 || got[0].late {
		t.Errorf("%d packets leave then, want the one that has just come", len(got))
	}
}

// TestPacerEmpties: what waits of a layer that is not to be shown any more leaves as numbers without pictures, before all else; what is to be shown stays.
func TestPacerEmpties(t *testing.T) {
	camera := &published{}
	small, large := &layer{track: camera, rank: 0}, &layer{track: camera, rank: 1}
	for name, tc := range map[string]struct {
		shows   showing
		starved bool
		of      *layer
		empty   bool
	}{
		"paused":                           {showing{}, false, small, true},
		"something else":                   {showing{current: &layer{track: &published{}}}, false, small, true},
		"shown":                            {showing{current: large, target: large}, false, large, false},
		"before a larger one":              {showing{current: large, target: large}, false, small, false},
		"before a smaller one":             {showing{current: small, target: small}, false, large, true},
		"until a smaller one":              {showing{current: large, target: small}, false, large, false},
		"until a smaller one, and cut off": {showing{current: large, target: small}, true, large, true},
		"cut off, to go on":                {showing{current: large, target: large}, true, large, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := narrow()
			other, h := waiting(Video, bandwidth.Media, 1000), waiting(Video, bandwidth.Media, 1000)
			other.from, other.layer = &slot{kind: Video, showing: showing{current: small}}, small
			h.from, h.layer, h.head = &slot{kind: Video, showing: tc.shows, starved: tc.starved}, tc.of, 20
			c.hold(other)
			c.hold(h)
			c.useless.Store(true)
			c.empty()
			got, want := leaves(c, time.Millisecond), []*held{other}
			if tc.empty {
				want = []*held{h, other}
			}
			if !slices.Equal(got, want) || (len(h.packet) == h.head) != tc.empty {
				t.Errorf("%d packets leave within a millisecond, want %d; %d bytes of the other", len(got), len(want), len(h.packet))
			}
			for len(leaves(c, time.Second)) > 0 {
			}
			if c.bytes != 0 {
				t.Errorf("%d bytes wait, when nothing does", c.bytes)
			}
		})
	}
}

// TestPacerEnds: a way that is wide again lets go of what waits first; then nothing comes to wait any more.
func TestPacerEnds(t *testing.T) {
	c, out := narrow(), startNode(t).takeBatch()
	c.hold(waiting(Video, bandwidth.Media, 1000))
	if !c.set(false, c.pace, int64(time.Millisecond)) {
		t.Error("nobody is told to end it")
	}
	if !c.narrow.Load() || !c.rest(out) {
		t.Fatal("it ended with a packet in it")
	}
	leaves(c, 2*time.Millisecond)
	if c.set(false, c.pace, int64(time.Millisecond)); !c.narrow.Load() {
		t.Fatal("it ended while the last packet may be on its way out")
	}
	if c.rest(out) || c.narrow.Load() {
		t.Fatal("it goes on with nothing in it")
	}
	if _, ok := c.hold(waiting(Video, bandwidth.Media, 1000)); ok {
		t.Error("it holds packets back though the way is wide")
	}
}

// TestDip: a budget that is less for a moment takes nothing away, one that stays less or is much less does.
func TestDip(t *testing.T) {
	for name, tc := range map[string]struct {
		budget []int64 // one each 200 ms
		waits  bool    // something does
		want   int64
	}{
		"steady":            {[]int64{1000, 1000}, true, 1000},
		"grows":             {[]int64{1000, 1100}, true, 1100},
		"dips":              {[]int64{1000, 800, 850}, true, 1000},
		"dips and comes":    {[]int64{1000, 800, 1000, 800, 800}, true, 1000},
		"stays less":        {[]int64{1000, 800, 800, 810, 820, 830}, true, 830},
		"and nothing waits": {[]int64{1000, 800, 800, 810, 820, 830}, false, 1000},
		"for two seconds":   {[]int64{1000, 800, 800, 800, 800, 800, 800, 800, 800, 800, 800, 800, 800}, false, 800},
		"is much less":      {[]int64{1000, 700}, false, 700},
	} {
		t.Run(name, func(t *testing.T) {
			var d dip
			got := int64(0)
			for i, budget := range tc.budget {
				got = d.grace(budget, tc.waits, int64(i)*int64(200*time.Millisecond)+1)
			}
			if got != tc.want {
				t.Errorf("grace %d, want %d", got, tc.want)
			}
		})
	}
}

// TestRepairsWhereNothingIsNarrow: what is sent again over a way whose end is not known is bounded by what a viewer is given there, and over a wide one by what that
// carries.
func TestRepairsWhereNothingIsNarrow(t *testing.T) {
	const packet, asked = 1200, 10_000
	for name, tc := range map[string]struct{ estimate, carries int }{
		"its end is not known": {650_000, openingBudget},
		"it is wide":           {40_000_000, 40_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			c := pacer{pace: bandwidth.Pacing{Estimate: tc.estimate}}
			sent := 0
			for now := int64(1); now <= int64(time.Second); now += int64(time.Second) / asked { // 96 Mbit/s
				if c.mayRepair(packet, now) {
					sent += packet
				}
			}
			share := repairShare * float64(tc.carries) / 8
			if most := share * (1 + repairBurst/1e9); float64(sent) > most+packet || float64(sent) < share {
				t.Errorf("%d bytes in a second, want %.0f to %.0f", sent, share, most)
			}
		})
	}
}
