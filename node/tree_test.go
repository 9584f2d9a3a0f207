package node

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/packet"
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

// TestPriorityCrossesLinks: the origin knows how much a camera matters to whoever it matters to most, over two links; when that one has left,
// to whom it does then.
func TestPriorityCrossesLinks(t *testing.T) {
	w := regions(t, 0, "eu-1", "us-1", "us-2", "us-3")
	_, people, camera := w.shown("eu-1", "us-2", "us-3")
	prefer := func(c *client, priority int) {
		t.Helper()
		if err := c.peer.Subscribe(Subscription{Slots: []SlotRequest{{MID: c.peer.Slots()[0].MID, TrackID: camera.ID, Priority: priority}}}); err != nil {
			t.Fatal(err)
		}
	}
	told := func(what string, want uint32) {
		t.Helper()
		eventually(t, what, func() bool {
			o := w.nodes["eu-1"].relay("us-1").outlet(feedKey{camera.ID, "eu-1"})
			return o != nil && o.priority.Load() == want
		})
	}
	told("nobody has said anything", 0)
	prefer(people[0], 3)
	told("it matters to one", 3)
	prefer(people[1], 1000)
	told("it matters to another more than can be told", 255)
	prefer(people[1], -1)
	told("it does not any more", 3)
	prefer(people[1], 7)
	told("it does again", 7)
	people[1].peer.Close()
	told("who preferred it has left", 3)
}

// watch reads a viewer's film for a time, and fails where a packet is missing at the end of it. It returns the newest packet,
// the longest time without any, and how many keyframes there were.
func (c *client) watch(last *rtp.Packet, within time.Duration) (newest *rtp.Packet, gap time.Duration, keyframes int) {
	c.t.Helper()
	newest = last
	missing := map[uint16]bool{} // what is repaired comes late
	before, until := time.Now(), time.After(within)
	for {
		select {
		case p := <-c.media:
			now := time.Now()
			gap, before = max(gap, now.Sub(before)), now
			ahead := int16(p.SequenceNumber - last.SequenceNumber)
			if p.Timestamp-last.Timestamp != uint32(int32(ahead)*450) {
				c.t.Errorf("sequence %d has timestamp %d, after %d, %d", p.SequenceNumber, p.Timestamp, last.SequenceNumber, last.Timestamp)
			}
			if p.Payload[4]&1 == 0 {
				keyframes++
			}
			delete(missing, p.SequenceNumber)
			if packet.SeqLess(newest.SequenceNumber, p.SequenceNumber) {
				for lost := newest.SequenceNumber + 1; lost != p.SequenceNumber; lost++ {
					missing[lost] = true
				}
				newest = p
			}
		case <-until:
			if len(missing) > 0 {
				c.t.Errorf("%d packets are missing", len(missing))
			}
			return newest, gap, keyframes
		}
	}
}

// linked reports whether a node has links to others.
func (w *wan) linked(from string, to ...string) bool {
	for _, id := range to {
		if w.nodes[from].relay(id).current() == nil {
			return false
		}
	}
	return true
}

// steady makes the links of a node as old as it takes to go back to a better parent.
func (w *wan) steady(id string) {
	for _, r := range w.nodes[id].relayList() {
		r.mu.Lock()
		r.upSince = -int64(steadyFor)
		r.mu.Unlock()
	}
}

