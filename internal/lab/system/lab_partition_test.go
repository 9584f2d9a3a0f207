package system_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// A region is cut off for a while. Each side goes on alone, and becomes one room again when the cut heals.
func TestLabPartition(t *testing.T) {
	const mediaGap = 400 * time.Millisecond
	back := howMuch().mend
	w := lab.StartWorld(t, lab.Overseas(), 1, "eu", "us", "ap")
	people := twoInEach(t, w, w.NewMeeting(t, "Cut in two").ID)
	ap := w.Regions[2]
	sameSide := func(a, b *person) bool { return (a.node.Region == ap) == (b.node.Region == ap) }
	inside := flows(people, sameSide)
	across := flows(people, func(a, b *person) bool { return !sameSide(a, b) })
	figures := newTable(t, "what", "measured", "bound", "")
	hold := func(what string, got, bound time.Duration) {
		t.Helper()
		figures.add(what, got, bound, verdict(got < bound))
		if got >= bound {
			t.Errorf("%s: %s, want less than %s", what, got, bound)
		}
	}

	mark(people)
	w.WAN.Partition(ap)
	figures.add("ap is cut off for", howMuch().partition, "", "")
	watchFor(t, howMuch().partition/2, w.Nodes())
	hold("meanwhile: a hand in eu is seen in us after", raise(t, back, true, people[0], people[1:4]...), back)
	hold("meanwhile: a hand in ap is seen in ap after", raise(t, back, true, people[4], people[5]), back)
	watchFor(t, howMuch().partition/2, w.Nodes())
	gaps, worst := longest(inside)
	hold("longest silence inside a side, p50", percentile(gaps, 50), mediaGap)
	hold(fmt.Sprintf("longest silence inside a side: %s", worst), worst.now().longest, mediaGap)
	figures.add("people that eu knows, and ap", fmt.Sprint(len(people[0].Participants()), len(people[4].Participants())), "", "")
	figures.add("nodes that eu-1 knows, and ap-1", fmt.Sprint(w.Regions[0].Nodes[0].Known(t), ap.Nodes[0].Known(t)), "", "")

	mark(people)
	healed := time.Now()
	w.WAN.Heal(ap)
	// NATS servers try each other every two seconds, so people and media must not wait for them.
	const natsBack = 4 * time.Second
	nats := together(natsBack, milestone{what: "NATS is one cluster", is: func() bool { return w.NATSJoined(t) }})
	for m := range together(back,
		milestone{what: "the nodes know each other", is: func() bool { return acquainted(t, w.Nodes()) }},
		milestone{what: "the rosters agree", is: func() bool { return rosterAgrees(people) }},
		milestone{what: "hands raised meanwhile are seen everywhere", is: func() bool { return handsAgree(people, people[0], people[4]) }},
		milestone{what: "the first media comes across", is: func() bool { return someFlow(across) }},
		milestone{what: "all media comes across", is: func() bool { return allFlow(across) }},
	) {
		hold("healed → "+m.what, m.at.Sub(healed), back)
	}
	for m := range nats {
		hold("healed → "+m.what, m.at.Sub(healed), natsBack)
	}
	figures.add("the lab's WAN itself was late by at most", w.WAN.Late(), "", "")
	_, worst = longest(inside)
	figures.add("longest silence inside a side since: "+worst.String(), worst.now().longest, "", "")
}

func acquainted(tb testing.TB, nodes []*lab.Node) bool {
	for _, n := range nodes {
		if len(n.Known(tb)) != len(nodes) {
			return false
		}
	}
	return true
}

func handsAgree(people []*person, raised ...*person) bool {
	for _, p := range people {
		for _, who := range raised {
			if !seenBy(p, who).HandRaised {
				return false
			}
		}
	}
	return true
}

func someFlow(of []flow) bool {
	for _, f := range of {
		if f.now().packets > 0 {
			return true
		}
	}
	return false
}

func allFlow(of []flow) bool {
	for _, f := range of {
		if f.now().packets == 0 {
			return false
		}
	}
	return true
}
