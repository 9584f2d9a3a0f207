package signal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/wire"
)

// home returns the nodes that are the room's home, or take themselves for it.
func (c *testCluster) homes() (ids []string) {
	for _, r := range c.rigs {
		if room := r.svc.room("mtg_1"); room != nil {
			room.mu.Lock()
			if room.kept {
				ids = append(ids, r.svc.deps.NodeID)
			}
			room.mu.Unlock()
		}
	}
	return ids
}

// lease returns the room's lease as the store has it.
func (c *testCluster) lease(t *testing.T) (l lease, ok bool) {
	t.Helper()
	e, err := c.leases.Get(t.Context(), "mtg_1")
	if errors.Is(err, bus.ErrNotFound) {
		return l, false
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(e.Value, &l) // rubbish is the zero lease
	l.epoch = e.Revision
	return l, true
}

func (c *testCluster) awaitLease(t *testing.T, what string, so func(l lease) bool) (found lease) {
	t.Helper()
	eventually(t, what, func() bool {
		l, ok := c.lease(t)
		found = l
		return ok && so(l)
	})
	return found
}

func (c *testCluster) rig(id string) *rig {
	return c.rigs[slices.IndexFunc(c.rigs, func(r *rig) bool { return r.svc.deps.NodeID == id })]
}

// outcome is what became of somebody who said hello.
func outcome(c *client) (seated, camera bool) {
	for {
		m, ok := c.next()
		switch {
		case !ok:
			return false, false
		case m.Type == wire.TypeAnswer:
			var a wire.Answer
			m.read(c.t, &a)
			camera = len(a.Refused) == 0
		case m.Type == wire.TypeSnapshot:
			return true, camera
		}
	}
}

// crowd lets n people join over all nodes at once, with a camera each, and counts who got in.
func (c *testCluster) crowd(t *testing.T, n int, settings grant.Settings) (seated, cameras int) {
	t.Helper()
	clients := make([]*client, n)
	var wg sync.WaitGroup
	for i := range clients {
		r := c.rigs[i%len(c.rigs)]
		id := fmt.Sprintf("pt_%03d", i)
		clients[i] = r.connect(r.token(claims(id, grant.Attendee, settings)))
		wg.Go(func() { clients[i].hello(id, "offer", wire.TrackHint{MID: "0", Source: "camera"}) })
	}
	wg.Wait()
	for _, client := range clients {
		in, camera := outcome(client)
		if in {
			seated++
		}
		if camera {
			cameras++
		}
	}
	return seated, cameras
}

func TestHundredJoinsOverThreeNodes(t *testing.T) {
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			c := newNodes(t, 3, func(*Config) {})
			seated, cameras := c.crowd(t, 100, grant.Settings{Revision: 1, MaxParticipants: 40, MaxCameras: 7})
			if seated != 40 || cameras != 7 {
				t.Errorf("%d seats and %d cameras were given, want 40 and 7", seated, cameras)
			}
			for _, r := range c.rigs {
				eventually(t, "everybody is known everywhere", func() bool { return len(r.svc.Participants("mtg_1")) == 40 })
			}
			c.awaitLease(t, "the home has its lease", func(l lease) bool { return slices.Contains(c.homes(), l.Node) })
			if homes := c.homes(); len(homes) != 1 {
				t.Errorf("homes are %v", homes)
			}
		})
	}
}

func TestTheHomeMovesWhenItDies(t *testing.T) {
	c := newNodes(t, 3, func(*Config) {})
	settings := grant.Settings{Revision: 1, MaxParticipants: 4}
	for i, r := range c.rigs {
		r.joinWith(claims(fmt.Sprint("pt_", i), grant.Attendee, settings))
	}
	old := c.awaitLease(t, "a lease", func(lease) bool { return true })
	eventually(t, "one home", func() bool { return slices.Equal(c.homes(), []string{old.Node}) })
	var staying []placement.Node
	for _, n := range c.gossip[0].Nodes() {
		if n.ID != old.Node {
			staying = append(staying, n)
		}
	}
	var survivors []*rig
	for i, r := range c.rigs {
		if r.svc.deps.NodeID != old.Node {
			survivors = append(survivors, r)
			c.gossip[i].see(staying...)
		}
	}
	now := c.awaitLease(t, "another home", func(l lease) bool { return l.Node != old.Node })
	if now.epoch <= old.epoch {
		t.Errorf("epoch %d after %d", now.epoch, old.epoch)
	}
	eventually(t, "the old home steps down, the new one stands in", func() bool { return slices.Equal(c.homes(), []string{now.Node}) })
	// The new home knows all of them: of three more, one finds a seat.
	in := 0
	for i := range 3 {
		r := survivors[i%2]
		id := fmt.Sprint("pt_more", i)
		client := r.connect(r.token(claims(id, grant.Attendee, settings)))
		client.hello(id, "")
		if seated, _ := outcome(client); seated {
			in++
		}
	}
	if in != 1 {
		t.Errorf("%d more were let in, want 1", in)
	}
}

