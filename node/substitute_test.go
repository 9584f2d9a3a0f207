package node

import (
	"slices"
	"testing"
	"time"
)

const top = 1 << 2 // the best of three layers, as a bit

// see reads a viewer's packets until something is so, and returns the longest time without any.
func (c *client) see(what string, ok func() bool) (gap time.Duration) {
	c.t.Helper()
	before, limit := time.Now(), time.After(15*time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.media:
			now := time.Now()
			gap, before = max(gap, now.Sub(before)), now
		case <-tick.C:
			if ok() {
				return max(gap, time.Since(before))
			}
		case <-limit:
			c.t.Fatalf("never: %s", what)
		}
	}
}

// shows reports whether a viewer's slot shows a layer.
func (c *client) shows(rid string) func() bool {
	return func() bool { return c.peer.Slots()[0].Layer == rid }
}

// toldOf reports whether a publisher was last told to send just these layers of its camera.
func (c *client) toldOf(camera Track, rids ...string) func() bool {
	return func() bool {
		c.events.mu.Lock()
		defer c.events.mu.Unlock()
		return slices.Equal(c.events.wanted[camera.ID], rids)
	}
}

// TestNextBestLayer: who wants a layer that is not sent gets the next one that is, over any number of links; when the layer
// comes the picture changes over to it, and the other stops.
func TestNextBestLayer(t *testing.T) {
	for name, viewer := range map[string]string{"one link": "us-1", "two links": "us-2"} {
		t.Run(name, func(t *testing.T) {
			w := regions(t, 10*time.Millisecond, "eu-1", "us-1", "us-2")
			alice := join(t, w.nodes["eu-1"], "pt_alice")
			alice.paused.Store(top)
			start := alice.simulcast()
			alice.connect()
			start()
			camera := alice.peer.Tracks()[0]
			bob := w.view(viewer, "pt_bob", camera, "eu-1")
			across := func() *outlet { return w.nodes["eu-1"].relay("us-1").outlet(feedKey{camera.ID, "eu-1"}) }

			bob.see("the middle layer", bob.shows("h"))
			bob.see("the publisher is told of both", alice.toldOf(camera, "h", "f"))
			if sends := across().sends.Load(); sends != 0b110 {
				t.Errorf("sends %03b", sends)
			}
			for range 2 {
				alice.paused.Store(0)
				if gap := bob.see("the top layer", bob.shows("f")); gap > 300*time.Millisecond {
					t.Errorf("nothing came for %v while the picture changed over to the top layer", gap)
				}
				began := time.Now()
				if gap := bob.see("the middle layer stops", func() bool { return across().sends.Load() == top }); gap > 300*time.Millisecond {
					t.Errorf("nothing came for %v when the middle layer stopped", gap)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("the middle layer stopped after %v", took)
				} else {
					t.Logf("the middle layer stopped after %v", took)
				}
				bob.see("the publisher is told", alice.toldOf(camera, "f"))
				crossed := across().packets(1)
				bob.drain(100 * time.Millisecond)
				if more := across().packets(1) - crossed; more != 0 {
					t.Errorf("%d more packets of the middle layer", more)
				}
				alice.paused.Store(top)
				if gap := bob.see("the middle layer again", bob.shows("h")); gap > 3*time.Second {
					t.Errorf("nothing came for %v when the top layer had stopped", gap)
				} else {
					t.Logf("the middle layer was back after %v", gap)
				}
			}
		})
	}
}

// TestNextBestLayerAfterLong: a layer that comes in place of another after it was off for long comes under SSRCs that both
// ends know nothing of yet.
func TestNextBestLayerAfterLong(t *testing.T) {
	w := regions(t, 0, "eu-1", "us-1")
	alice := join(t, w.nodes["eu-1"], "pt_alice")
	alice.paused.Store(top)
	start := alice.simulcast()
	alice.connect()
	start()
	camera := alice.peer.Tracks()[0]
	bob := w.view("us-1", "pt_bob", camera, "eu-1")
	bob.see("the middle layer", bob.shows("h"))
	alice.paused.Store(0)
	bob.see("the top layer", bob.shows("f"))
	out := w.nodes["eu-1"].relay("us-1").outlet(feedKey{camera.ID, "eu-1"})
	bob.see("the middle layer stops", func() bool { return out.sends.Load() == top })

	s, relay := out.streams[1], w.nodes["us-1"].relay("eu-1")
	relay.mu.Lock()
	p := relay.pulls[feedKey{camera.ID, "eu-1"}]
	relay.mu.Unlock()
	now := w.nodes["us-1"].endpoint.Now()
	ssrc := func() uint32 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.media.SSRC
	}
	old := ssrc()
	out.expire(1)
	if !s.stale(w.nodes["eu-1"].endpoint.Now()) {
		t.Error("an old stream may go on")
	}
	p.seen[1].Store(now - int64(renewAfter) - 1)
	bob.see("the layer has a new SSRC", func() bool { return ssrc() != old })
	alice.paused.Store(top)
	bob.see("the middle layer again", bob.shows("h"))
}

