package signal

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/sfu"
	"github.com/parley-sfu/parley/signal/wire"
)

// split is two signalling nodes without media, s1 and s2, and two media nodes whose SFUs the test plays, m1 and m2.
type split struct {
	gossip *gossip
	signal map[string]*rig
	media  map[string]*fakeMedia
	stop   map[string]func() // a media node's service on the bus
}

func newSplit(t *testing.T) *split {
	t.Helper()
	address := freeAddress(t)
	startBus(t, func(c *bus.Config) { c.DataDir, c.Listen = t.TempDir(), address })
	s := &split{
		gossip: &gossip{}, signal: map[string]*rig{}, media: map[string]*fakeMedia{}, stop: map[string]func(){},
	}
	log := slog.New(slog.DiscardHandler)
	locator, err := placement.NewLocator(placement.LocatorConfig{Region: "r"}, s.gossip.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"m1", "m2", "s1", "s2"} {
		b := startBus(t, func(c *bus.Config) { c.URL = "nats://" + address })
		s.gossip.see(append(s.gossip.Nodes(), placement.Node{
			ID: id, Region: "r", SFUEndpoint: id + ":1", SignalEndpoint: map[byte]string{'s': "ws://" + id}[id[0]], Roles: []string{map[byte]string{'m': "media", 's': "signal"}[id[0]]}, Protocol: placement.CurrentProtocol, Incarnation: 1,
		})...)
		if id[0] == 'm' {
			s.media[id] = &fakeMedia{peers: map[string]*fakePeer{}}
			s.stop[id] = background(t, sfu.NewServer(s.media[id], b, s.gossip, id, log).Run)
			continue
		}
		fleet := sfu.NewFleet(b, s.gossip, id, log)
		background(t, fleet.Run)
		s.signal[id] = newRig(t, func(_ *Config, d *Deps) {
			d.Media, d.Fleet, d.Bus, d.Cluster, d.Locator, d.NodeID = nil, fleet, b, s.gossip, locator, id
			if one := s.signal["s1"]; one != nil {
				d.Keys, d.Revoked = one.keys, one.revoked
			}
		})
	}
	return s
}

// background runs a component until the test is over or stop is called.
func background(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// onMedia are the claims of a participant whose media is to be on a node, or else on the next.
func onMedia(id string, settings grant.Settings, nodes ...string) grant.Claims {
	c := claims(id, grant.Attendee, settings)
	for _, n := range nodes {
		c.Nodes = append(c.Nodes, grant.Candidate{Node: n})
	}
	return c
}

// publish joins with media and waits for the snapshot.
func (r *rig) publish(c grant.Claims, tracks ...wire.TrackHint) *client {
	r.t.Helper()
	k := r.connect(r.token(c))
	k.hello(c.ParticipantID, "offer", tracks...)
	k.await(wire.TypeAnswer)
	k.snapshot = k.await(wire.TypeSnapshot)
	return k
}

// throwOut ends a participant's stay at once.
func (r *rig) throwOut(id string) {
	r.t.Helper()
	if err := r.svc.Remove(context.Background(), "mtg_1", id); err != nil {
		r.t.Fatal(err)
	}
}

func camera(mid string) wire.TrackHint { return wire.TrackHint{MID: mid, Source: "camera"} }

// shows says which tracks the SFU of a media node has from elsewhere.
func (f *fakeMedia) shows() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.remote)
}

func (s *split) eventuallyShows(t *testing.T, where string, want map[string]string) {
	t.Helper()
	eventually(t, where+" knows what is elsewhere", func() bool { return maps.Equal(s.media[where].shows(), want) })
}