func TestADrainingHomeHandsOver(t *testing.T) {
	c := newNodes(t, 3, func(*Config) {})
	a := c.rigs[0].join("pt_a", grant.Attendee)
	old := c.awaitLease(t, "a lease", func(lease) bool { return true })
	nodes := c.gossip[0].Nodes()
	for i := range nodes {
		nodes[i].Draining = nodes[i].ID == old.Node
	}
	for _, g := range c.gossip {
		g.see(nodes...)
	}
	now := c.awaitLease(t, "another home", func(l lease) bool { return l.Node != old.Node })
	eventually(t, "it stands in", func() bool { return slices.Equal(c.homes(), []string{now.Node}) })
	a.ok(wire.TypeChat, wire.ChatSend{Text: "still here"})
}

func TestAnEmptyRoomLetsItsHomeGo(t *testing.T) {
	c := newNodes(t, 3, func(c *Config) { c.Grace = 150 * time.Millisecond })
	a := c.rigs[0].join("pt_a", grant.Host)
	a.ok(wire.TypeLock, wire.Empty{})
	l := c.awaitLease(t, "a lease", func(lease) bool { return true })
	eventually(t, "the home is locked", func() bool { return c.rig(l.Node).svc.Locked("mtg_1") })
	a.leave()
	eventually(t, "the lock goes with the last participant", func() bool { return !c.rig(l.Node).svc.Locked("mtg_1") })
	eventually(t, "the lease is gone", func() bool { _, is := c.lease(t); return !is })
	eventually(t, "no room is left", func() bool {
		return !slices.ContainsFunc(c.rigs, func(r *rig) bool { return r.svc.room("mtg_1") != nil })
	})
	c.rigs[1].join("pt_b", grant.Attendee)
	if again := c.awaitLease(t, "a lease", func(lease) bool { return true }); again.epoch <= l.epoch {
		t.Errorf("epoch %d after %d", again.epoch, l.epoch)
	}
}

func TestLeasesOfADeadClusterStopNobody(t *testing.T) {
	for name, old := range map[string]lease{
		"a node of another life": {Node: "n1", Incarnation: 77},
		"a node unknown":         {Node: "n7", Incarnation: 1},
		"rubbish":                {},
	} {
		t.Run(name, func(t *testing.T) {
			c := newNodes(t, 3, func(*Config) {})
			value, _ := json.Marshal(old)
			if name == "rubbish" {
				value = []byte("{")
			}
			epoch, err := c.leases.Put(t.Context(), "mtg_1", value)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range c.rigs { // as if it had been there before them
				eventually(t, "it is heard", func() bool { _, is := r.svc.owners.lease("mtg_1"); return is })
				r.svc.owners.mu.Lock()
				l := r.svc.owners.leases["mtg_1"]
				l.heard = time.Time{}
				r.svc.owners.leases["mtg_1"] = l
				r.svc.owners.mu.Unlock()
			}
			c.rigs[0].join("pt_a", grant.Attendee)
			c.awaitLease(t, "a home that lives", func(l lease) bool {
				return l != old && l.epoch > epoch && l.Incarnation < 10 && l.Node < "n4" && l.Node != ""
			})
		})
	}
}

