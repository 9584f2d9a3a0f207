package signal

import (
	"context"
	"errors"
	"testing"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

var waitingRoom = grant.Settings{WaitingRoom: true}

// knock connects somebody whom the lobby holds.
func (r *rig) knock(id string, settings grant.Settings) *client {
	r.t.Helper()
	c := r.connect(r.token(claims(id, grant.Attendee, settings)))
	c.hello(id, "offer")
	if m, _ := c.next(); m.Type != wire.TypeWaiting {
		r.t.Fatalf("instead of waiting came %s", m.raw)
	}
	return c
}

func TestLobbyHoldsUntilAdmitted(t *testing.T) {
	r := newRig(t)
	early := r.knock("pt_early", waitingRoom) // before any host
	host := r.joinWith(claims("pt_host", grant.Host, waitingRoom))
	var s wire.Snapshot
	host.snapshot.read(t, &s)
	if len(s.Waiting) != 1 || s.Waiting[0].ID != "pt_early" || len(s.Participants) != 1 {
		t.Errorf("the host sees %+v", s)
	}
	late := r.knock("pt_late", waitingRoom)
	var knock wire.ParticipantEvent
	host.await(wire.TypeKnock).read(t, &knock)
	if knock.Participant.ID != "pt_late" {
		t.Errorf("knock is %+v", knock)
	}
	if r.media.peer("pt_late") != nil {
		t.Error("somebody in the lobby has media")
	}
	host.ok(wire.TypeAdmit, wire.Target{ParticipantID: "pt_late"})
	for _, want := range []string{wire.TypeAdmitted, wire.TypeAnswer, wire.TypeSnapshot} {
		if m, _ := late.next(); m.Type != want {
			t.Fatalf("instead of %s came %s", want, m.raw)
		}
	}
	host.await(wire.TypeParticipantJoined)
	host.ok(wire.TypeDeny, wire.Target{ParticipantID: "pt_early"})
	before := early.closedWith(wire.CloseRemoved)
	var ended wire.Ended
	before[len(before)-1].read(t, &ended)
	if ended.Reason != "denied" {
		t.Errorf("the denied one hears %s", before[len(before)-1].raw)
	}
	host.await(wire.TypeParticipantLeft)
	host.refused(wire.CodeNotFound, wire.TypeAdmit, wire.Target{ParticipantID: "pt_early"})
}

func TestWaitingParticipantCanDoNothingElse(t *testing.T) {
	r := newRig(t)
	host := r.joinWith(claims("pt_host", grant.Host, waitingRoom))
	w := r.knock("pt_w", waitingRoom)
	host.await(wire.TypeKnock)
	for typ, body := range map[string]any{
		wire.TypeOffer:              wire.Offer{SDPOffer: "o"},
		wire.TypeCandidate:          wire.Candidate{},
		wire.TypePresenceUpdate:     wire.PresenceUpdate{HandRaised: new(true)},
		wire.TypeSubscriptionUpdate: wire.SubscriptionUpdate{Mode: "auto"},
		wire.TypeChat:               wire.ChatSend{Text: "let me in"},
		wire.TypeAdmit:              wire.Target{ParticipantID: "pt_w"},
		wire.TypeDeny:               wire.Target{ParticipantID: "pt_host"},
		wire.TypeMute:               wire.Mute{ParticipantID: "pt_host"},
		wire.TypeRemove:             wire.Target{ParticipantID: "pt_host"},
		wire.TypeLock:               wire.Empty{},
		wire.TypeUnlock:             wire.Empty{},
		wire.TypeEnd:                wire.Empty{},
	} {
		t.Run(typ, func(t *testing.T) {
			w.t = t
			w.refused(wire.CodeDenied, typ, body)
		})
	}
	w.t = t
	w.refused(wire.CodeSessionUnknown, wire.TypeResume, wire.Resume{LastSeq: 1})
	// What it is sent holds nothing of the room.
	r.join("pt_b", grant.Host)
	w.hello("pt_w", "again")
	if m, _ := w.next(); m.Type != wire.TypeWaiting {
		t.Errorf("in the lobby came %s", m.raw)
	}
	host.await(wire.TypeParticipantJoined)
	if r.media.peer("pt_w") != nil {
		t.Error("somebody in the lobby has media")
	}
}

func TestRoutesCoverTheProtocol(t *testing.T) {
	table := routes()
	for _, def := range wire.ClientMessages() {
		if _, ok := table[def.Type]; !ok {
			t.Errorf("nobody handles %s", def.Type)
		}
		delete(table, def.Type)
	}
	for typ := range table {
		t.Errorf("%s is handled, but no message", typ)
	}
}

func TestLockSendsNewcomersToTheLobbyAndUnlockLetsThemIn(t *testing.T) {
	r := newRig(t)
	host := r.join("pt_host", grant.Host)
	other := r.join("pt_a", grant.Attendee)
	host.ok(wire.TypeLock, wire.Empty{})
	var changed wire.SettingsChanged
	other.await(wire.TypeSettingsChanged).read(t, &changed)
	if !changed.Settings.Locked || !r.svc.Locked("mtg_1") {
		t.Error("the room is not locked")
	}
	w := r.knock("pt_w", grant.Settings{})
	host.await(wire.TypeKnock)
	host.ok(wire.TypeUnlock, wire.Empty{})
	w.await(wire.TypeAdmitted)
	w.await(wire.TypeSnapshot)
	other.await(wire.TypeParticipantJoined)
}

func TestRoomIsFull(t *testing.T) {
	r := newRig(t)
	two := grant.Settings{MaxParticipants: 2}
	r.joinWith(claims("pt_a", grant.Attendee, two))
	b := r.joinWith(claims("pt_b", grant.Attendee, two))
	c := r.connect(r.token(claims("pt_c", grant.Attendee, two)))
	c.hello("pt_c", "")
	before := c.closedWith(wire.CloseFull)
	c.isError(wire.CodeRoomFull, before[0])
	b.leave()
	eventually(t, "seat free", func() bool { return len(r.svc.Participants("mtg_1")) == 1 })
	r.joinWith(claims("pt_c", grant.Attendee, two))
}

func TestRemovedParticipantStaysOut(t *testing.T) {
	r := newRig(t)
	host := r.join("pt_host", grant.Host)
	c := claims("pt_a", grant.Attendee, grant.Settings{})
	token := r.token(c)
	a := r.connect(token)
	a.hello("pt_a", "")
	var s wire.Snapshot
	a.await(wire.TypeSnapshot).read(t, &s)
	host.ok(wire.TypeRemove, wire.Target{ParticipantID: "pt_a"})
	before := a.closedWith(wire.CloseRemoved)
	var ended wire.Ended
	before[len(before)-1].read(t, &ended)
	if ended.Reason != "removed" {
		t.Errorf("the removed one hears %s", before[len(before)-1].raw)
	}
	host.await(wire.TypeParticipantLeft)
	for name, credential := range map[string]string{"join token": token, "resume token": s.ResumeToken, "fresh token": r.token(c)} {
		if status, code := r.refusedUpgrade(map[string]string{"Authorization": "Bearer " + credential}); status != 403 || code != wire.CodeRemoved {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}
}

func TestMutedByTheHost(t *testing.T) {
	r := newRig(t)
	host := r.join("pt_host", grant.Host)
	a := r.connect(r.token(claims("pt_a", grant.Attendee, grant.Settings{})))
	a.hello("pt_a", "offer", wire.TrackHint{MID: "0", Source: "microphone"})
	a.await(wire.TypeSnapshot)
	host.ok(wire.TypeMute, wire.Mute{ParticipantID: "pt_a"})
	a.await(wire.TypePresenceChanged)
	peer := r.media.peer("pt_a")
	if !peer.is(func(p *fakePeer) bool { return p.muted[node.Microphone] }) {
		t.Error("the SFU was not told")
	}
	a.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{AudioMuted: new(false)})
	if peer.is(func(p *fakePeer) bool { return p.muted[node.Microphone] }) {
		t.Error("the participant cannot unmute itself")
	}
	host.refused(wire.CodeInvalidMessage, wire.TypeMute, wire.Mute{ParticipantID: "pt_a", Source: "screen"})
	host.refused(wire.CodeNotFound, wire.TypeMute, wire.Mute{ParticipantID: "pt_x"})
}

func TestEndReachesEverybodyAlsoThoseWhoWait(t *testing.T) {
	r := newRig(t)
	host := r.joinWith(claims("pt_host", grant.Host, waitingRoom))
	w := r.knock("pt_w", waitingRoom)
	host.await(wire.TypeKnock)
	host.send(wire.TypeEnd, wire.Empty{})
	for _, c := range []*client{host, w} {
		var ended wire.Ended
		c.await(wire.TypeEnded).read(t, &ended)
		if ended.Reason != "ended" {
			t.Errorf("reason is %q", ended.Reason)
		}
		c.closedWith(wire.CloseEnded)
	}
	token := r.token(claims("pt_late", grant.Attendee, waitingRoom))
	if status, code := r.refusedUpgrade(map[string]string{"Authorization": "Bearer " + token}); status != 410 || code != wire.CodeMeetingEnded {
		t.Errorf("a late one gets %d %s", status, code)
	}
	eventually(t, "room closed", func() bool { return r.svc.room("mtg_1") == nil })
}

func TestRESTModeration(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	for name, err := range map[string]error{
		"admit": r.svc.Admit(ctx, "mtg_1", "pt_a"), "deny": r.svc.Deny(ctx, "mtg_1", "pt_a"),
		"remove": r.svc.Remove(ctx, "mtg_1", "pt_a"), "mute": r.svc.Mute(ctx, "mtg_1", "pt_a", ""),
		"lock": r.svc.SetLocked(ctx, "mtg_1", true),
	} {
		if e, ok := errors.AsType[*node.Error](err); !ok || e.Kind != node.NotFound {
			t.Errorf("%s in an empty room: %v", name, err)
		}
	}
	w := r.knock("pt_w", waitingRoom)
	if all := r.svc.Participants("mtg_1"); len(all) != 1 || all[0].State != Waiting || all[0].JoinedAt.IsZero() {
		t.Errorf("participants are %+v", all)
	}
	if err := r.svc.Admit(ctx, "mtg_1", "pt_w"); err != nil {
		t.Fatal(err)
	}
	w.await(wire.TypeSnapshot)
	if all := r.svc.Participants("mtg_1"); len(all) != 1 || all[0].State != Joined || all[0].ID != "pt_w" {
		t.Errorf("participants are %+v", all)
	}
	if err := r.svc.SetSettings(ctx, "mtg_1", grant.Settings{Revision: 5, MaxCameras: 9}); err != nil {
		t.Fatal(err)
	}
	var changed wire.SettingsChanged
	w.await(wire.TypeSettingsChanged).read(t, &changed)
	if changed.Settings.MaxCameras != 9 || changed.Settings.WaitingRoom {
		t.Errorf("settings are %+v", changed.Settings)
	}
	if err := r.svc.SetSettings(ctx, "mtg_1", grant.Settings{Revision: 4}); err != nil || r.svc.room("mtg_1").home.Settings().MaxCameras != 9 {
		t.Errorf("an older revision won: %v", err)
	}
	if err := r.svc.End(ctx, "mtg_1"); err != nil {
		t.Fatal(err)
	}
	w.closedWith(wire.CloseEnded)
}
