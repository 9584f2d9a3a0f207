package system_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// effort is how long and how often the lab does what it does.
type effort struct {
	kills     int           // of each kind of node
	outage    time.Duration // of all NATS servers
	partition time.Duration // of a region
}

// howMuch is little in a run of all tests, and what was promised where LAB_FULL is set.
func howMuch() effort {
	if os.Getenv("LAB_FULL") != "" {
		return effort{kills: 20, outage: time.Minute, partition: time.Minute}
	}
	return effort{kills: 1, outage: 5 * time.Second, partition: 5 * time.Second}
}

// A person is a client in a region, and what it watches.
type person struct {
	*client.Client
	name   string
	region *lab.Region
	watch  *mediaWatch
}

// attend brings somebody who is in the region into the meeting through the node, with camera and microphone or as somebody
// who only watches.
func attend(tb testing.TB, n *lab.Node, meeting, name string, publishes bool) *person {
	tb.Helper()
	p := &person{name: name, region: n.Region, watch: newMediaWatch()}
	opts := client.Options{OnPacket: p.watch.packet, VideoSlots: 8, AudioSlots: 3}
	if publishes {
		opts.Publish = []*client.Publication{camera(tb), client.NewMicrophone(clip(tb, "tone.ogg").Loop(), nil)}
	}
	p.Client = n.Region.Join(tb, n, meeting, client.JoinOptions{DisplayName: name}, opts)
	go drain(p.Client)
	return p
}

// publishes says whether the person sends something.
func (p *person) publishes() bool {
	for _, track := range p.Tracks() {
		if track.ParticipantID == p.Self().ID {
			return true
		}
	}
	return false
}

// awaitMedia waits until everybody gets some more sound and picture of everybody who publishes.
func awaitMedia(tb testing.TB, limit time.Duration, everybody ...*person) time.Duration {
	tb.Helper()
	const enough = 10 // packets
	start := time.Now()
	for _, p := range everybody {
		p.watch.mark()
	}
	for _, p := range everybody {
		for _, other := range everybody {
			if other == p || !other.publishes() {
				continue
			}
			for _, kind := range []string{"audio", "video"} {
				lab.Until(tb, limit, fmt.Sprintf("%s of %s reaches %s", kind, other.name, p.name), func() bool {
					return p.watch.of(other.Self().ID, kind).packets >= enough
				})
			}
		}
	}
	return time.Since(start)
}

// rosterAgrees says whether everybody knows that everybody is there, and nobody else is.
func rosterAgrees(everybody []*person) bool {
	for _, p := range everybody {
		known := map[string]bool{}
		for _, one := range p.Participants() {
			known[one.ID] = true
		}
		for _, other := range everybody {
			if !known[other.Self().ID] {
				return false
			}
		}
		if len(known) != len(everybody) {
			return false
		}
	}
	return true
}

// raise raises or lowers a hand and returns how long it took until the others saw it, or fails.
func raise(tb testing.TB, limit time.Duration, up bool, who *person, others ...*person) time.Duration {
	tb.Helper()
	start := time.Now()
	if err := who.Presence(tb.Context(), wire.PresenceUpdate{HandRaised: &up}); err != nil {
		tb.Fatal(err)
	}
	for _, watcher := range others {
		lab.Until(tb, limit, fmt.Sprintf("%s sees the hand of %s", watcher.name, who.name), func() bool {
			for _, p := range watcher.Participants() {
				if p.ID == who.Self().ID {
					return p.HandRaised == up
				}
			}
			return false
		})
	}
	return time.Since(start)
}

// Three people in three regions are in one meeting, each through the node of their region, 80 ms from the others.
func TestLabRegionsAreOneRoom(t *testing.T) {
	w := lab.StartWorld(t, lab.Overseas(), 1, "eu", "us", "ap")
	figures := newTable(t, "what", "measured", "bound", "")
	meeting := w.Regions[0].Nodes[0].NewMeeting(t, "One room", nil)
	var people []*person
	for i, n := range w.Nodes() {
		people = append(people, attend(t, n, meeting.ID, fmt.Sprint("Person ", i+1), true))
	}
	lab.Until(t, 10*time.Second, "everybody knows everybody", func() bool { return rosterAgrees(people) })
	figures.add("everybody sees and hears everybody after", awaitMedia(t, 20*time.Second, people...), "", "")
	for i, p := range people {
		others := append(append([]*person{}, people[:i]...), people[i+1:]...)
		took := raise(t, 5*time.Second, true, p, others...)
		good := took < 500*time.Millisecond
		figures.add(fmt.Sprintf("a hand raised in %s is seen everywhere after", p.region.Name), took, 500*time.Millisecond, verdict(good))
		if !good {
			t.Errorf("a hand took %s to be seen", took)
		}
		if got := p.watch.of(p.Self().ID, "audio").packets + p.watch.of(p.Self().ID, "video").packets; got != 0 {
			t.Errorf("%s received %d packets of their own", p.name, got)
		}
	}
	for _, n := range w.Nodes() {
		n.Stop(t)
	}
}