func TestAHomeOutOfReachStopsNobody(t *testing.T) {
	c := newNodes(t, 3, func(*Config) {})
	away := clusterNode(8)
	for _, g := range c.gossip {
		g.see(append(g.Nodes(), away)...)
	}
	value, _ := json.Marshal(lease{Node: away.ID, Incarnation: away.Incarnation})
	if _, err := c.leases.Put(t.Context(), "mtg_1", value); err != nil {
		t.Fatal(err)
	}
	settings := grant.Settings{Revision: 1, MaxParticipants: 1, MaxCameras: 1}
	var in []*client
	for i, r := range c.rigs {
		eventually(t, "the lease is known", func() bool { l, _ := r.svc.owners.lease("mtg_1"); return l.Node == away.ID })
		id := fmt.Sprint("pt_", i)
		client := r.connect(r.token(claims(id, grant.Attendee, settings)))
		client.hello(id, "offer", wire.TrackHint{MID: "0", Source: "camera"})
		in = append(in, client)
	}
	var inside []*client // who depends: there is one place, and each node knows only of those of whom it has heard
	for _, client := range in {
		if seated, _ := outcome(client); seated {
			inside = append(inside, client)
		}
	}
	if len(inside) == 0 {
		t.Fatal("nobody was let in")
	}
	// Those who were let in stay, once the home is known again.
	for _, g := range c.gossip {
		g.see(g.Nodes()[:3]...)
	}
	c.awaitLease(t, "another home", func(l lease) bool { return l.Node != away.ID })
	for _, client := range inside {
		client.ok(wire.TypeChat, wire.ChatSend{Text: "still here"})
	}
}

func TestLobbyOverThreeNodes(t *testing.T) {
	c := newNodes(t, 3, func(*Config) {})
	settings := grant.Settings{Revision: 1, WaitingRoom: true, MaxParticipants: 4}
	var early []*client
	for i, r := range c.rigs {
		id := fmt.Sprint("pt_", i)
		client := r.connect(r.token(claims(id, grant.Attendee, settings)))
		client.hello(id, "")
		client.await(wire.TypeWaiting)
		early = append(early, client)
	}
	host := c.rigs[1].joinWith(claims("pt_host", grant.Host, settings))
	eventually(t, "the host knows who waits", func() bool { return len(c.rigs[1].svc.Participants("mtg_1")) == 4 })
	host.ok(wire.TypeAdmit, wire.Target{ParticipantID: "pt_0"})
	early[0].await(wire.TypeSnapshot)
	host.ok(wire.TypeAdmit, wire.Target{ParticipantID: "pt_2"})
	early[2].await(wire.TypeSnapshot)
	// Nothing holds the last one any more: it is let in by itself.
	if err := c.rigs[2].svc.SetSettings(context.Background(), "mtg_1", grant.Settings{Revision: 2, MaxParticipants: 4}); err != nil {
		t.Fatal(err)
	}
	early[1].await(wire.TypeAdmitted)
	early[1].await(wire.TypeSnapshot)
	late := c.rigs[0].connect(c.rigs[0].token(claims("pt_late", grant.Attendee, settings)))
	late.hello("pt_late", "")
	late.closedWith(wire.CloseFull)
}

func TestACameraSwitchedOffFreesItsPlaceEverywhere(t *testing.T) {
	c := newNodes(t, 3, func(*Config) {})
	settings := grant.Settings{Revision: 1, MaxCameras: 1}
	var clients []*client
	for i, r := range c.rigs {
		clients = append(clients, r.joinWith(claims(fmt.Sprint("pt_", i), grant.Attendee, settings)))
	}
	camera := func(i int) bool {
		m := clients[i].request(wire.TypeOffer, wire.Offer{SDPOffer: "o", Tracks: []wire.TrackHint{{MID: "0", Source: "camera"}}})
		var a wire.Answer
		m.read(t, &a)
		return len(a.Refused) == 0
	}
	if !camera(0) || camera(1) || camera(2) {
		t.Fatal("not exactly the first camera is on")
	}
	peer := c.rigs[0].media.peer("pt_0")
	peer.Events.TrackUnpublished(node.Track{ID: "tr_pt_0_0", Source: node.Camera})
	for i := range clients {
		clients[i].await(wire.TypeTrackUnpublished)
	}
	if !camera(1) || camera(2) {
		t.Error("not exactly one of the other cameras is on")
	}
}

