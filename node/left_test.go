package node

import (
	"runtime"
	"testing"
	"weak"
)

// departed is what there was of participants who have left, without keeping it.
type departed struct {
	peers  []weak.Pointer[Peer]
	slots  []weak.Pointer[slot]
	layers []weak.Pointer[layer]
}

// note takes down what there is of a participant.
func (d *departed) note(p *Peer) {
	d.peers = append(d.peers, weak.Make(p))
	for _, s := range p.slotList() {
		d.slots = append(d.slots, weak.Make(s))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.published {
		d.track(t)
	}
}

func (d *departed) track(t *published) {
	for _, l := range t.layers {
		d.layers = append(d.layers, weak.Make(l))
	}
}

// forgotten waits until nothing of them is left.
func (d *departed) forgotten(t *testing.T) {
	t.Helper()
	if len(d.peers) == 0 || len(d.slots) == 0 || len(d.layers) == 0 {
		t.Fatal("nobody was there")
	}
	eventually(t, "all who have left are forgotten", func() bool {
		runtime.GC()
		return remembered(d.peers)+remembered(d.slots)+remembered(d.layers) == 0
	})
}

// remembered counts what is still there.
func remembered[T any](all []weak.Pointer[T]) (n int) {
	for _, w := range all {
		if w.Value() != nil {
			n++
		}
	}
	return n
}

// TestNobodyWhoHasLeftIsRemembered: whoever stays has seen all the others, and been seen by them; each of these has seen the one before.
func TestNobodyWhoHasLeftIsRemembered(t *testing.T) {
	n := startNode(t)
	stays := join(t, n, "pt_stays")
	camera := stays.publish()
	stays.slots(2)
	stays.connect()
	stays.film(camera)
	var gone departed
	for range 6 {
		t.Run("one comes and goes", func(t *testing.T) { // who takes its test's garbage along
			guest := join(t, n, "pt_guest")
			camera := guest.publish()
			guest.slots(2)
			guest.connect()
			guest.film(camera)
			guest.next()
			stays.drainUntil(guest)
			gone.note(guest.peer)
		})
	}
	gone.forgotten(t)
	if stays.peer.Slots()[0].State != SlotEmpty {
		t.Error("a slot shows somebody who has left")
	}
}

// TestWhoHasLeftRemembersNobody: whoever still holds a peer that has left holds nobody else.
func TestWhoHasLeftRemembersNobody(t *testing.T) {
	n := startNode(t)
	var left *Peer
	var gone departed
	t.Run("two meet", func(t *testing.T) {
		alice, bob := join(t, n, "pt_alice"), join(t, n, "pt_bob")
		for _, c := range []*client{alice, bob} {
			camera := c.publish()
			c.slots(1)
			c.connect()
			c.film(camera)
		}
		alice.drainUntil(bob)
		bob.drainUntil(alice)
		gone.note(bob.peer)
		left = alice.peer
		left.Close()
	})
	gone.forgotten(t)
	if len(left.Slots()) != 1 {
		t.Error("she had a slot")
	}
}

// TestNobodyWhoHasLeftAnotherNodeIsRemembered: what comes over a link is let go of at both ends.
func TestNobodyWhoHasLeftAnotherNodeIsRemembered(t *testing.T) {
	w := settle(t, "node-a", "node-b")
	stays := join(t, w.nodes["node-b"], "pt_stays")
	stays.slots(2)
	stays.connect()
	var gone departed
	for range 3 {
		t.Run("one comes and goes", func(t *testing.T) {
			guest := join(t, w.nodes["node-a"], "pt_guest")
			camera := guest.publish()
			guest.slots(1)
			guest.connect()
			guest.film(camera)
			track := guest.peer.Tracks()[0]
			w.nodes["node-b"].AddRemote("mtg_1", track, "node-a")
			stays.drainUntil(guest)
			gone.note(guest.peer)
			gone.track(w.pulled(track.ID).feed.track)
			w.nodes["node-b"].RemoveRemote(track.ID)
		})
	}
	gone.forgotten(t)
}

// drainUntil reads until a slot has shown a publisher for a while.
func (c *client) drainUntil(publisher *client) {
	c.t.Helper()
	id := publisher.peer.id
	c.events.until(c.t, "a slot shows "+id, func() bool {
		for _, s := range c.events.slots {
			if s.ParticipantID == id && s.Layer != "" {
				return true
			}
		}
		return false
	})
	for range 20 {
		c.next()
	}
}
