package signal

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/wire"
)

// fleet is nodes that a participant can be moved to.
type fleet struct {
	*placement.Locator
	*gossip
}

func newFleet(t *testing.T, nodes ...string) *fleet {
	t.Helper()
	f := &fleet{gossip: &gossip{}}
	for _, id := range nodes {
		f.nodes = append(f.nodes, placement.Node{ID: id, Region: "r", SFUEndpoint: id + ":1", Protocol: placement.CurrentProtocol})
	}
	var err error
	f.Locator, err = placement.NewLocator(placement.LocatorConfig{Region: "r"}, f.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// newMovingCluster is two nodes that know of each other.
func newMovingCluster(t *testing.T, change func(*Config), more ...rigOption) (one, two *rig, f *fleet) {
	t.Helper()
	f = newFleet(t, "n1", "n2")
	one, two = newCluster(t, func(c *Config) {
		c.migration.moveEvery, c.migration.lookEvery = time.Millisecond, 10*time.Millisecond
		change(c)
	}, append(more, func(_ *Config, d *Deps) { d.Cluster, d.Locator = f, f })...)
	for id, r := range map[string]*rig{"n1": one, "n2": two} {
		f.change(id, func(n *placement.Node) { n.SignalEndpoint = "ws" + strings.TrimPrefix(r.server.URL, "http") })
	}
	return one, two, f
}

// told waits until a client is asked to move.
func told(t *testing.T, c *client) wire.Migrate {
	t.Helper()
	var m wire.Migrate
	c.await(wire.TypeMigrate).read(t, &m)
	return m
}

// quiet fails the test if a client has been told of any of these by now.
func quiet(t *testing.T, c *client, types ...string) {
	t.Helper()
	c.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{}) // everything before it has come
	for _, m := range c.kept {
		if slices.Contains(types, m.Type) {
			t.Errorf("somebody noticed: %s", m.raw)
		}
	}
}

func memberOf(r *rig, id string) (here bool) {
	room := r.svc.room("mtg_1")
	if room == nil {
		return false
	}
	room.mu.Lock()
	defer room.mu.Unlock()
	return room.members[id] != nil
}

// Somebody moves to a node on which the room is open, and nobody sees it. Both paths are up until the client closes the old
// one.
func TestDrainMovesWithBothPathsUp(t *testing.T) {
	one, two, f := newMovingCluster(t, func(*Config) {})
	moved := one.svc.metrics.migrations.moved.Value()
	stays := two.join("pt_s", grant.Attendee)
	a := one.connect(one.token(claims("pt_a", grant.Attendee, grant.Settings{})))
	a.hello("pt_a", "offer", wire.TrackHint{MID: "0", Source: "camera"}, wire.TrackHint{MID: "1", Source: "microphone"})
	a.await(wire.TypeSnapshot)
	a.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(true), AudioMuted: new(true)})
	stays.await(wire.TypePresenceChanged)

	f.drain("n1", true)
	m := told(t, a)
	if m.SFUEndpoint != "n2:1" || m.SignalEndpoint == "" {
		t.Errorf("asked to move to %+v", m)
	}
	b := two.connect(m.JoinToken)
	b.hello("pt_a", "offer", wire.TrackHint{MID: "7", Source: "microphone"}, wire.TrackHint{MID: "8", Source: "camera"})
	var s wire.Snapshot
	b.await(wire.TypeSnapshot).read(t, &s)
	if !s.Self.HandRaised || !s.Self.AudioMuted || len(s.Participants) != 2 {
		t.Errorf("the snapshot is %+v", s)
	}
	if len(s.Tracks) != 2 || s.Tracks[0].ID != "tr_pt_a_1" || s.Tracks[1].ID != "tr_pt_a_0" {
		t.Errorf("tracks are %+v", s.Tracks)
	}
	stays.ok(wire.TypeChat, wire.ChatSend{Text: "to both"})
	b.await(wire.TypeChat)
	a.await(wire.TypeChat)
	if one.media.peer("pt_a").is(func(p *fakePeer) bool { return p.closed }) {
		t.Error("the old media are gone too early")
	}
	a.leave()
	eventually(t, "the old media are gone", func() bool {
		return one.media.peer("pt_a").is(func(p *fakePeer) bool { return p.closed })
	})
	eventually(t, "n1 is empty", func() bool { return one.svc.room("mtg_1") == nil })
	quiet(t, stays, wire.TypeParticipantLeft, wire.TypeParticipantJoined, wire.TypeTrackPublished, wire.TypeTrackUnpublished, wire.TypePresenceChanged)
	if people := two.svc.Participants("mtg_1"); len(people) != 2 {
		t.Errorf("participants are %+v", people)
	}
	if n := one.svc.metrics.migrations.moved.Value() - moved; n != 1 {
		t.Errorf("%d were counted", n)
	}
}

