package system_test

import (
	"fmt"
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
	nodes[0].Stop(t)
}
