package system_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/wire"
)

// twoInEach brings somebody with camera and microphone and somebody who watches to the first node of each region.
func twoInEach(tb testing.TB, w *lab.World, meeting string) []*person {
	tb.Helper()
	var people []*person
	for _, r := range w.Regions {
		people = append(people, attend(tb, r.Nodes[0], meeting, r.Name+" speaker", true), attend(tb, r.Nodes[0], meeting, r.Name+" viewer", false))
	}
	awaitRoster(tb, 10*time.Second, people)
	awaitMedia(tb, 20*time.Second, people...)
	return people
}

// watchFor lets so much time pass while it checks that all nodes live.
func watchFor(tb testing.TB, d time.Duration, nodes []*lab.Node) {
	tb.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		for _, n := range nodes {
			if status, err := n.TryCall(tb, http.MethodGet, "/livez", nil, nil); err != nil || status != http.StatusOK {
				tb.Fatalf("%s: /livez = %d, %v", n.ID, status, err)
			}
		}
	}
}

// All NATS servers are away for a while. Media goes on as if nothing had happened, people of one node still see each
// other's hands and mutes, no node is taken for dead, and when NATS is back everybody knows what happened meanwhile.
func TestLabNatsOutage(t *testing.T) {
	const mediaGap, local = 300 * time.Millisecond, 500 * time.Millisecond
	back := howMuch().mend
	w := lab.StartWorld(t, lab.Overseas(), 1, "eu", "us", "ap")
	people := twoInEach(t, w, w.NewMeeting(t, "Without NATS").ID)
	speaker, neighbour := people[0], people[1]
	all := flows(people, nil)
	figures := newTable(t, "what", "measured", "bound", "")
	hold := func(what string, got, bound time.Duration) {
		t.Helper()
		figures.add(what, got, bound, verdict(got < bound))
		if got >= bound {
			t.Errorf("%s: %s, want less than %s", what, got, bound)
		}
	}

	mark(people)
	watchFor(t, 3*time.Second, w.Nodes())
	gaps, worst := longest(all)
	figures.add(fmt.Sprintf("longest silence before: p50, p95, worst (%s)", worst), fmt.Sprint(percentile(gaps, 50), percentile(gaps, 95), worst.now().longest), "", "")

	mark(people)
	w.KillNATS(t)
	figures.add("NATS is away for", howMuch().outage, "", "")
	watchFor(t, howMuch().outage/2, w.Nodes())
	hold("a hand is seen by people of the same node after", raise(t, 5*time.Second, true, speaker, neighbour), local)
	muted := true
	start := time.Now()
	if err := speaker.Presence(t.Context(), wire.PresenceUpdate{AudioMuted: &muted}); err != nil {
		t.Fatal(err)
	}
	lab.Until(t, 5*time.Second, "the mute is seen", func() bool { return seenBy(neighbour, speaker).AudioMuted })
	hold("a mute is seen by people of the same node after", time.Since(start), local)
	muted = false
	if err := speaker.Presence(t.Context(), wire.PresenceUpdate{AudioMuted: &muted}); err != nil {
		t.Fatal(err)
	}
	watchFor(t, howMuch().outage/2, w.Nodes())
	gaps, worst = longest(all)
	hold("longest silence, p50", percentile(gaps, 50), mediaGap)
	hold(fmt.Sprintf("longest silence of all: %s", worst), worst.now().longest, mediaGap)

	for _, r := range w.Regions {
		r.NATS.Start(t)
	}
	for _, r := range w.Regions {
		lab.Until(t, 20*time.Second, "NATS answers", func() bool { return r.NATS.Answering(t) })
	}
	answered := time.Now()
	raised := true
	if err := people[4].Presence(t.Context(), wire.PresenceUpdate{HandRaised: &raised}); err != nil {
		t.Fatal(err)
	}
	for m := range together(back,
		milestone{what: "it is one cluster", is: func() bool { return w.NATSJoined(t) }},
		milestone{what: "all nodes are connected", is: func() bool { return busConnected(t, w.Nodes()) }},
		milestone{what: "a hand raised meanwhile is seen everywhere", is: func() bool { return handsAgree(people, speaker) }},
		milestone{what: "a hand raised just now is seen everywhere", is: func() bool { return handsAgree(people, people[4]) }},
		milestone{what: "the rosters agree", is: func() bool { return rosterAgrees(people) }},
	) {
		hold("NATS answers → "+m.what, m.at.Sub(answered), back)
	}
	for _, r := range w.Regions {
		r.NATS.AwaitHealthy(t)
	}
	figures.add("NATS answers → JetStream has its leaders", time.Since(answered), "", "")
	figures.add("the lab's WAN itself was late by at most", w.WAN.Late(), "", "")
	_, worst = longest(all)
	hold(fmt.Sprintf("longest silence until here: %s", worst), worst.now().longest, mediaGap)
}

// Links that die while NATS is away are made again without it.
func TestLabLinksWithoutNats(t *testing.T) {
	const cut, bound, limit = 2 * time.Second, 2 * time.Second, 15 * time.Second
	w := lab.StartWorld(t, lab.Overseas(), 1, "eu", "us", "ap")
	people := twoInEach(t, w, w.NewMeeting(t, "Cut without NATS").ID)
	ap := w.Regions[2]
	across := flows(people, func(a, b *person) bool { return (a.node.Region == ap) != (b.node.Region == ap) })
	figures := newTable(t, "what", "measured", "bound", "")
	w.KillNATS(t)
	watchFor(t, time.Second, w.Nodes())
	w.WAN.Partition(ap)
	figures.add("NATS is away, and ap is cut off for", cut, "", "")
	watchFor(t, cut, w.Nodes())
	mark(people)
	healed := time.Now()
	w.WAN.Heal(ap)
	for m := range together(limit,
		milestone{what: "the first media comes across", is: func() bool { return someFlow(across) }},
		milestone{what: "all media comes across", is: func() bool { return allFlow(across) }},
	) {
		took := m.at.Sub(healed)
		figures.add("healed, NATS still away → "+m.what, took, bound, verdict(took < bound))
		if took >= bound {
			t.Errorf("%s after %s, want less than %s", m.what, took, bound)
		}
	}
}

// seenBy is what one person knows of another.
func seenBy(watcher, who *person) wire.Participant {
	for _, p := range watcher.Participants() {
		if p.ID == who.Self().ID {
			return p
		}
	}
	return wire.Participant{}
}

func busConnected(tb testing.TB, nodes []*lab.Node) bool {
	for _, n := range nodes {
		if n.Metrics(tb)["parley_bus_connected"] != 1 {
			return false
		}
	}
	return true
}