// The node that somebody is moved to has not opened the room yet, which is locked, full and has a lobby: the token says who
// comes and what it has.
func TestDrainMovesToANodeWithoutTheRoom(t *testing.T) {
	deaf := &deafBus{}
	one, two, f := newMovingCluster(t, func(*Config) {}, func(_ *Config, d *Deps) {
		if d.NodeID == "n2" {
			deaf.Bus, d.Bus = d.Bus, deaf
		}
	})
	settings := grant.Settings{Revision: 1, MaxParticipants: 1, MaxCameras: 1, WaitingRoom: true}
	host := one.connect(one.token(claims("pt_a", grant.Attendee, settings)))
	host.hello("pt_a", "offer", wire.TrackHint{MID: "0", Source: "camera"})
	host.await(wire.TypeWaiting)
	if err := one.svc.Admit(t.Context(), "mtg_1", "pt_a"); err != nil {
		t.Fatal(err)
	}
	host.await(wire.TypeSnapshot)
	joined := one.svc.Participants("mtg_1")[0].JoinedAt
	f.drain("n1", true)
	m := told(t, host)
	b := two.connect(m.JoinToken)
	b.hello("pt_a", "offer", wire.TrackHint{MID: "3", Source: "camera"})
	var s wire.Snapshot
	b.await(wire.TypeSnapshot).read(t, &s)
	if len(s.Tracks) != 1 || s.Tracks[0].ID != "tr_pt_a_0" {
		t.Errorf("tracks are %+v", s.Tracks)
	}
	if at := two.svc.Participants("mtg_1")[0].JoinedAt; at.Sub(joined).Abs() > time.Millisecond {
		t.Errorf("joined at %s, then at %s", joined, at)
	}
}

// deafBus hears nothing of other nodes' rosters.
type deafBus struct{ Bus }

func (b *deafBus) Subscribe(string, func(string, []byte)) (func(), error) { return func() {}, nil }

// Who waits for a seat is moved too, and waits there.
func TestDrainMovesTheLobby(t *testing.T) {
	one, two, f := newMovingCluster(t, func(*Config) {})
	host := two.join("pt_host", grant.Host)
	w := one.knock("pt_w", grant.Settings{Revision: 1, WaitingRoom: true})
	host.await(wire.TypeKnock)
	f.drain("n1", true)
	again := two.connect(told(t, w).JoinToken)
	again.hello("pt_w", "")
	again.await(wire.TypeWaiting)
	w.leave()
	eventually(t, "n1 let go", func() bool { return !memberOf(one, "pt_w") })
	host.ok(wire.TypeAdmit, wire.Target{ParticipantID: "pt_w"})
	again.await(wire.TypeSnapshot)
	quiet(t, host, wire.TypeParticipantLeft, wire.TypeKnock)
}

func TestOldPathEndsByItself(t *testing.T) {
	one, two, f := newMovingCluster(t, func(c *Config) { c.migration.overlap = 50 * time.Millisecond })
	stays := two.join("pt_s", grant.Attendee)
	a := one.join("pt_a", grant.Attendee)
	stays.await(wire.TypeParticipantJoined)
	f.drain("n1", true)
	b := two.connect(told(t, a).JoinToken)
	b.hello("pt_a", "")
	b.await(wire.TypeSnapshot)
	a.closedWith(wire.CloseGoingAway)
	eventually(t, "n1 let go", func() bool { return !memberOf(one, "pt_a") })
	quiet(t, stays, wire.TypeParticipantLeft, wire.TypeParticipantJoined)
}

