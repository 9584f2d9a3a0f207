package signal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/internal/loopback"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/wire"
)

// startBus runs a bus until the test ends.
func startBus(t *testing.T, change func(*bus.Config)) *bus.Bus {
	t.Helper()
	b, _ := runBus(t, change)
	return b
}

// runBus runs a bus until it is told to stop, or the test ends.
func runBus(t *testing.T, change func(*bus.Config)) (b *bus.Bus, stop func()) {
	t.Helper()
	cfg := bus.Defaults()
	change(&cfg)
	b, err := bus.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- b.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("bus: %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-b.Ready():
	case <-time.After(patience):
		t.Fatal("the bus does not start")
	}
	return b, stop
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := loopback.Free(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// member of a cluster that a test plays.
func clusterNode(i int) placement.Node {
	id := fmt.Sprint("n", i+1)
	return placement.Node{ID: id, Region: "r", Incarnation: uint64(i + 1), SignalEndpoint: "ws://" + id}
}

// testCluster is nodes on one NATS that know each other. They share keys and revocations.
type testCluster struct {
	rigs   []*rig
	buses  []*bus.Bus
	gossip []*gossip
	leases *bus.Bucket
}

func newNodes(t *testing.T, n int, change func(*Config), more ...rigOption) *testCluster {
	t.Helper()
	address := freeAddress(t)
	startBus(t, func(c *bus.Config) { c.DataDir, c.Listen = t.TempDir(), address })
	return newNodesAt(t, n, "nats://"+address, change, more...)
}

func newNodesAt(t *testing.T, n int, url string, change func(*Config), more ...rigOption) *testCluster {
	t.Helper()
	c := &testCluster{}
	var nodes []placement.Node
	for i := range n {
		nodes = append(nodes, clusterNode(i))
	}
	for i := range n {
		b := startBus(t, func(c *bus.Config) { c.URL = url })
		leases, err := b.Bucket(t.Context(), bus.BucketConfig{Name: "leases"})
		if err != nil {
			t.Fatal(err)
		}
		g := &gossip{nodes: nodes}
		brisk := withConfig(func(c *Config) {
			c.DigestEvery, c.NodeSilence, c.NodeGrace = 50*time.Millisecond, 2*time.Second, 100*time.Millisecond
			c.homeTimeout = patience // a slow machine is not a home out of reach
			change(c)
		})
		r := newRig(t, append([]rigOption{brisk, func(_ *Config, d *Deps) {
			d.Bus, d.Cluster, d.Leases, d.NodeID = b, g, leases, nodes[i].ID
			if i > 0 {
				d.Keys, d.Revoked = c.rigs[0].keys, c.rigs[0].revoked
			}
		}}, more...)...)
		c.rigs, c.buses, c.gossip, c.leases = append(c.rigs, r), append(c.buses, b), append(c.gossip, g), leases
	}
	for _, r := range c.rigs {
		for _, n := range nodes {
			eventually(t, n.ID+" answers", func() bool {
				_, err := r.svc.fabric.ask(t.Context(), n.ID, command{Op: opRoster, Meeting: "mtg_none"})
				return err == nil
			})
		}
	}
	return c
}

// newCluster is newNodes of two.
func newCluster(t *testing.T, change func(*Config), more ...rigOption) (one, two *rig) {
	t.Helper()
	c := newNodes(t, 2, change, more...)
	return c.rigs[0], c.rigs[1]
}

func TestPresenceCrossesNodes(t *testing.T) {
	one, two := newCluster(t, func(*Config) {})
	a := one.join("pt_a", grant.Host)
	b := two.connect(two.token(claims("pt_b", grant.Attendee, grant.Settings{})))
	b.hello("pt_b", "offer", wire.TrackHint{MID: "0", Source: "camera"})
	a.await(wire.TypeParticipantJoined)
	a.await(wire.TypeTrackPublished)
	eventually(t, "n2 knows pt_a", func() bool { return len(two.svc.Participants("mtg_1")) == 2 })

	start := time.Now()
	b.send(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(true)})
	var p wire.PresenceChanged
	a.await(wire.TypePresenceChanged).read(t, &p)
	if p.ParticipantID != "pt_b" || p.HandRaised == nil || !*p.HandRaised {
		t.Errorf("presence is %+v", p)
	}
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("the hand took %v", took)
	}
	b.send(wire.TypeChat, wire.ChatSend{Text: "psst", To: "pt_a"})
	var chat wire.Chat
	a.await(wire.TypeChat).read(t, &chat)
	if chat.Text != "psst" || !chat.Private {
		t.Errorf("chat is %+v", chat)
	}
	b.leave()
	a.await(wire.TypeTrackUnpublished)
	a.await(wire.TypeParticipantLeft)
	if n := len(one.svc.Participants("mtg_1")); n != 1 {
		t.Errorf("%d participants are left", n)
	}
}

