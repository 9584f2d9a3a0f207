package cascade

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// patience is that of Defaults.
const patience = 3

func TestPulse(t *testing.T) {
	always := func(a activity) func(int) activity { return func(int) activity { return a } }
	const second = 20 * beatTicks
	for name, tc := range map[string]struct {
		does func(tick int) activity
		says int // heartbeats in the tenth second
	}{
		"serves, but nothing comes":      {always(activity{serves: true, aware: true}), 20},
		"serves a stream":                {always(activity{serves: true, media: true, aware: true}), 0},
		"sends without serving":          {always(activity{media: true, aware: true}), 0},
		"rests":                          {always(activity{aware: true}), 1},
		"rests, but asks all the time":   {always(activity{control: true, aware: true}), 0},
		"serves, and asks all the time":  {always(activity{serves: true, control: true, aware: true}), 20},
		"rests before an older node":     {always(activity{}), 20},
		"serves before an older node":    {always(activity{serves: true, media: true}), 0},
		"serves a packet every 200 ms":   {func(n int) activity { return activity{serves: true, media: n%8 == 0, aware: true} }, 20},
		"served until half a second ago": {func(n int) activity { return activity{serves: n < 9*second-second/2, aware: true} }, 20},
		"served until three seconds ago": {func(n int) activity { return activity{serves: n < 6*second, aware: true} }, 1},
		"rests, and reports each second": {func(n int) activity { return activity{control: n%second == 0, aware: true} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var p pulse
			says, own := 0, false
			for n := range 10 * second {
				a := tc.does(n)
				a.control = a.control || own
				_, own = p.tick(a)
				if own && n >= 9*second {
					says++
				}
			}
			if says != tc.says {
				t.Errorf("%d heartbeats in a second, want %d", says, tc.says)
			}
		})
	}
}

// TestPulseChanges: a change is said at once; who rests says so for long enough before it is heard less often.
func TestPulseChanges(t *testing.T) {
	var p pulse
	rest := func(ticks int) (said []promise) {
		for range ticks {
			if now, say := p.tick(activity{aware: true}); say {
				said = append(said, now)
			}
		}
		return said
	}
	rest(lingerTicks)
	said := rest(farewellTicks)
	for _, s := range said {
		if s != resting {
			t.Errorf("says %d", s)
		}
	}
	if len(said) < farewellTicks/beatTicks {
		t.Errorf("says %d times that it rests", len(said))
	}
	rest(restSlower*beatTicks + 3)
	if now, say := p.tick(activity{serves: true, aware: true}); now != serving || !say {
		t.Errorf("says %d %v when it begins to serve", now, say)
	}
	if said := rest(lingerTicks); len(said) != lingerTicks/beatTicks || said[0] != serving {
		t.Errorf("says %d after it", said)
	}
}

// TestHearing: how long an end waits for signs of life, in ticks.
func TestHearing(t *testing.T) {
	for name, tc := range map[string]struct {
		hears func(h *hearing)
		ticks int // after which the other end is dead
	}{
		"nothing ever":        {func(*hearing) {}, patience * beatTicks},
		"an older node":       {func(h *hearing) { h.beat(unaware) }, patience * beatTicks},
		"who serves":          {func(h *hearing) { h.beat(serving) }, patience * beatTicks},
		"who rests":           {func(h *hearing) { h.beat(resting) }, patience * beatTicks * restSlower},
		"who rests, and asks": {func(h *hearing) { h.beat(resting); h.life() }, patience * beatTicks * restSlower},
		"media after a rest":  {func(h *hearing) { h.beat(resting); h.media() }, patience * beatTicks},
		"served, now rests":   {func(h *hearing) { h.media(); h.beat(resting) }, patience * beatTicks * restSlower},
	} {
		t.Run(name, func(t *testing.T) {
			var h hearing
			tc.hears(&h)
			ticks := 0
			if h.lively.Load() {
				h.tick(patience, false) // that of the sign of life itself
			}
			for dead := false; !dead; ticks++ {
				dead = h.tick(patience, false)
			}
			if ticks != tc.ticks {
				t.Errorf("dead after %d ticks, want %d", ticks, tc.ticks)
			}
		})
	}
}