// The move fails half way: the new session ends, the old one goes on as if nothing had been.
func TestAMoveThatFailsLeavesTheOldSession(t *testing.T) {
	one, two, f := newMovingCluster(t, func(c *Config) { c.migration.overlap = time.Hour }) // the test says when it is over
	stays := two.join("pt_s", grant.Attendee)
	a := one.join("pt_a", grant.Attendee)
	stays.await(wire.TypeParticipantJoined)
	f.drain("n1", true)
	b := two.connect(told(t, a).JoinToken)
	b.hello("pt_a", "")
	b.await(wire.TypeSnapshot)
	room := one.svc.room("mtg_1")
	inRoom := func(is func(old *session) bool) func() bool {
		return func() bool {
			room.mu.Lock()
			defer room.mu.Unlock()
			return is(room.members["pt_a"].session)
		}
	}
	eventually(t, "n1 knows of the new session", inRoom(func(old *session) bool { return old.move.overlap != nil }))
	b.leave()
	eventually(t, "n1 knows that it has ended", inRoom(func(*session) bool { return !room.elsewhereLocked("pt_a") }))
	var old *session
	inRoom(func(s *session) bool { old = s; return s.move.overlap.Stop() })()
	room.endOverlap(old)
	a.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(true)})
	stays.await(wire.TypePresenceChanged)
	quiet(t, stays, wire.TypeParticipantLeft, wire.TypeParticipantJoined)
}

// A client that does not know session.migrate is asked again, and cut off at the deadline; it resumes elsewhere.
func TestDrainHasADeadline(t *testing.T) {
	one, two, f := newMovingCluster(t, func(c *Config) {
		c.DrainDeadline, c.migration.askAgain = 300*time.Millisecond, 50*time.Millisecond
	})
	f.see(append(f.Nodes(), placement.Node{ID: "n3", Region: "r", SFUEndpoint: "n3:1", SignalEndpoint: "ws://n3", Protocol: placement.CurrentProtocol})...)
	cut := one.svc.metrics.migrations.cut.Value()
	stays := two.join("pt_s", grant.Attendee)
	a := one.join("pt_a", grant.Attendee)
	stays.await(wire.TypeParticipantJoined)
	f.drain("n1", true)
	asked := map[string]int{}
	for _, m := range a.closedWith(wire.CloseGoingAway) {
		if m.Type == wire.TypeMigrate {
			var to wire.Migrate
			m.read(t, &to)
			asked[to.SFUEndpoint]++
		}
	}
	if len(asked) != 2 {
		t.Errorf("asked to move to %v, each once or more", asked)
	}
	eventually(t, "one was counted", func() bool { return one.svc.metrics.migrations.cut.Value() == cut+1 })
	again := two.connect(resumeToken(t, a.snapshot))
	again.ok(wire.TypeResume, wire.Resume{LastSeq: 1})
	eventually(t, "n1 let go", func() bool { return !memberOf(one, "pt_a") })
	quiet(t, stays, wire.TypeParticipantLeft, wire.TypeParticipantJoined)
}

// Nobody is moved where there is no node to go to, or none that understands; once there is one, everybody is.
func TestDrainWaitsForANodeToGoTo(t *testing.T) {
	one, _, f := newMovingCluster(t, func(*Config) {})
	f.change("n2", func(n *placement.Node) { n.Protocol = 0 })
	a := one.join("pt_a", grant.Attendee)
	f.drain("n1", true)
	late := one.join("pt_b", grant.Attendee) // refused nothing
	quiet(t, a, wire.TypeMigrate)
	f.drain("n2", true)
	f.change("n2", func(n *placement.Node) { n.Protocol = 1 })
	quiet(t, a, wire.TypeMigrate)
	f.drain("n2", false)
	told(t, a)
	told(t, late)
}

func TestUndrainStopsMoving(t *testing.T) {
	one, _, f := newMovingCluster(t, func(c *Config) {
		c.DrainDeadline, c.migration.askAgain = 100*time.Millisecond, time.Millisecond
	})
	a := one.join("pt_a", grant.Attendee)
	f.drain("n1", true)
	told(t, a)
	f.drain("n1", false)
	quiet(t, a) // whatever was under way has come
	a.kept = nil
	quiet(t, a, wire.TypeMigrate)
}

