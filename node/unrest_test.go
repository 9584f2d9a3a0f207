package node

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestUnrest: nodes are cut off and come back, parents are changed and viewers come and go, all at once; in the end everybody
// sees the camera, and when all have gone nothing is left.
func TestUnrest(t *testing.T) {
	ids := []string{"eu-1", "us-1", "us-2", "us-3", "ap-1"}
	w := regions(t, 5*time.Millisecond, ids...)
	alice, people, camera := w.shown("eu-1", ids[1:]...)
	dice := rand.New(rand.NewPCG(1, 2))
	usual := w.parents
	for range 40 {
		id := ids[1+dice.IntN(len(ids)-1)]
		switch dice.IntN(5) {
		case 0:
			w.cut(id, true)
		case 1:
			w.cut(id, false)
		case 2:
			parents := []string{ids[dice.IntN(len(ids))], ids[dice.IntN(len(ids))]}
			w.mu.Lock()
			w.parents = func(self, room, origin string) []string {
				if self == id {
					return parents
				}
				return usual(self, room, origin)
			}
			w.mu.Unlock()
		case 3:
			w.steady(id)
		case 4:
			c := people[dice.IntN(len(people))]
			paused := dice.IntN(2) == 0
			if err := c.peer.Subscribe(Subscription{Auto: true, Slots: []SlotRequest{{MID: c.peer.Slots()[0].MID, Paused: paused}}}); err != nil {
				t.Fatal(err)
			}
		}
		people[0].drain(time.Duration(dice.IntN(60)) * time.Millisecond)
	}
	w.mu.Lock()
	w.parents = usual
	w.mu.Unlock()
	for i, c := range people {
		w.cut(ids[i+1], false)
		if err := c.peer.Subscribe(Subscription{Auto: true}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range people {
		eventually(t, "everybody sees the camera", func() bool { c.drain(0); return c.drain(100*time.Millisecond) > 10 })
	}
	alice.peer.Close()
	for i, c := range people {
		c.peer.Close()
		w.nodes[ids[i+1]].RemoveRemote(camera.ID)
	}
	for _, id := range ids {
		n := w.nodes[id]
		eventually(t, "nothing is left on "+id, func() bool {
			for _, r := range n.relayList() {
				r.mu.Lock()
				pulls, outlets := len(r.pulls), len(r.outlets)
				r.mu.Unlock()
				r.in.mu.Lock()
				streams := len(r.in.streams) + len(r.in.declared)
				r.in.mu.Unlock()
				if pulls+outlets+streams != 0 {
					return false
				}
			}
			return len(n.feedList()) == 0 && len(n.snapshot()) == 0
		})
	}
}