// TestHearingPatience: who was heard late is waited for longer for a while, up to three times as long; this end's own delay counts for two seconds.
func TestHearingPatience(t *testing.T) {
	dies := func(h *hearing, behind bool) (ticks int) {
		for dead := false; !dead; ticks++ {
			dead = h.tick(patience, behind)
		}
		return ticks
	}
	late := func(ticks int) *hearing {
		h := &hearing{}
		for range ticks - 1 {
			h.tick(patience, false)
		}
		h.beat(serving)
		h.tick(patience, false)
		return h
	}
	if got := dies(late(4), false); got != patience*beatTicks {
		t.Errorf("one lost heartbeat: dead after %d ticks, want %d", got, patience*beatTicks)
	}
	shaken := late(5)
	shaken.longest = 10
	if got := dies(shaken, false); got != 15 {
		t.Errorf("after a silence of 10 ticks: dead after %d, want 15", got)
	}
	shaken = late(5)
	shaken.longest = 1000
	if got := dies(shaken, false); got != mostPatient*patience*beatTicks {
		t.Errorf("after endless silences: dead after %d ticks, want %d", got, mostPatient*patience*beatTicks)
	}
	shaken = late(5)
	shaken.longest = 10
	for range 10 * forgetTicks {
		shaken.beat(serving)
		shaken.tick(patience, false)
	}
	if got := dies(shaken, false); got != patience*beatTicks {
		t.Errorf("calm for long: dead after %d ticks, want %d", got, patience*beatTicks)
	}
	if got, want := dies(late(4), true), heldTicks+patience*beatTicks-1; got != want {
		t.Errorf("behind for ever: dead after %d ticks, want %d", got, want)
	}
}

// lossy is a one-way link in ticks: it delays what is sent by less than a heartbeat more or less, and loses no two in a row.
type lossy struct {
	t    *rapid.T
	to   *hearing
	now  int
	way  []parcel
	lost bool
	came bool // anything
}

type parcel struct {
	at   int
	hear func(*hearing)
}

const mostDelay = 8

func (l *lossy) send(hear func(*hearing)) {
	if l.lost = !l.lost && rapid.IntRange(0, 3).Draw(l.t, "lost") == 0; !l.lost {
		l.way = append(l.way, parcel{l.now + rapid.IntRange(mostDelay-1, mostDelay).Draw(l.t, "delay"), hear})
	}
}

// tick brings what is due, and reports whether the other end takes this one for dead.
func (l *lossy) tick() (dead bool) {
	l.now++
	l.way = slices.DeleteFunc(l.way, func(p parcel) bool {
		if p.at > l.now {
			return false
		}
		p.hear(l.to)
		l.came = true
		return true
	})
	return l.came && l.to.tick(patience, false)
}

// TestPulseOnALossyLink: whatever an end does, the other never takes it for dead; and when it is dead, that is found as soon
// as its promise says.
func TestPulseOnALossyLink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var own pulse
		link := &lossy{t: t, to: &hearing{}}
		said, served := false, 0 // a heartbeat in the last tick; ticks of service
		for range rapid.IntRange(1, 12).Draw(t, "phases") {
			does := activity{serves: rapid.Bool().Draw(t, "serves"), control: rapid.Bool().Draw(t, "asks"), aware: true}
			every := rapid.IntRange(1, 4).Draw(t, "packets")
			for range rapid.IntRange(1, 3*lingerTicks).Draw(t, "ticks") {
				a := does
				a.control = a.control || said
				if a.media = a.serves && link.now%every == 0; a.media {
					link.send((*hearing).media)
				}
				if a.control && !said {
					link.send((*hearing).life)
				}
				var now promise
				if now, said = own.tick(a); said {
					link.send(func(h *hearing) { h.beat(now) })
				}
				if served++; !a.serves {
					served = 0
				}
				if link.tick() {
					t.Fatalf("taken for dead in tick %d", link.now)
				}
			}
		}
		limit := patience*beatTicks + mostDelay
		if served < 3*beatTicks {
			limit = patience*beatTicks*restSlower + mostDelay
		}
		for silent := 1; len(link.way) > 0 || link.came; silent++ {
			if link.tick() {
				return
			}
			if silent > limit {
				t.Fatalf("not found dead after %d ticks", silent)
			}
		}
	})
}

func TestBeats(t *testing.T) {
	for _, p := range []promise{unaware, serving, resting} {
		if got, ok := readBeat(p.beat()); !ok || got != p {
			t.Errorf("%d is read as %d, %v", p, got, ok)
		}
	}
	older := []byte{0x80, 201, 0, 1, 0, 0, 0, 2} // of a node that knows no promises
	if p, ok := readBeat(older); !ok || p != unaware {
		t.Errorf("an older heartbeat is read as %d, %v", p, ok)
	}
}

// FuzzBeat: only heartbeats are taken for any.
func FuzzBeat(f *testing.F) {
	f.Add(serving.beat())
	f.Add([]byte{0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := readBeat(b); ok != (bytes.Equal(b, unaware.beat()) || bytes.Equal(b, serving.beat()) || bytes.Equal(b, resting.beat())) {
			t.Errorf("%x is read as %d, %v", b, p, ok)
		}
	})
}
