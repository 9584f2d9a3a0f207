package signal

import (
	"math"
	"testing"
	"time"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

func resumeToken(t *testing.T, snapshot message) string {
	t.Helper()
	var s wire.Snapshot
	snapshot.read(t, &s)
	return s.ResumeToken
}

func TestResumeGoesOnWhereItStopped(t *testing.T) {
	r := newRig(t)
	a, b := r.join("pt_a", grant.Attendee), r.join("pt_b", grant.Attendee)
	last := a.await(wire.TypeParticipantJoined).Seq
	a.lose()
	eventually(t, "a reconnecting", func() bool { return r.svc.Participants("mtg_1")[0].State == Reconnecting })
	for i := range 5 {
		b.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(i%2 == 0)})
	}
	again := r.connect(resumeToken(t, a.snapshot))
	again.ok(wire.TypeResume, wire.Resume{LastSeq: last})
	for i := range uint64(5) {
		if m := again.await(wire.TypePresenceChanged); m.Seq != last+1+i {
			t.Errorf("after %d came %s", last+i, m.raw)
		}
	}
	for _, m := range b.kept { // b saw its own hand, and nobody come or go
		if m.Type != wire.TypePresenceChanged {
			t.Errorf("b noticed: %s", m.raw)
		}
	}
}

// The network is gone again before the client could say anything over its new socket. Its place is kept as long as after any loss.
func TestSilenceOfWhoResumesIsALoss(t *testing.T) {
	r := newRig(t, withConfig(func(c *Config) { c.HelloTimeout = 50 * time.Millisecond }))
	a := r.join("pt_a", grant.Attendee)
	a.lose()
	r.connect(resumeToken(t, a.snapshot))
	eventually(t, "a is back", func() bool { return r.svc.Participants("mtg_1")[0].State == Joined })
	eventually(t, "a is lost again", func() bool {
		all := r.svc.Participants("mtg_1")
		return len(all) == 0 || all[0].State == Reconnecting
	})
	if all := r.svc.Participants("mtg_1"); len(all) != 1 {
		t.Fatal("a was put out of the room")
	}
	again := r.connect(resumeToken(t, a.snapshot))
	again.ok(wire.TypeResume, wire.Resume{LastSeq: a.snapshot.Seq})
}

func TestNothingOvertakesAResume(t *testing.T) {
	r := newRig(t)
	a, b := r.join("pt_a", grant.Attendee), r.join("pt_b", grant.Attendee)
	last := a.await(wire.TypeParticipantJoined).Seq
	a.lose()
	b.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(true)})
	again := r.connect(resumeToken(t, a.snapshot))
	eventually(t, "a is back", func() bool { return r.svc.Participants("mtg_1")[0].State == Joined })
	b.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(false)})
	again.send(wire.TypeResume, wire.Resume{LastSeq: last})
	for i := range uint64(2) {
		if m, _ := again.next(); m.Seq != last+1+i {
			t.Errorf("after %d came %s", last+i, m.raw)
		}
	}
}

func TestResumeFallsBackToASnapshot(t *testing.T) {
	for _, tc := range []struct {
		name string
		last uint64
	}{{"of the future", math.MaxUint64}, {"one too many", 1000}, {"forgotten", 0}} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, withConfig(func(c *Config) { c.KeptEvents = 2 }))
			a := r.join("pt_a", grant.Attendee)
			for i := range 5 {
				a.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(i%2 == 0)})
			}
			a.kept = nil
			id := a.send(wire.TypeResume, wire.Resume{LastSeq: tc.last}) // on a live socket: after a gap
			if m, _ := a.next(); m.Type != wire.TypeSnapshot || m.Seq != 7 {
				t.Errorf("got %s", m.raw)
			}
			if m, _ := a.next(); m.ReplyTo != id || m.Type != wire.TypeOK {
				t.Errorf("got %s", m.raw)
			}
		})
	}
}

func TestResumeOnANodeThatNeverSawTheSession(t *testing.T) {
	r := newRig(t)
	c := claims("pt_a", grant.Attendee, grant.Settings{WaitingRoom: true})
	token, _, err := r.keys.IssueResume(c)
	if err != nil {
		t.Fatal(err)
	}
	a := r.connect(token)
	a.ok(wire.TypeResume, wire.Resume{LastSeq: 41})
	if m := a.await(wire.TypeSnapshot); m.Seq != 1 {
		t.Errorf("got %s", m.raw)
	}
	if m := a.request(wire.TypeHello, wire.Hello{ParticipantID: "pt_a", SDPOffer: "offer"}); m.Type != wire.TypeAnswer {
		t.Errorf("hello after resume was answered %s", m.raw)
	}
}

func TestJoinTokenResumesNothingItHasNot(t *testing.T) {
	r := newRig(t)
	a := r.connect(r.token(claims("pt_a", grant.Attendee, grant.Settings{WaitingRoom: true})))
	a.refused(wire.CodeSessionUnknown, wire.TypeResume, wire.Resume{LastSeq: 0})
	a.refused(wire.CodeDenied, wire.TypeChat, wire.ChatSend{Text: "hi"})
}

func TestGraceEndsAndThenOthersSeeTheLeave(t *testing.T) {
	r := newRig(t, withConfig(func(c *Config) { c.Grace = 30 * time.Millisecond }))
	a, b := r.join("pt_a", grant.Attendee), r.join("pt_b", grant.Attendee)
	a.lose()
	var left wire.ParticipantEvent
	b.await(wire.TypeParticipantLeft).read(t, &left)
	if left.Participant.ID != "pt_a" {
		t.Errorf("%+v left", left)
	}
	b.lose()
	eventually(t, "room closed", func() bool { return r.svc.room("mtg_1") == nil })
}

func TestEventLog(t *testing.T) {
	log := newEventLog(3)
	for n := range 5 {
		if seq := log.add(event{typ: string(rune('a' + n))}); seq != uint64(n+1) {
			t.Fatalf("event %d has number %d", n+1, seq)
		}
	}
	check := func(last uint64, want string, ok bool) {
		t.Helper()
		events, got := log.after(last)
		var types string
		for _, e := range events {
			types += e.typ
		}
		if got != ok || types != want {
			t.Errorf("after(%d) = %q, %t; want %q, %t", last, types, got, want, ok)
		}
	}
	check(5, "", true)
	check(4, "e", true)
	check(2, "cde", true)
	check(1, "", false)
	check(0, "", false)
	check(6, "", false)
	check(math.MaxUint64, "", false)
	if seq := log.restart(); seq != 6 {
		t.Errorf("the snapshot has number %d", seq)
	}
	check(5, "", false)
	check(6, "", true)
	log.add(event{typ: "x"})
	check(6, "x", true)
}
