package node

import (
	"bytes"
	"context"
	"errors"
	"math/bits"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/cascade"
)

// town is nodes that know each other, as gossip and the bus would have it.
type town struct {
	mu    sync.Mutex
	nodes map[string]*Node
}

func (w *town) Lookup(id string) (cascade.Address, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.nodes[id]
	if n == nil {
		return cascade.Address{}, false
	}
	return cascade.Address{Media: n.endpoint.Addr(), Fingerprint: n.endpoint.Fingerprint()}, true
}

func (w *town) Introduce(_ context.Context, id string, b []byte) ([]byte, error) {
	w.mu.Lock()
	n := w.nodes[id]
	w.mu.Unlock()
	if n == nil {
		return nil, errors.New("no such node")
	}
	return n.Introduced(b)
}

func settle(t testing.TB, ids ...string) *town {
	t.Helper()
	w := &town{nodes: map[string]*Node{}}
	for _, id := range ids {
		n := startMember(t, "127.0.0.1:0", &Cluster{NodeID: id, Links: cascade.Defaults(), Directory: w, Introducer: w})
		w.mu.Lock()
		w.nodes[id] = n
		w.mu.Unlock()
	}
	return w
}

// TestOneRoomOnTwoNodes: a track crosses a link as it is, only while somebody wants it.
func TestOneRoomOnTwoNodes(t *testing.T) {
	w := settle(t, "node-a", "node-b")
	alice, bob, track := meet(t, w.nodes["node-a"], w.nodes["node-b"])
	alice.film(track)
	camera := alice.peer.Tracks()[0]
	w.nodes["node-b"].AddRemote("mtg_1", camera, "node-a")
	first := bob.next()
	if first.Payload[4]&1 != 0 {
		t.Error("does not begin with a keyframe")
	}
	last := first
	for range 100 {
		p := bob.next()
		if p.SequenceNumber != last.SequenceNumber+1 || p.Timestamp-last.Timestamp != 450 {
			t.Fatalf("sequence %d, timestamp %d after %d, %d", p.SequenceNumber, p.Timestamp, last.SequenceNumber, last.Timestamp)
		}
		if !bytes.Equal(p.Payload[4:], vp8Frame(p.Payload[4]&1 == 0, 0)[4:]) {
			t.Fatal("the payload changed")
		}
		last = p
	}
	w.nodes["node-b"].RemoveRemote(camera.ID)
	bob.events.until(t, "the slot is empty", func() bool { return bob.events.slots[0].State == SlotEmpty })
	eventually(t, "nothing is served any more", func() bool { return w.nodes["node-a"].relay("node-b").serves() == 0 })
}

// eventually waits for what no event tells.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// serves counts the layers that are sent to the other node.
func (r *relay) serves() (layers int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.outlets {
		layers += bits.OnesCount32(o.asked.Load())
	}
	return layers
}

// TestLinkDies: media is back over a new link after the old one died, and viewers need to do nothing.
func TestLinkDies(t *testing.T) {
	w := settle(t, "node-a", "node-b")
	alice, bob, track := meet(t, w.nodes["node-a"], w.nodes["node-b"])
	alice.film(track)
	w.nodes["node-b"].AddRemote("mtg_1", alice.peer.Tracks()[0], "node-a")
	bob.next()
	r := w.nodes["node-a"].relay("node-b")
	r.mu.Lock()
	link := r.link
	r.mu.Unlock()
	if err := link.Transport().Close(); err != nil {
		t.Fatal(err)
	}
	bob.drain(50 * time.Millisecond) // what was on its way
	start := time.Now()
	bob.next()
	t.Logf("media back %v after the link died", time.Since(start)+50*time.Millisecond)
}