func TestModerationThroughAnyNode(t *testing.T) {
	c := newNodes(t, 3, func(*Config) {})
	ctx := context.Background()
	a := c.rigs[0].join("pt_a", grant.Attendee)
	l := c.awaitLease(t, "a lease", func(lease) bool { return true })
	eventually(t, "all know the home", func() bool {
		return !slices.ContainsFunc(c.rigs, func(r *rig) bool { l, _ := r.svc.owners.lease("mtg_1"); return l.Node == "" })
	})
	for _, r := range c.rigs {
		through := r.svc
		name := through.deps.NodeID + " of home " + l.Node
		eventually(t, name+" sees the room", func() bool {
			people, locked, err := through.Presence(ctx, "mtg_1")
			return err == nil && len(people) == 1 && people[0].ID == "pt_a" && !locked
		})
		if err := through.Mute(ctx, "mtg_1", "pt_a", "microphone"); err != nil {
			t.Errorf("mute through %s: %v", name, err)
		}
		if err := through.SetLocked(ctx, "mtg_1", true); err != nil {
			t.Errorf("lock through %s: %v", name, err)
		}
		eventually(t, "it is locked", func() bool { return c.rigs[0].svc.Locked("mtg_1") })
		if _, locked, err := through.Presence(ctx, "mtg_1"); !locked || err != nil {
			t.Errorf("%s sees locked %v, %v", name, locked, err)
		}
		w := c.rigs[1].connect(c.rigs[1].token(claims("pt_w"+through.deps.NodeID, grant.Attendee, grant.Settings{})))
		w.hello("pt_w"+through.deps.NodeID, "")
		w.await(wire.TypeWaiting)
		eventually(t, "it is known to wait", func() bool {
			people, _, err := through.Presence(ctx, "mtg_1")
			return err == nil && len(people) == 2
		})
		if err := through.Deny(ctx, "mtg_1", "pt_w"+through.deps.NodeID); err != nil {
			t.Errorf("deny through %s: %v", name, err)
		}
		w.closedWith(wire.CloseRemoved)
		if err := through.SetLocked(ctx, "mtg_1", false); err != nil {
			t.Errorf("unlock through %s: %v", name, err)
		}
		eventually(t, "it is unlocked", func() bool {
			people, locked, err := through.Presence(ctx, "mtg_1")
			return err == nil && !locked && len(people) == 1 && !c.rigs[0].svc.Locked("mtg_1") && !c.rigs[1].svc.Locked("mtg_1")
		})
		if err := through.Remove(ctx, "mtg_1", "pt_nobody"); asError(err).Kind != node.NotFound {
			t.Errorf("removing nobody through %s: %v", name, err)
		}
	}
	if people, _, err := c.rigs[2].svc.Presence(ctx, "mtg_other"); err != nil || people != nil {
		t.Errorf("in a meeting without anybody: %v, %v", people, err)
	}
	if err := c.rigs[2].svc.Remove(ctx, "mtg_1", "pt_a"); err != nil {
		t.Error(err)
	}
	a.closedWith(wire.CloseRemoved)
}

// A real NATS goes away and comes back: calls go on, nobody is forgotten, and two seconds later all know what happened.
func TestAllIsKnownSoonAfterNATSIsBack(t *testing.T) {
	address, dir := freeAddress(t), t.TempDir()
	serve := func() (stop func()) {
		_, stop = runBus(t, func(c *bus.Config) { c.DataDir, c.Listen = dir, address })
		return stop
	}
	stop := serve()
	c := newNodesAt(t, 3, "nats://"+address, func(c *Config) { c.DigestEvery, c.NodeSilence = time.Minute, time.Hour })
	var clients []*client
	for i, r := range c.rigs {
		clients = append(clients, r.join(fmt.Sprint("pt_", i), grant.Attendee))
	}
	everywhere := func(n int) func() bool {
		return func() bool {
			return !slices.ContainsFunc(c.rigs, func(r *rig) bool { return len(r.svc.Participants("mtg_1")) != n })
		}
	}
	eventually(t, "all know all", everywhere(3))
	stop()
	for _, b := range c.buses {
		eventually(t, "it is noticed", func() bool { return !b.Connected() })
	}
	for i, r := range c.rigs {
		clients[i].ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(true)})
		r.join(fmt.Sprint("pt_late", i), grant.Attendee) // without the home
		if n := len(r.svc.Participants("mtg_1")); n != 4 {
			t.Errorf("%s knows %d participants", r.svc.deps.NodeID, n)
		}
	}
	serve()
	back := time.Now()
	eventually(t, "all know all again", everywhere(6))
	if took := time.Since(back); took > 2*time.Second {
		t.Errorf("it took %v", took)
	} else {
		t.Logf("one roster after %v", took)
	}
}
