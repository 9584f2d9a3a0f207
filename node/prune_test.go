package node

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/internal/packet"
)

// gallery opens another one for a viewer of a replay on some node.
func (w *wan) gallery(id string, film *replay, track Track, width int) *gallery {
	w.t.Helper()
	c := join(w.t, w.nodes[id], "pt_"+id)
	c.slots(1)
	c.offerWith(unmeasured)
	w.nodes[id].AddRemote("mtg_1", track, "eu-1")
	g := &gallery{t: film.t, c: c, id: c.descriptorID(), plain: film.plain, frames: map[uint16]bool{}}
	g.place(track, width)
	return g
}

// premiere shows a recording on the first node, which viewers on two nodes of another region see, through a gateway or directly.
func premiere(t *testing.T, mime string, direct bool, change func(*replay)) (w *wan, film *replay, small, large *gallery, track Track) {
	t.Helper()
	w = regions(t, 10*time.Millisecond, "eu-1", "us-1", "us-2", "us-3")
	if direct {
		w.parents = func(_, _, origin string) []string { return []string{origin} }
	}
	alice := join(t, w.nodes["eu-1"], "pt_alice")
	name := map[string]string{webrtc.MimeTypeVP9: "vp9", webrtc.MimeTypeAV1: "av1"}[mime]
	film = &replay{reel: alice.publishIn(mime), pictures: readRecording(t, name+"-l3t3-key.packets"), seq: 65_000, frame: 65_000, picture: 32_700}
	change(film)
	alice.connect()
	track = alice.peer.Tracks()[0]
	film.film()
	return w, film, w.gallery("us-2", film, track, 240), w.gallery("us-3", film, track, 0), track
}

// rate is how many bit/s one node sends to another in a while.
func (w *wan) rate(from, to string, g *gallery) int64 {
	const during = time.Second
	r := w.nodes[from].relay(to)
	before, began := r.sent.Load(), time.Now()
	for time.Since(began) < during {
		g.watch(g.c.next())
	}
	return int64(float64(r.sent.Load()-before) * 8 / time.Since(began).Seconds())
}

// asked counts the packets that nodes have asked each other for again, and those of them that had been left out on purpose.
func (w *wan) asked() (packets, voids uint64) {
	for _, n := range w.nodes {
		for _, r := range n.relayList() {
			packets += r.in.requested.Load()
			voids += r.voids.Load()
		}
	}
	return packets, voids
}

// TestLinksCarryWantedSizes: of one stream with several sizes those cross a link that somebody behind it sees, through a gateway likewise. Nothing of what is left
// out is missed, all that viewers get can be decoded, and the publisher is told how many sizes anybody wants.
func TestLinksCarryWantedSizes(t *testing.T) {
	for _, tc := range []struct {
		mime  string
		plain bool
	}{{webrtc.MimeTypeVP9, false}, {webrtc.MimeTypeVP9, true}, {webrtc.MimeTypeAV1, false}} {
		t.Run(fmt.Sprintf("%s, plain %v", tc.mime, tc.plain), func(t *testing.T) {
			w, film, small, large, track := premiere(t, tc.mime, false, func(r *replay) { r.plain = tc.plain })
			small.shows("the smallest", upTo(0, 2))
			large.shows("the largest", upTo(2, 2))
			both := w.rate("eu-1", "us-1", large)
			leaf := w.rate("us-1", "us-2", small)
			asked := time.Now()
			large.place(track, 240)
			large.shows("the smallest as well", upTo(0, 2))
			film.events.until(t, "the publisher is told", func() bool { return film.events.spatial[track.ID] == 1 })
			t.Logf("the publisher knew %v after that was asked", time.Since(asked))
			eventually(t, "all that crosses is the smallest", func() bool {
				return w.nodes["us-1"].feedList()[0].sizes.Load() == 1
			})
			one := w.rate("eu-1", "us-1", large)
			t.Logf("kbit/s over the first link with both %d, with the smallest alone %d; over the second %d", both/1000, one/1000, leaf/1000)
			if bytes := w.nodes["us-1"].relay("us-2").way.Load().unnumbered.Load(); bytes > 20_000 {
				t.Errorf("%d bytes were not numbered: the link is not measured", bytes)
			}
			if one > both/2 || leaf > both/2 {
				t.Error("more than the smallest crosses")
			}
			large.place(track, 480)
			large.shows("the middle one", upTo(1, 2))
			film.events.until(t, "the publisher is told", func() bool { return film.events.spatial[track.ID] == 2 })
			large.place(track, 0)
			large.shows("the largest again", upTo(2, 2))
			film.events.until(t, "the publisher is told", func() bool { return film.events.spatial[track.ID] == 0 })
			small.shows("the smallest", upTo(0, 2))
			if packets, voids := w.asked(); packets > 0 || voids > 0 {
				t.Errorf("%d packets were asked for again, %d of which had been left out", packets, voids)
			}
			t.Logf("%d keyframes were asked for", film.asked.Load())
		})
	}
}

