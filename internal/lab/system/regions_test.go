package system_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// ear counts what a client received of each participant, by kind of media.
type ear struct {
	mu    sync.Mutex
	count map[string]int
}

func (h *ear) packet(p client.Packet) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count[p.Slot.ParticipantID+" "+p.Slot.Kind]++
}

func (h *ear) of(c *client.Client, kind string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count[c.Self().ID+" "+kind]
}

// Three people join one meeting through three nodes in three regions: each sees and hears the other two, and a hand that
// is raised in one region is seen in the others.
func TestRegionsAreOneRoom(t *testing.T) {
	nodes := lab.StartRegions(t, 3)
	meeting := nodes[0].NewMeeting(t, "Three regions", nil)
	people := make([]*client.Client, len(nodes))
	ears := make([]*ear, len(nodes))
	for i, n := range nodes {
		ears[i] = &ear{count: map[string]int{}}
		people[i] = join(t, n, meeting.ID, client.JoinOptions{DisplayName: fmt.Sprint("Person ", i+1)}, client.Options{
			Publish:  []*client.Publication{camera(t), client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
			OnPacket: ears[i].packet,
		})
	}
	figures := newTable(t, "what", "measured", "bound", "")
	start := time.Now()
	for i, of := range ears {
		for k, other := range people {
			if k == i {
				continue
			}
			lab.Until(t, 20*time.Second, "sound and picture from another region", func() bool {
				return of.of(other, "audio") > 50 && of.of(other, "video") > 50
			})
		}
		if n := of.of(people[i], "audio") + of.of(people[i], "video"); n != 0 {
			t.Errorf("person %d received %d packets of their own", i+1, n)
		}
	}
	figures.add("everybody has 50 packets of each other's sound and picture", time.Since(start), "", "")

	up := true
	start = time.Now()
	if err := people[0].Presence(t.Context(), wire.PresenceUpdate{HandRaised: &up}); err != nil {
		t.Fatal(err)
	}
	for _, watcher := range people[1:] {
		lab.Until(t, 5*time.Second, "the hand is seen", func() bool {
			for _, p := range watcher.Participants() {
				if p.ID == people[0].Self().ID && p.HandRaised {
					return true
				}
			}
			return false
		})
	}
	took := time.Since(start)
	figures.add("a raised hand is seen in all regions", took, 500*time.Millisecond, verdict(took < 500*time.Millisecond))
	if took >= 500*time.Millisecond {
		t.Errorf("a hand took %s to be seen", took)
	}
	for i, n := range nodes {
		var carried struct {
			Rooms  []struct{} `json:"rooms"`
			Links  []struct{} `json:"links"`
			Silent []string   `json:"silent"`
		}
		n.Call(t, http.MethodGet, "/v1/cluster/rooms", nil, &carried)
		n.Call(t, http.MethodGet, "/v1/cluster/links", nil, &carried)
		if len(carried.Rooms) != 3 || len(carried.Links) != 6 || len(carried.Silent) != 0 {
			t.Errorf("node %d lists %d parts of rooms, %d ends of links, and %q as silent; want 3, 6 and none", i+1,
				len(carried.Rooms), len(carried.Links), carried.Silent)
		}
	}
	nodes[0].Stop(t)
}

// Three browsers join one meeting through three regions, and the operator's page shows it.
func TestRegionsInBrowsers(t *testing.T) {
	nodes := lab.StartRegions(t, 3)
	var doors []string
	for _, n := range nodes {
		doors = append(doors, n.URL)
	}
	lab.Browse(t, nodes[0], "regions.test.mjs", "", 3*time.Minute, "LAB_DOORS="+strings.Join(doors, " "))
}

// A node is killed. Who was on it comes back through another one of their candidates, as the same participant, with sound
// and picture both ways; who was not on it stays.
func TestRegionsOutliveANode(t *testing.T) {
	nodes := lab.StartCluster(t, 2)
	meeting := nodes[0].NewMeeting(t, "A node dies", nil)
	both := make([]*client.Client, 2)
	ears := make([]*ear, 2)
	for i, n := range nodes {
		ears[i] = &ear{count: map[string]int{}}
		both[i] = join(t, n, meeting.ID, client.JoinOptions{DisplayName: fmt.Sprint("Person ", i+1), Region: fmt.Sprint("region-", i+1)}, client.Options{
			Publish:  []*client.Publication{camera(t), client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
			OnPacket: ears[i].packet,
		})
	}
	meet := func(what string) {
		t.Helper()
		for i, of := range ears {
			before := [2]int{of.of(both[1-i], "audio"), of.of(both[1-i], "video")}
			lab.Until(t, 20*time.Second, what, func() bool {
				return of.of(both[1-i], "audio") > before[0]+10 && of.of(both[1-i], "video") > before[1]+10
			})
		}
	}
	meet("they see and hear each other through two nodes")
	id := both[1].Self().ID
	start := time.Now()
	nodes[1].Kill(t) // so that whatever comes from now on comes another way
	meet("they see and hear each other again")
	figures := newTable(t, "what", "measured")
	figures.add("from the kill to sound and picture both ways", time.Since(start))
	if both[1].Self().ID != id {
		t.Error("the participant came back as another")
	}
	if n := len(both[0].Participants()); n != 2 {
		t.Errorf("%d participants, want 2", n)
	}
}
