package node

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// shown is alice's camera on the first node, and viewers with a slot on others.
func (w *wan) shown(origin string, viewers ...string) (alice *client, people []*client, camera Track) {
	w.t.Helper()
	alice = join(w.t, w.nodes[origin], "pt_alice")
	track := alice.publish()
	alice.connect()
	alice.film(track)
	camera = alice.peer.Tracks()[0]
	for _, id := range viewers {
		people = append(people, w.view(id, "pt_"+id, camera, origin))
	}
	return alice, people, camera
}

// view has somebody watch a camera on a node.
func (w *wan) view(id, name string, camera Track, origin string) *client {
	w.t.Helper()
	c := join(w.t, w.nodes[id], name)
	c.slots(1)
	c.connect()
	w.nodes[id].AddRemote("mtg_1", camera, origin)
	return c
}

// continues reads packets of a film and fails where one is missing, changed, or out of step.
func (c *client) continues(last *rtp.Packet, packets int) *rtp.Packet {
	c.t.Helper()
	for range packets {
		p := c.next()
		if last != nil && (p.SequenceNumber != last.SequenceNumber+1 || p.Timestamp-last.Timestamp != 450) {
			c.t.Fatalf("sequence %d, timestamp %d after %d, %d", p.SequenceNumber, p.Timestamp, last.SequenceNumber, last.Timestamp)
		}
		if !bytes.Equal(p.Payload[4:], vp8Frame(p.Payload[4]&1 == 0, 0)[4:]) {
			c.t.Fatal("the payload changed")
		}
		last = p
	}
	return last
}

// serving counts the layers that one node sends another.
func (w *wan) serving(from, to string) int { return w.nodes[from].relay(to).serves() }

// TestThroughAGateway: a region pulls a track once, however many of its nodes show it, through a node that has nobody in the
// room; and when the last is gone nothing is left.
func TestThroughAGateway(t *testing.T) {
	w := regions(t, 0, "eu-1", "us-1", "us-2", "us-3")
	_, people, camera := w.shown("eu-1", "us-2")
	last := people[0].continues(nil, 50)
	if got := w.nodes["us-2"].parent(camera.ID, "eu-1"); got != "us-1" {
		t.Errorf("us-2 pulls from %q, want the gateway", got)
	}
	carol := w.view("us-3", "pt_carol", camera, "eu-1")
	carol.continues(nil, 50)
	people[0].continues(last, 50)
	if across, direct := w.serving("eu-1", "us-1"), w.serving("eu-1", "us-2")+w.serving("eu-1", "us-3"); across != 1 || direct != 0 {
		t.Errorf("the origin sends %d copies to the gateway and %d past it", across, direct)
	}
	if got := w.serving("us-1", "us-2") + w.serving("us-1", "us-3"); got != 2 {
		t.Errorf("the gateway sends %d copies", got)
	}
	left := time.Now()
	people[0].peer.Close()
	carol.peer.Close()
	eventually(t, "the origin sends nothing", func() bool { return w.serving("eu-1", "us-1") == 0 })
	if took := time.Since(left); took > 3*time.Second {
		t.Errorf("the last layer was given up after %v", took)
	}
	eventually(t, "the gateway has forgotten the room", func() bool {
		return len(w.nodes["us-1"].feedList()) == 0 && len(w.nodes["us-1"].snapshot()) == 0
	})
	for _, id := range []string{"us-2", "us-3"} {
		w.nodes[id].RemoveRemote(camera.ID)
		eventually(t, "the leaf has forgotten the room", func() bool {
			return len(w.nodes[id].feedList()) == 0 && len(w.nodes[id].snapshot()) == 0
		})
	}
}

// TestGatewayDies: the next parent takes over without a keyframe and without a lost packet, within the time that it takes
// to find out and a round trip.
func TestGatewayDies(t *testing.T) {
	w := regions(t, 40*time.Millisecond, "eu-1", "us-1", "us-2", "us-3")
	_, people, camera := w.shown("eu-1", "us-3")
	bob := people[0]
	last := bob.continues(nil, 100)
	eventually(t, "the other parents are ready", func() bool {
		for _, id := range []string{"us-2", "eu-1"} {
			if w.nodes["us-3"].relay(id).current() == nil {
				return false
			}
		}
		return w.nodes["us-3"].parent(camera.ID, "eu-1") == "us-1"
	})
	w.cut("us-1", true)
	gap, keyframes, before := time.Duration(0), 0, time.Now()
	until := time.After(2 * time.Second)
	for over := false; !over; {
		select {
		case p := <-bob.media:
			now := time.Now()
			gap = max(gap, now.Sub(before))
			before = now
			if p.SequenceNumber != last.SequenceNumber+1 {
				t.Errorf("sequence %d after %d", p.SequenceNumber, last.SequenceNumber)
			}
			if p.Payload[4]&1 == 0 {
				keyframes++
			}
			last = p
		case <-until:
			over = true
		}
	}
	parent := w.nodes["us-3"].parent(camera.ID, "eu-1")
	t.Logf("gap %v, then from %s", gap, parent)
	if parent == "us-1" || parent == "" || gap > 400*time.Millisecond || keyframes != 0 {
		t.Errorf("gap %v, %d keyframes, then from %q", gap, keyframes, parent)
	}
}
