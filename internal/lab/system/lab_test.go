package system_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/wire"
)

// effort is how long and how often the lab does what it does.
type effort struct {
	kills     int           // of each kind of node
	moves     int           // of a client between networks, for each time without one
	away      time.Duration // that a client has no network
	outage    time.Duration // of all NATS servers
	partition time.Duration // of a region
	watch     time.Duration // of what goes over links
	mend      time.Duration // for all to be well after an outage or a cut; more where other tests may be at work
	hop       time.Duration // that a node may add to 99 of 100 packets; more where other tests may be at work
}

// howMuch is little in a run of all tests, and what was promised where LAB_FULL is set.
func howMuch() effort {
	if os.Getenv("LAB_FULL") != "" {
		return effort{kills: 20, moves: 20, away: time.Minute, outage: time.Minute, partition: time.Minute, watch: time.Minute, mend: 2 * time.Second, hop: time.Millisecond}
	}
	return effort{kills: 1, moves: 2, away: 10 * time.Second, outage: 5 * time.Second, partition: 5 * time.Second, watch: 20 * time.Second, mend: 15 * time.Second, hop: 20 * time.Millisecond}
}

// Three people in three regions are in one meeting, each through the node of their region, 80 ms from the others; a browser
// joins them.
func TestLabRegionsAreOneRoom(t *testing.T) {
	const handBound, browserBound = 500 * time.Millisecond, 30 * time.Second
	w := lab.StartWorld(t, lab.Overseas(), 1, "eu", "us", "ap")
	figures := newTable(t, "what", "measured", "bound", "")
	meeting := w.NewMeeting(t, "One room")
	var people []*person
	for i, n := range w.Nodes() {
		people = append(people, attend(t, n, meeting.ID, fmt.Sprint("Person ", i+1), true))
	}
	awaitRoster(t, 10*time.Second, people)
	figures.add("everybody sees and hears everybody after", awaitMedia(t, 20*time.Second, people...), "", "")
	for _, p := range people { // people of one region only meet its own node: distance adds nothing to a join
		m := p.Timings()
		figures.add(p.node.Region.Name+": POST …/join, WebSocket, offer → answer, ICE, DTLS", fmt.Sprint(ms(m.Join), ms(m.WebSocket), ms(m.OfferAnswer), ms(m.ICE), ms(m.DTLS)), "", "")
	}
	for _, p := range people {
		took := raise(t, 5*time.Second, true, p, people...)
		figures.add(fmt.Sprintf("a hand raised in %s is seen everywhere after", p.node.Region.Name), took, handBound, verdict(took < handBound))
		if took >= handBound {
			t.Errorf("a hand took %s to be seen", took)
		}
		if got := p.watch.of(p.Self().ID, "audio").packets + p.watch.of(p.Self().ID, "video").packets; got != 0 {
			t.Errorf("%s received %d packets of their own", p.name, got)
		}
	}

	muted := true // three microphones are forwarded, and the browser's is one of them then
	if err := people[2].Presence(t.Context(), wire.PresenceUpdate{AudioMuted: &muted}); err != nil {
		t.Fatal(err)
	}
	ap := w.Regions[2]
	var known []string
	for _, p := range people {
		known = append(known, p.Self().ID)
	}
	start := time.Now()
	reached := together(browserBound,
		milestone{what: "all others hear it", is: func() bool { return reachedBy(people, known, "audio") == len(people) }},
		milestone{what: "all others see it", is: func() bool { return reachedBy(people, known, "video") == len(people) }},
	)
	lab.Browse(t, ap.Nodes[0], "guest.test.mjs", ap.Namespace, time.Minute,
		"LAB_JOIN_URL="+ap.Nodes[0].URL+"/m/"+meeting.ID, fmt.Sprint("LAB_OTHERS=", len(people)), fmt.Sprint("LAB_VOICES=", len(people)-1))
	for m := range reached {
		figures.add("a browser in ap: from its start until "+m.what, m.at.Sub(start), browserBound, verdict(m.reached))
		if !m.reached {
			t.Errorf("not within %s: %s", browserBound, m.what)
		}
	}
	for _, n := range w.Nodes() {
		n.Stop(t)
	}
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// reachedBy counts the people that have got some media of somebody who is none of those known, and may be gone again.
func reachedBy(people []*person, known []string, kind string) (count int) {
	for _, p := range people {
		if p.watch.hasOther(known, kind) {
			count++
		}
	}
	return count
}
