package node

import (
	"testing"
	"time"
)

// returns has alice connect to a node again, with a camera that goes on under its id.
func (w *wan) returns(id string, camera Track) (again *client, film func()) {
	w.t.Helper()
	c := join(w.t, w.nodes[id], "pt_alice")
	c.former = []Track{camera}
	track := c.publish()
	c.connect()
	if got := c.peer.Tracks()[0].ID; got != camera.ID {
		w.t.Fatalf("the camera goes on as %s, was %s", got, camera.ID)
	}
	return c, func() { c.film(track) }
}

// followed fails where a viewer was shown nothing for a moment, or has missed a packet, until it has seen a number of packets
// of a film whose packets come in another order of timestamps than those before.
func (c *client) followed(last uint16, packets int) {
	c.t.Helper()
	longest, before := time.Duration(0), time.Now()
	for range packets {
		p := c.next()
		if p.SequenceNumber != last+1 {
			c.t.Fatalf("sequence %d after %d", p.SequenceNumber, last)
		}
		last = p.SequenceNumber
		longest, before = max(longest, time.Since(before)), time.Now()
	}
	if longest > 600*time.Millisecond {
		c.t.Errorf("nothing came for %v", longest)
	}
	c.events.mu.Lock()
	defer c.events.mu.Unlock()
	shown := false
	for _, slots := range c.events.before {
		if active := len(slots) > 0 && slots[0].State == SlotActive; shown && !active {
			c.t.Errorf("the slot was %+v", slots[0])
		} else {
			shown = active
		}
	}
}

// comesFrom reports whether a viewer's slot shows what a node sends, or (empty) a participant of its own node.
func (c *client) comesFrom(origin string) bool {
	l := c.peer.slotList()[0].state().current
	if l == nil {
		return false
	}
	f, remote := l.track.sender.(*feed)
	return !remote && origin == "" || remote && f.origin == origin
}

// TestParticipantMoves: wherever a participant goes, viewers see one stream without a hole, and never an empty slot. The old
// stream is shown until the new one comes, and nothing of it is left.
func TestParticipantMoves(t *testing.T) {
	for name, tc := range map[string]struct {
		from, to, viewer string
		byHand           bool // the viewer asks for the track by its id
		early            bool // the old connection ends before anything comes over the new one
	}{
		"between two other nodes":           {from: "eu-1", to: "ap-1", viewer: "us-1"},
		"between two other nodes, a leaf":   {from: "eu-1", to: "ap-1", viewer: "us-2"},
		"away from the viewer's node":       {from: "us-1", to: "eu-1", viewer: "us-1"},
		"to the viewer's node":              {from: "eu-1", to: "us-1", viewer: "us-1"},
		"asked for by hand":                 {from: "eu-1", to: "ap-1", viewer: "us-1", byHand: true},
		"to another, gone before":           {from: "eu-1", to: "ap-1", viewer: "us-1", early: true},
		"away, gone before":                 {from: "us-1", to: "eu-1", viewer: "us-1", early: true},
		"to the gateway of the leaf":        {from: "eu-1", to: "us-1", viewer: "us-2"},
		"within a region, away from itself": {from: "eu-1", to: "eu-2", viewer: "us-2"},
	} {
		t.Run(name, func(t *testing.T) {
			w := regions(t, 0, "eu-1", "eu-2", "ap-1", "us-1", "us-2")
			alice := join(t, w.nodes[tc.from], "pt_alice")
			track := alice.publish()
			alice.connect()
			alice.film(track)
			camera := alice.peer.Tracks()[0]
			viewer := w.nodes[tc.viewer]
			bob := join(t, viewer, "pt_bob")
			bob.slots(1)
			bob.connect()
			if tc.from != tc.viewer {
				viewer.AddRemote("mtg_1", camera, tc.from)
			}
			bob.next()
			if tc.byHand {
				err := bob.peer.Subscribe(Subscription{Slots: []SlotRequest{{MID: bob.peer.Slots()[0].MID, TrackID: camera.ID}}})
				if err != nil {
					t.Fatal(err)
				}
			}
			_, film := w.returns(tc.to, camera)
			if tc.to == tc.viewer {
				viewer.RemoveRemote(camera.ID)
			} else {
				viewer.AddRemote("mtg_1", camera, tc.to)
			}
			last := bob.next()
			for range 20 { // the new one does not come yet
				last = bob.next()
			}
			if tc.early {
				alice.peer.Close()
			}
			film()
			bob.followed(last.SequenceNumber, 60)
			origin := tc.to
			if tc.to == tc.viewer {
				origin = ""
			}
			eventually(t, "the new stream is shown", func() bool { bob.drain(time.Millisecond); return bob.comesFrom(origin) })
			alice.peer.Close()
			eventually(t, "nothing is left of the old stream", func() bool {
				if len(viewer.feedList()) > 1 || tc.to == tc.viewer && len(viewer.feedList()) > 0 {
					return false
				}
				for _, r := range viewer.snapshot() {
					if len(r.carried()) != 1 {
						return false
					}
				}
				return true
			})
			bob.events.until(t, "one slot that is active", func() bool {
				return bob.events.slots[0].State == SlotActive && bob.events.slots[0].TrackID == camera.ID
			})
		})
	}
}

// TestReturnsToTheSameNode: whoever connects to the same node again is seen on other nodes under the same track, though it
// is another stream.
func TestReturnsToTheSameNode(t *testing.T) {
	w := regions(t, 0, "eu-1", "us-1", "us-2")
	_, people, camera := w.shown("eu-1", "us-2")
	bob := people[0]
	bob.next()
	_, film := w.returns("eu-1", camera)
	film()
	bob.drain(100 * time.Millisecond)
	bob.followed(bob.next().SequenceNumber, 100)
}