func TestMediaIsOnOtherNodesThanSignalling(t *testing.T) {
	s := newSplit(t)
	a := s.signal["s1"].publish(onMedia("pt_a", grant.Settings{}, "m1", "m2"), camera("0"), wire.TrackHint{MID: "1", Source: "microphone"})
	s.signal["s2"].publish(onMedia("pt_b", grant.Settings{}, "m2", "m1"), camera("0"))
	a.await(wire.TypeTrackPublished)
	s.eventuallyShows(t, "m1", map[string]string{"tr_pt_b_0": "m2"})
	s.eventuallyShows(t, "m2", map[string]string{"tr_pt_a_0": "m1", "tr_pt_a_1": "m1"})
	s.signal["s2"].publish(onMedia("pt_c", grant.Settings{}, "m1"), camera("0"))
	s.eventuallyShows(t, "m2", map[string]string{"tr_pt_a_0": "m1", "tr_pt_a_1": "m1", "tr_pt_c_0": "m1"})

	a.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{AudioMuted: new(true)})
	peer := s.media["m1"].peer("pt_a")
	if !peer.is(func(p *fakePeer) bool { return p.muted[node.Microphone] && !p.muted[node.Camera] }) {
		t.Error("the SFU does not know that the microphone is muted")
	}
	a.ok(wire.TypeSubscriptionUpdate, wire.SubscriptionUpdate{Mode: "auto"})
	if !peer.is(func(p *fakePeer) bool { return p.wish.Auto }) {
		t.Error("the SFU does not know what is wanted")
	}
	peer.Events.SlotsChanged([]node.Slot{{MID: "3", TrackID: "tr_pt_b_0", Kind: node.Video, State: node.SlotActive}})
	var slots wire.Slots
	a.await(wire.TypeSlots).read(t, &slots)
	if len(slots.Slots) != 1 || slots.Slots[0].TrackID != "tr_pt_b_0" {
		t.Errorf("told of slots %+v", slots)
	}
	s.signal["s1"].throwOut("pt_a")
	s.signal["s2"].throwOut("pt_c")
	for _, id := range []string{"pt_a", "pt_c"} {
		eventually(t, id+" is closed", func() bool { return s.media["m1"].peer(id).is(func(p *fakePeer) bool { return p.closed }) })
	}
	s.eventuallyShows(t, "m1", map[string]string{})
	s.eventuallyShows(t, "m2", map[string]string{})
}

func TestMediaLivesOnWhenSignallingMoves(t *testing.T) {
	s := newSplit(t)
	a := s.signal["s1"].publish(onMedia("pt_a", grant.Settings{}, "m1"), camera("0"))
	a.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{VideoMuted: new(true)})
	for _, tc := range []struct {
		name  string
		known bool // the room is known on s2
	}{{"to a node that knows nothing of the room", false}, {"to a node that knows the room", true}} {
		t.Run(tc.name, func(t *testing.T) {
			peer := s.media["m1"].peer("pt_a")
			from, to := s.signal["s1"], s.signal["s2"]
			if tc.known {
				from, to = to, from
				to.publish(onMedia("pt_w", grant.Settings{}, "m2"))
				eventually(t, "it knows pt_a", func() bool { return len(to.svc.Participants("mtg_1")) == 2 })
			}
			a.lose()
			a = to.connect(resumeToken(t, a.snapshot))
			a.send(wire.TypeResume, wire.Resume{LastSeq: 40})
			a.snapshot = a.await(wire.TypeSnapshot)
			var snapshot wire.Snapshot
			a.snapshot.read(t, &snapshot)
			if a.snapshot.Seq != 41 || !snapshot.Self.VideoMuted || tc.known && !snapshot.Self.HandRaised {
				t.Errorf("came %s", a.snapshot.raw)
			}
			if len(snapshot.Tracks) != 1 || snapshot.Tracks[0].ID != "tr_pt_a_0" {
				t.Errorf("its tracks are %v", snapshot.Tracks)
			}
			eventually(t, "the other node let go", func() bool {
				r := from.svc.room("mtg_1")
				if r == nil {
					return true
				}
				r.mu.Lock()
				defer r.mu.Unlock()
				return r.members["pt_a"] == nil
			})
			a.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{AudioMuted: new(true)})
			if s.media["m1"].peer("pt_a") != peer || !peer.is(func(p *fakePeer) bool { return !p.closed && p.muted[node.Microphone] && p.muted[node.Camera] }) {
				t.Error("it is not the same peer, or not muted any more")
			}
			a.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{AudioMuted: new(false), HandRaised: new(true)})
		})
	}
}

func TestAMediaNodeDies(t *testing.T) {
	s := newSplit(t)
	one := s.signal["s1"]
	w := one.publish(onMedia("pt_w", grant.Settings{}, "m2"))
	a := one.publish(onMedia("pt_a", grant.Settings{}, "m1", "m2"), camera("0"))
	w.await(wire.TypeTrackPublished)
	s.eventuallyShows(t, "m2", map[string]string{"tr_pt_a_0": "m1"})
	s.stop["m1"]()
	s.gossip.die("m1")
	a.closedWith(wire.CloseGoingAway)
	again := one.connect(resumeToken(t, a.snapshot))
	again.send(wire.TypeResume, wire.Resume{LastSeq: a.snapshot.Seq})
	var snapshot wire.Snapshot
	first := again.await(wire.TypeSnapshot)
	first.read(t, &snapshot)
	if first.Seq != 1 || len(snapshot.Slots) != 0 {
		t.Errorf("the client is not told to start anew: %s", first.raw)
	}
	again.refused(wire.CodeSessionUnknown, wire.TypeOffer, wire.Offer{SDPOffer: "of the old connection", Tracks: []wire.TrackHint{camera("0")}})
	again.hello("pt_a", "offer", camera("5"))
	again.await(wire.TypeAnswer)
	s.eventuallyShows(t, "m2", map[string]string{})
	if s.media["m2"].peer("pt_a") == nil {
		t.Fatal("it is not on the other node")
	}
	w.ok(wire.TypeChat, wire.ChatSend{Text: "still here?"})
	for _, m := range w.kept {
		if m.Type == wire.TypeTrackUnpublished || m.Type == wire.TypeParticipantLeft {
			t.Errorf("somebody noticed: %s", m.raw)
		}
	}
}