// TestGatewayDies: the next parent takes over without a keyframe and without a lost packet, in the time that it takes to
// find out and a round trip (some 250 ms here; busy machines are given more); when the gateway is back and stays, it is the parent again, and nobody sees anything.
func TestGatewayDies(t *testing.T) {
	for name, viewers := range map[string][]string{
		"the next has nobody in the room": {"us-3"},
		"the next is a viewer's as well":  {"us-3", "us-2"},
	} {
		t.Run(name, func(t *testing.T) {
			w := regions(t, 40*time.Millisecond, "eu-1", "us-1", "us-2", "us-3")
			_, people, camera := w.shown("eu-1", viewers...)
			last := map[*client]*rtp.Packet{}
			for _, c := range people {
				last[c] = c.continues(nil, 100)
			}
			parent := func() string { return w.nodes["us-3"].parent(camera.ID, "eu-1") }
			eventually(t, "all parents are ready", func() bool {
				w.steady("us-3")
				return w.linked("us-3", "us-1", "us-2", "eu-1") && w.linked("us-2", "us-1", "eu-1") && parent() == "us-1"
			})
			w.cut("us-1", true)
			see := func(within time.Duration, what string) {
				t.Helper()
				var all sync.WaitGroup
				var mu sync.Mutex
				for _, c := range people {
					all.Go(func() {
						mu.Lock()
						before := last[c]
						mu.Unlock()
						now, gap, keyframes := c.watch(before, within)
						mu.Lock()
						defer mu.Unlock()
						last[c] = now
						t.Logf("%s: nothing for %v, then from %s", what, gap, parent())
						if gap > time.Second || keyframes != 0 {
							t.Errorf("%s: nothing for %v, %d keyframes", what, gap, keyframes)
						}
					})
				}
				all.Wait()
			}
			see(1500*time.Millisecond, "the gateway dies")
			if got := parent(); got == "us-1" || got == "" {
				t.Errorf("the parent is %q", got)
			}
			w.cut("us-1", false)
			eventually(t, "the gateway is back", func() bool {
				for _, c := range people {
					last[c], _, _ = c.watch(last[c], 20*time.Millisecond)
				}
				return w.linked("us-3", "us-1") && w.linked("us-2", "us-1")
			})
			if parent() == "us-1" {
				t.Error("the gateway was taken back at once")
			}
			w.steady("us-3")
			w.steady("us-2")
			see(2500*time.Millisecond, "the gateway is back")
			eventually(t, "the gateway is the parent", func() bool {
				w.steady("us-3")
				return parent() == "us-1"
			})
		})
	}
}

// TestGatewayLosesTheOrigin: a gateway that is cut off from the origin alone turns its leaves away, and becomes one itself.
func TestGatewayLosesTheOrigin(t *testing.T) {
	w := regions(t, 10*time.Millisecond, "eu-1", "us-1", "us-2", "us-3")
	_, people, camera := w.shown("eu-1", "us-1", "us-3")
	eventually(t, "all parents are ready", func() bool {
		return w.linked("us-3", "us-1", "us-2", "eu-1") && w.linked("us-2", "us-1", "eu-1") && w.nodes["us-3"].parent(camera.ID, "eu-1") == "us-1"
	})
	var all sync.WaitGroup
	last := []*rtp.Packet{people[0].next(), people[1].next()}
	w.sever("eu-1", "us-1")
	for i, c := range people {
		all.Go(func() {
			_, gap, keyframes := c.watch(last[i], 1500*time.Millisecond)
			t.Logf("nothing for %v", gap)
			if gap > time.Second || keyframes != 0 {
				t.Errorf("nothing for %v, %d keyframes", gap, keyframes)
			}
		})
	}
	all.Wait()
	parents := func() [2]string {
		return [2]string{w.nodes["us-1"].parent(camera.ID, "eu-1"), w.nodes["us-3"].parent(camera.ID, "eu-1")}
	}
	eventually(t, "the cut off gateway has become a leaf", func() bool {
		for _, c := range people {
			c.drain(0)
		}
		got := parents()
		return got[0] == "us-2" && (got[1] == "us-2" || got[1] == "eu-1")
	})
}

// TestParentsContradict: nodes that take each other for the gateway are all served, by the origin if by nobody else.
func TestParentsContradict(t *testing.T) {
	w := regions(t, 0, "eu-1", "us-1", "us-2", "us-3")
	next := map[string]string{"us-1": "us-2", "us-2": "us-3", "us-3": "us-1"}
	w.parents = func(self, _, origin string) []string { return []string{next[self], next[next[self]], origin} }
	_, people, camera := w.shown("eu-1", "us-1", "us-2", "us-3")
	for _, c := range people {
		c.continues(nil, 100)
	}
	for id := range next {
		n := w.nodes[id]
		if parent := n.parent(camera.ID, "eu-1"); parent != "eu-1" && w.nodes[parent].parent(camera.ID, "eu-1") != "eu-1" {
			t.Errorf("%s pulls from %s, which pulls from %s", id, parent, w.nodes[parent].parent(camera.ID, "eu-1"))
		}
	}
}

