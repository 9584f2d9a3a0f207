package system_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// effort is how long and how often the lab does what it does.
type effort struct {
	kills     int           // of each kind of node
	outage    time.Duration // of all NATS servers
	partition time.Duration // of a region
	watch     time.Duration // of what goes over links
}

// howMuch is little in a run of all tests, and what was promised where LAB_FULL is set.
func howMuch() effort {
	if os.Getenv("LAB_FULL") != "" {
		return effort{kills: 20, outage: time.Minute, partition: time.Minute, watch: time.Minute}
	}
	return effort{kills: 1, outage: 5 * time.Second, partition: 5 * time.Second, watch: 10 * time.Second}
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
		figures.add(fmt.Sprintf("a hand raised in %s is seen everywhere after", p.node.Region.Name), took, 500*time.Millisecond, verdict(good))
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