// expire has a layer go on under new SSRCs only, or where it is asked for: as if it had been sent long ago.
func (o *outlet) expire(rank int) {
	s := o.streams[rank]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started, s.latest = true, o.relay.node.endpoint.Now()-int64(staleFor)-1
}

// TestStaleLayers: which layers of a pull need new SSRCs.
func TestStaleLayers(t *testing.T) {
	const now = int64(time.Hour)
	for name, tc := range map[string]struct {
		asked, wanted uint8
		off           time.Duration // of the lowest layer; 0 if it never came
		stale         bool
	}{
		"comes":                           {1, 1, time.Minute, false},
		"never came":                      {2, 1, 0, false},
		"just given up":                   {2, 2, time.Second, false},
		"given up for long":               {2, 2, renewAfter + 1, true},
		"asked again soon enough":         {2, 3, staleFor - 1, false},
		"asked again after long":          {2, 3, staleFor + 1, true},
		"given up, after long of silence": {1, 2, staleFor + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &pull{}
			p.Layers = tc.asked
			if tc.off != 0 {
				p.seen[0].Store(now - int64(tc.off))
			}
			if got := len(p.stale(make([]*layer, 2), tc.wanted, now)) == 1; got != tc.stale {
				t.Errorf("stale: %v", got)
			}
		})
	}
}

// TestDueLayers: what another node is sent, of three layers, for what it asks and what comes.
func TestDueLayers(t *testing.T) {
	const now, long, short = int64(time.Hour), 10 * time.Second, 100 * time.Millisecond
	for name, tc := range map[string]struct {
		asked, live uint8
		since       time.Duration // it has been asked
		old         uint8         // layers whose SSRCs are too old to go on
		kept        uint8         // layers that were needed a moment ago
		sends       uint8
	}{
		"nothing asked":                      {0, 0b111, long, 0, 0b001, 0},
		"what is asked comes":                {0b100, 0b111, long, 0, 0, 0b100},
		"nothing comes":                      {0b100, 0, long, 0, 0, 0b100},
		"the next lower comes":               {0b100, 0b011, long, 0, 0, 0b110},
		"the lowest comes":                   {0b100, 0b001, long, 0, 0, 0b101},
		"lower ones first":                   {0b010, 0b101, long, 0, 0, 0b011},
		"a higher one comes":                 {0b001, 0b110, long, 0, 0, 0b011},
		"a higher one, just asked":           {0b001, 0b110, short, 0, 0, 0b001},
		"a lower one, just asked":            {0b100, 0b011, short, 0, 0, 0b110},
		"two asked, one comes":               {0b101, 0b011, long, 0, 0, 0b111},
		"two asked, one in place of another": {0b110, 0b010, long, 0, 0, 0b110},
		"its SSRC is too old":                {0b100, 0b010, long, 0b010, 0, 0b100},
		"it came a moment ago":               {0b100, 0b111, long, 0, 0b010, 0b110},
	} {
		t.Run(name, func(t *testing.T) {
			o := &outlet{track: &published{}}
			for rank := range maxLayers {
				l := &layer{track: o.track, rank: rank}
				s := &outletStream{started: true, latest: now}
				if tc.live&(1<<rank) != 0 {
					l.lastSeen.Store(now)
				}
				if tc.old&(1<<rank) != 0 {
					s.latest = now - int64(staleFor) - 1
				}
				if tc.kept&(1<<rank) != 0 {
					o.until[rank] = now + 1
				}
				o.track.layers, o.streams[rank], o.since[rank] = append(o.track.layers, l), s, now-int64(tc.since)
			}
			o.asked.Store(uint32(tc.asked))
			if got := o.dueLocked(now); got != tc.sends {
				t.Errorf("sends %03b, want %03b", got, tc.sends)
			}
		})
	}
}
