package system_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
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
	start := time.Now()
	seen := make(chan milestone, 1)
	go func() {
		seen <- milestone{is: func() bool { return allSeeTheNewcomer(people) }}.await(browserBound)
	}()
	ap := w.Regions[2]
	lab.Browse(t, ap.Nodes[0], "guest.test.mjs", ap.Namespace, time.Minute,
		"LAB_JOIN_URL="+ap.Nodes[0].URL+"/m/"+meeting.ID, fmt.Sprint("LAB_OTHERS=", len(people)), fmt.Sprint("LAB_VOICES=", len(people)-1))
	took := (<-seen).at.Sub(start)
	figures.add("a browser in ap, from its start until all others see and hear it", took, browserBound, verdict(took < browserBound))
	if took >= browserBound {
		t.Error("not everybody sees and hears the browser")
	}
	for _, n := range w.Nodes() {
		n.Stop(t)
	}
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// allSeeTheNewcomer says whether everybody gets sound and picture of somebody who is none of them.
func allSeeTheNewcomer(people []*person) bool {
	for _, p := range people {
		got := false
		for _, one := range p.Participants() {
			known := slices.ContainsFunc(people, func(q *person) bool { return q.Self().ID == one.ID })
			got = got || !known && p.watch.of(one.ID, "audio").packets > 10 && p.watch.of(one.ID, "video").packets > 10
		}
		if !got {
			return false
		}
	}
	return true
}