func TestAnOfferGoesToTheNextNodeThatAnswers(t *testing.T) {
	s := newSplit(t)
	s.stop["m1"]() // dead, and gossip does not know yet
	start := time.Now()
	s.signal["s1"].publish(onMedia("pt_a", grant.Settings{}, "m1", "m2"), camera("0"))
	if s.media["m2"].peer("pt_a") == nil || s.media["m1"].peer("pt_a") != nil {
		t.Error("it is not on the node that answers")
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestCameraPlacesAcrossTiers(t *testing.T) {
	s := newSplit(t)
	one := s.signal["s1"]
	few := grant.Settings{MaxCameras: 1}
	s.media["m1"].fail = errors.New("broken")
	failing := one.connect(one.token(onMedia("pt_f", few, "m1")))
	failing.hello("pt_f", "offer", camera("0"))
	failing.await(wire.TypeError)
	s.media["m1"].mu.Lock()
	s.media["m1"].fail = nil
	s.media["m1"].mu.Unlock()

	a := one.publish(onMedia("pt_a", few, "m1"), wire.TrackHint{MID: "0", Source: "microphone"})
	one.publish(onMedia("pt_b", few, "m1"), camera("0"))
	var answer wire.Answer
	a.request(wire.TypeOffer, wire.Offer{SDPOffer: "more", Tracks: []wire.TrackHint{{MID: "0", Source: "microphone"}, camera("1")}}).read(t, &answer)
	if !slices.Equal(answer.Refused, []string{"1"}) {
		t.Errorf("a second camera: %+v", answer)
	}
	var e wire.Error
	a.await(wire.TypeError).read(t, &e)
	if e.Code != wire.CodeCamerasFull {
		t.Errorf("told %+v", e)
	}
	one.throwOut("pt_b")
	a.await(wire.TypeParticipantLeft)
	a.request(wire.TypeOffer, wire.Offer{SDPOffer: "more", Tracks: []wire.TrackHint{camera("1")}}).read(t, &answer)
	if len(answer.Refused) != 1 { // what was decoded into it stays where nothing is refused
		t.Errorf("the place of who left is not free: %+v", answer)
	}
	a.await(wire.TypeTrackPublished)
}

// An offer that names a camera which it does not have gives the place back.
func TestACameraThatIsNotThereTakesNoPlace(t *testing.T) {
	r := newRig(t)
	few := claims("pt_a", grant.Attendee, grant.Settings{MaxCameras: 1})
	a := r.publish(few)
	session := r.svc.room("mtg_1").members["pt_a"].session
	asked := &publishing{session: session}
	if !asked.allow(t.Context(), node.Camera) {
		t.Fatal("no place for the first camera")
	}
	asked.settle([]node.Track{{Source: node.Microphone}})
	if granted, fresh := session.room.home.Camera("pt_b", promise{}); !granted || !fresh {
		t.Error("the place was not given back")
	}
	a.leave()
}

// A media node drains: whoever has media there is asked to move, to other media; the others stay.
func TestDrainOfAMediaNode(t *testing.T) {
	s := newSplit(t)
	moves := s.signal["s1"].publish(onMedia("pt_a", grant.Settings{}, "m1", "m2"), wire.TrackHint{MID: "0", Source: "camera"})
	stays := s.signal["s1"].publish(onMedia("pt_b", grant.Settings{}, "m2", "m1"), wire.TrackHint{MID: "0", Source: "camera"})
	s.gossip.drain("m1", true)
	claims, err := s.signal["s1"].keys.VerifyJoin(told(t, moves).JoinToken)
	if err != nil || claims.ParticipantID != "pt_a" || len(claims.Nodes) == 0 || claims.Nodes[0].Node != "m2" {
		t.Errorf("asked to move with %+v, %v", claims, err)
	}
	quiet(t, stays, wire.TypeMigrate)
}