// A node dies, and who was on it resumes on one that knows nothing of the room: the resume token says what it published.
func TestResumedElsewhereKeepsTheIDsOfItsTracks(t *testing.T) {
	for name, media := range map[string]bool{"media come with the hello": false, "media come after the resume": true} {
		t.Run(name, func(t *testing.T) {
			one := newRig(t)
			two := newRig(t, func(_ *Config, d *Deps) { d.NodeID, d.Keys, d.Revoked = "n2", one.keys, one.revoked })
			a := one.connect(one.token(claims("pt_a", grant.Attendee, grant.Settings{})))
			a.hello("pt_a", "offer", wire.TrackHint{MID: "0", Source: "camera"}, wire.TrackHint{MID: "1", Source: "microphone"})
			again := two.connect(resumeToken(t, a.await(wire.TypeSnapshot)))
			if media {
				again.send(wire.TypeResume, wire.Resume{LastSeq: 7})
				again.await(wire.TypeSnapshot)
			}
			again.hello("pt_a", "offer", wire.TrackHint{MID: "5", Source: "microphone"}, wire.TrackHint{MID: "6", Source: "camera"})
			again.await(wire.TypeAnswer)
			tracks := two.media.peer("pt_a").tracks
			if len(tracks) != 2 || tracks[0].ID != "tr_pt_a_1" || tracks[1].ID != "tr_pt_a_0" {
				t.Errorf("tracks are %+v", tracks)
			}
		})
	}
}

// The release before says less: what it leaves out is as it was, and of what a later one adds nothing is refused.
func TestOtherReleasesAreUnderstood(t *testing.T) {
	r := newRig(t)
	a := r.join("pt_a", grant.Attendee)
	for _, data := range []string{
		`{"node":"n0","incarnation":5,"version":1,"step":true,"set":{"id":"pt_b","display_name":"B","role":"attendee","audio_muted":false,` +
			`"video_muted":false,"hand_raised":false,"screen_sharing":false,"state":"joined","joined_at":"2026-11-01T00:00:00Z","since":7,` +
			`"tracks":[{"id":"tr_b","participant_id":"pt_b","kind":"audio","source":"microphone","layers":[]}]}}`,
		`{"node":"n0","incarnation":5,"version":2,"step":true,"set":{"id":"pt_c","display_name":"C","role":"host","state":"joined","since":8,` +
			`"a_later_field":{"x":[1]}},"another":true}`,
	} {
		r.svc.fabric.inbox <- delivery{roomSubject + "mtg_1.n0", []byte(data)}
	}
	a.await(wire.TypeTrackPublished)
	eventually(t, "all are known", func() bool { return len(r.svc.Participants("mtg_1")) == 3 })
	for _, data := range []string{`{"op":"roster","meeting":"mtg_1"}`, `{"op":"roster","meeting":"mtg_1","later":1}`} {
		answer, err := r.svc.obey(t.Context(), []byte(data))
		if err != nil || !strings.Contains(string(answer), `"pt_a"`) {
			t.Errorf("%s: %s, %v", data, answer, err)
		}
	}
	if answer, err := r.svc.obey(t.Context(), []byte(`{"op":"of_a_later_release","meeting":"mtg_1"}`)); err != nil || !strings.Contains(string(answer), "error") {
		t.Errorf("an unknown command: %s, %v", answer, err)
	}
}

// Five hundred people do not arrive on another node all at once, nor does it take minutes.
func TestDefaultPace(t *testing.T) {
	pace := defaultMigration()
	if took := 500 * pace.moveEvery; took < 5*time.Second || took > 15*time.Second {
		t.Errorf("moving 500 takes %s", took)
	}
	if pace.askAgain <= 2*pace.lookEvery || pace.overlap < 5*time.Second || pace.askAgain >= Defaults().DrainDeadline/2 {
		t.Errorf("the pace is %+v, the deadline %s", pace, Defaults().DrainDeadline)
	}
}