// Somebody comes back from beyond a cut, where a hand was raised meanwhile: the join message cannot say so.
func TestHandOfSomebodyWhoComesBack(t *testing.T) {
	one, _ := newCluster(t, func(*Config) {})
	a := one.join("pt_a", grant.Host)
	r := one.svc.allRooms()[0]
	r.mu.Lock()
	r.changedLocked([]change{{after: &entry{Participant: wire.Participant{ID: "pt_b", HandRaised: true}, State: Joined}}})
	r.mu.Unlock()
	a.await(wire.TypeParticipantJoined)
	var p wire.PresenceChanged
	a.await(wire.TypePresenceChanged).read(t, &p)
	if p.ParticipantID != "pt_b" || p.HandRaised == nil || !*p.HandRaised {
		t.Errorf("presence is %+v", p)
	}
}

func TestHostsModerateAcrossNodes(t *testing.T) {
	one, two := newCluster(t, func(*Config) {})
	host := one.join("pt_host", grant.Host)
	a := two.connect(two.token(claims("pt_a", grant.Attendee, grant.Settings{})))
	a.hello("pt_a", "offer", wire.TrackHint{MID: "0", Source: "microphone"})
	host.await(wire.TypeParticipantJoined)
	host.ok(wire.TypeMute, wire.Mute{ParticipantID: "pt_a"})
	if !two.media.peer("pt_a").is(func(p *fakePeer) bool { return p.muted[node.Microphone] }) {
		t.Error("the SFU of the other node was not told")
	}
	host.ok(wire.TypeLock, wire.Empty{})
	eventually(t, "n2 is locked", func() bool { return two.svc.Locked("mtg_1") })
	w := two.knock("pt_w", grant.Settings{})
	host.await(wire.TypeKnock)
	host.ok(wire.TypeAdmit, wire.Target{ParticipantID: "pt_w"})
	w.await(wire.TypeSnapshot)
	host.ok(wire.TypeRemove, wire.Target{ParticipantID: "pt_w"})
	w.closedWith(wire.CloseRemoved)
	host.refused(wire.CodeNotFound, wire.TypeAdmit, wire.Target{ParticipantID: "pt_a"})
	host.send(wire.TypeEnd, wire.Empty{})
	a.closedWith(wire.CloseEnded)
	host.closedWith(wire.CloseEnded)
}

func TestLateNodePullsTheRoster(t *testing.T) {
	one, two := newCluster(t, func(*Config) {})
	for _, id := range []string{"pt_a", "pt_b", "pt_c"} {
		one.join(id, grant.Attendee)
	}
	d := two.join("pt_d", grant.Attendee)
	eventually(t, "n2 knows all", func() bool { return len(two.svc.Participants("mtg_1")) == 4 })
	var s wire.Snapshot
	d.send(wire.TypeResume, wire.Resume{LastSeq: 1 << 40})
	d.await(wire.TypeSnapshot).read(t, &s)
	if len(s.Participants) != 4 {
		t.Errorf("the snapshot has %d participants", len(s.Participants))
	}
}