// TestGatewayRestarts: what a node that has restarted carried comes another way, and then through it again.
func TestGatewayRestarts(t *testing.T) {
	w := regions(t, 0, "eu-1", "us-1", "us-2")
	_, people, camera := w.shown("eu-1", "us-2")
	last := people[0].continues(nil, 50)
	eventually(t, "all parents are ready", func() bool { w.steady("us-2"); return w.linked("us-2", "us-1", "eu-1") })
	old := w.nodes["us-1"]
	w.stops["us-1"]()
	last, gap, keyframes := people[0].watch(last, time.Second)
	if gap > time.Second || keyframes != 0 {
		t.Errorf("nothing for %v, %d keyframes", gap, keyframes)
	}
	if got := len(old.links.Links()); got != 0 {
		t.Errorf("%d links are left", got)
	}
	w.start("us-1")
	eventually(t, "the new gateway is linked", func() bool {
		last, _, _ = people[0].watch(last, 20*time.Millisecond)
		return w.linked("us-2", "us-1")
	})
	w.steady("us-2")
	people[0].watch(last, 2*time.Second)
	eventually(t, "the new gateway is the parent", func() bool {
		w.steady("us-2")
		return w.nodes["us-2"].parent(camera.ID, "eu-1") == "us-1"
	})
}

// TestOriginEndsATrack: when a participant leaves, nothing is left of its tracks on gateways, nor on leaves once they are told.
func TestOriginEndsATrack(t *testing.T) {
	w := regions(t, 0, "eu-1", "us-1", "us-2")
	alice, people, camera := w.shown("eu-1", "us-2")
	people[0].continues(nil, 20)
	alice.peer.Close()
	eventually(t, "the gateway has nothing left", func() bool {
		return len(w.nodes["us-1"].feedList()) == 0 && len(w.nodes["us-1"].relay("us-2").served()) == 0 && len(w.nodes["us-1"].snapshot()) == 0
	})
	w.nodes["us-2"].RemoveRemote(camera.ID)
	people[0].events.until(t, "the slot is empty", func() bool { return people[0].events.slots[0].State == SlotEmpty })
	eventually(t, "the leaf has nothing left", func() bool { return len(w.nodes["us-2"].feedList()) == 0 })
	for _, id := range []string{"us-1", "eu-1"} {
		r := w.nodes["us-2"].relay(id)
		r.in.mu.Lock()
		if left := len(r.in.declared) + len(r.in.streams) + len(r.pulls); left != 0 {
			t.Errorf("%d streams and pulls are left of %s", left, id)
		}
		r.in.mu.Unlock()
	}
}

// TestOlderNodes: nodes that know nothing of trees are asked for their own tracks only, and ask in their own words.
func TestOlderNodes(t *testing.T) {
	w := regions(t, 0, "eu-1", "us-1", "us-2")
	_, people, camera := w.shown("eu-1", "us-2")
	last := people[0].continues(nil, 20)
	leaf := w.nodes["us-2"]
	eventually(t, "all parents are ready", func() bool { return w.linked("us-2", "us-1", "eu-1") })
	feed := leaf.feedList()[0]
	gateway := leaf.relay("us-1")
	gateway.Gone(gateway.current(), cascade.Gone{Group: "mtg_1", Track: camera.ID})
	people[0].watch(last, 200*time.Millisecond)
	if got := leaf.parent(camera.ID, "eu-1"); got != "eu-1" || leaf.feedList()[0] != feed {
		t.Errorf("after an older gateway has refused, the parent is %q", got)
	}
	origin := w.nodes["eu-1"].relay("us-1")
	pull := cascade.Pull{Group: "mtg_1", Track: camera.ID, Layers: 1, Streams: [cascade.MaxLayers]cascade.Stream{{Media: 71, Repair: 72}}}
	own := feedKey{camera.ID, "eu-1"}
	origin.Pulled(origin.current(), pull)
	eventually(t, "an older node is served", func() bool { return origin.serves() == 1 })
	first := origin.outlet(own)
	pull.Layers = 0
	origin.Pulled(origin.current(), pull)
	if origin.serves() != 0 || origin.outlet(own) != first {
		t.Error("a stream is forgotten that may go on")
	}
	pull.Layers = 1
	origin.Pulled(origin.current(), pull)
	if origin.serves() != 1 || origin.outlet(own) != first {
		t.Error("a stream does not go on")
	}
}