// TestLossyLinksCarryWantedSizes: where links lose one packet in twenty, what is left out is told by the packets behind it: what is asked for again had been sent, and
// viewers get all of their pictures.
func TestLossyLinksCarryWantedSizes(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprint("plain ", plain), func(t *testing.T) {
			w, _, small, large, _ := premiere(t, webrtc.MimeTypeVP9, true, func(r *replay) { r.plain = plain })
			small.shows("the smallest", upTo(0, 2))
			large.shows("the largest", upTo(2, 2))
			w.lose(50)
			for _, g := range []*gallery{large, small} {
				g.watchUnordered(4 * time.Second)
			}
			packets, voids := w.asked()
			t.Logf("%d packets were asked for again, %d of which had been left out", packets, voids)
			if packets < 20 || voids > packets/20 { // three packets in a row may be lost
				t.Error("what was left out is asked for")
			}
		})
	}
}

// watchUnordered takes what comes for a while and then watches it in order. Of what came last something may be on its way.
func (g *gallery) watchUnordered(during time.Duration) {
	g.t.Helper()
	came, first := map[int]*rtp.Packet{}, g.last.SequenceNumber
	for began := time.Now(); time.Since(began) < during; {
		p := g.c.next()
		if n := packet.SeqDiff(p.SequenceNumber, first); came[n] == nil || len(came[n].Payload) == 0 {
			came[n] = p
		}
	}
	numbers := make([]int, 0, len(came))
	for n := range came {
		if n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	numbers = numbers[:len(numbers)*3/4]
	filled, last := 0, 0
	for _, n := range numbers {
		if n != last+1 {
			const givenUp = videoRate / 4 // nobody needs what is missing in front of a keyframe
			ahead := n
			for p := came[ahead]; p == nil || !g.begins(p); p = came[ahead] {
				if ahead++; ahead > n+200 {
					break
				}
			}
			if p := came[ahead]; p == nil || packet.TimestampDiff(p.Timestamp, came[n].Timestamp) > givenUp {
				g.t.Errorf("%d behind %d", n, last)
			}
			g.last = nil
		}
		last = n
		if p := came[n]; len(p.Payload) > 0 {
			if g.last != nil {
				g.last.SequenceNumber = p.SequenceNumber - 1
			}
			g.watch(p)
		} else {
			filled++
		}
	}
	g.t.Logf("%d packets, %d of which were of nothing", len(numbers), filled)
}

// begins reports whether a packet is the first of a keyframe.
func (g *gallery) begins(p *rtp.Packet) bool {
	if g.plain {
		d, err := packet.ParseVP9(p.Payload)
		return err == nil && d.Start && d.Keyframe()
	}
	return len(p.GetExtension(g.id)) > 16
}

// TestNarrowLinkCarriesASmallerSize: a link that is too narrow for the largest size carries a smaller one rather than nothing, and all again when it is wide.
func TestNarrowLinkCarriesASmallerSize(t *testing.T) {
	w, film, small, large, _ := premiere(t, webrtc.MimeTypeVP9, true, func(r *replay) { r.plain = true })
	small.shows("the smallest", upTo(0, 2))
	large.shows("the largest", upTo(2, 2))
	shows := func(what string, ok func(spatial uint8) bool) {
		t.Helper()
		in, began := 0, time.Now()
		for in < 400 {
			p := large.c.next()
			if d, err := packet.ParseVP9(p.Payload); err == nil && d.SID > 0 {
				if in++; !ok(d.SID) {
					in = 0
				}
			}
			if time.Since(began) > 20*time.Second {
				t.Fatalf("never: %s", what)
			}
		}
		t.Logf("%s after %v, with %d keyframes", what, time.Since(began), film.asked.Load())
	}
	w.narrow("eu-1", "us-3", 1_400_000)
	shows("the middle one", func(spatial uint8) bool { return spatial == 1 })
	w.narrow("eu-1", "us-3", 0)
	above := 0
	shows("the largest again", func(spatial uint8) bool { above += int(spatial) / 2; return above > 0 })
}

// TestSizesThatAreSpared: of sizes that nobody is sent because nobody wants them it is known that there are some. Those that a publisher leaves out by itself are gone.
func TestSizesThatAreSpared(t *testing.T) {
	l := &layer{track: &published{}}
	l.track.layers = []*layer{l}
	picture := func(sizes uint8, at time.Duration) {
		p := &packet.Packet{Keyframe: true, StartOfFrame: true, Arrival: int64(at)}
		p.VP9 = packet.VP9{HasLayers: true, Spatial: sizes}
		for i := range sizes {
			p.VP9.Sizes[i] = packet.Size{Width: 240 << i, Height: 135 << i}
		}
		l.carried = packet.AllSizes
		l.outline(p)
		l.weigh(p)
		l.measure(p)
	}
	for _, step := range []struct {
		at     time.Duration
		spared bool
		sent   uint8
		steps  int
	}{
		{0, false, 3, 3},
		{1, true, 1, 3},
		{2, true, 2, 3},
		{3, false, 3, 3},
		{4, false, 2, 3},             // it has only just been asked for the largest again
		{3 + answerFor, false, 2, 2}, // and does not send it
		{4 + answerFor, true, 1, 2},
	} {
		l.track.spare(step.spared, int64(step.at))
		if picture(step.sent, step.at); l.track.steps() != step.steps {
			t.Errorf("%+v: %d", step, l.track.steps())
		}
	}
	if w, _ := l.track.dimensions(1); w != 480 || !l.track.fills(0, 240, 0) || l.track.fills(0, 480, 0) {
		t.Errorf("a size that is not sent is %d pixels wide", w)
	}
}