func TestMovingToAnotherNodeIsNoticedByNobody(t *testing.T) {
	one, two := newCluster(t, func(*Config) {})
	watcher := one.join("pt_w", grant.Attendee)
	a := one.join("pt_a", grant.Attendee)
	watcher.await(wire.TypeParticipantJoined)
	anchor := two.join("pt_z", grant.Attendee)
	watcher.await(wire.TypeParticipantJoined)
	eventually(t, "n2 knows all", func() bool { return len(two.svc.Participants("mtg_1")) == 3 })
	a.lose()
	again := two.connect(resumeToken(t, a.snapshot))
	again.ok(wire.TypeResume, wire.Resume{LastSeq: 2})
	eventually(t, "n1 let go", func() bool {
		r := one.svc.room("mtg_1")
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.members["pt_a"] == nil
	})
	again.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(true)})
	for _, c := range []*client{watcher, anchor} {
		for {
			m, _ := c.next()
			if m.Type == wire.TypePresenceChanged {
				break
			}
			if m.Type == wire.TypeParticipantLeft {
				t.Errorf("somebody noticed: %s", m.raw)
			}
		}
	}
}

func TestSilentNodeLeavesOnce(t *testing.T) {
	one, two := newCluster(t, func(*Config) {})
	a := one.join("pt_a", grant.Attendee)
	two.join("pt_b", grant.Attendee)
	a.await(wire.TypeParticipantJoined)
	// The node dies without a word: its updates do not go out any more.
	room := two.svc.room("mtg_1")
	room.mu.Lock()
	room.tell = func(string, update) {}
	room.mu.Unlock()
	var left wire.ParticipantEvent
	a.await(wire.TypeParticipantLeft).read(t, &left)
	if left.Participant.ID != "pt_b" {
		t.Errorf("%+v left", left)
	}
	a.ok(wire.TypeChat, wire.ChatSend{Text: "alone"})
	for _, m := range a.kept {
		if m.Type == wire.TypeParticipantLeft {
			t.Errorf("it left twice: %s", m.raw)
		}
	}
}

func TestLostUpdatesAreMadeGood(t *testing.T) {
	one, two := newCluster(t, func(*Config) {})
	a := one.join("pt_a", grant.Attendee)
	b := two.join("pt_b", grant.Attendee)
	a.await(wire.TypeParticipantJoined)
	room := two.svc.room("mtg_1")
	room.mu.Lock()
	honest := room.tell
	room.tell = func(string, update) {}
	room.mu.Unlock()
	b.ok(wire.TypeChat, wire.ChatSend{Text: "into the void"})
	b.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(true)})
	room.mu.Lock()
	room.tell = honest
	room.mu.Unlock()
	var chat wire.Chat
	var p wire.PresenceChanged
	a.await(wire.TypePresenceChanged).read(t, &p)
	a.await(wire.TypeChat).read(t, &chat)
	if p.HandRaised == nil || !*p.HandRaised || chat.Text != "into the void" {
		t.Errorf("came %+v and %+v", p, chat)
	}
}

func TestRevokedElsewhereIsSentAway(t *testing.T) {
	r := newRig(t, withConfig(func(c *Config) { c.DigestEvery = 20 * time.Millisecond }))
	a := r.join("pt_a", grant.Attendee)
	b := r.join("pt_b", grant.Attendee)
	if err := r.revoked.Participant(context.Background(), "mtg_1", "pt_a"); err != nil {
		t.Fatal(err)
	}
	a.closedWith(wire.CloseRemoved)
	if err := r.revoked.Meeting(context.Background(), "mtg_1"); err != nil {
		t.Fatal(err)
	}
	b.closedWith(wire.CloseEnded)
}

func TestDepsAreChecked(t *testing.T) {
	_, err := New(Defaults(), Deps{NodeID: "a.b"})
	if err == nil || errors.Unwrap(err) == nil {
		t.Errorf("New found nothing wrong: %v", err)
	}
}
