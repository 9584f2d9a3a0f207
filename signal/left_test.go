package signal

import (
	"runtime"
	"testing"
	"weak"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// TestNobodyWhoHasLeftIsRemembered: neither the room, nor the service, nor whoever was there with them holds a member or a session.
func TestNobodyWhoHasLeftIsRemembered(t *testing.T) {
	for _, tc := range []struct {
		name string
		part func(t *testing.T, r *rig, id string, guest, stays *client)
	}{
		{"leaves", func(_ *testing.T, _ *rig, _ string, guest, _ *client) { guest.leave() }},
		{"loses its socket, resumes and leaves", func(_ *testing.T, r *rig, _ string, guest, _ *client) {
			guest.lose()
			again := r.connect(resumeToken(r.t, guest.snapshot))
			again.ok(wire.TypeResume, wire.Resume{LastSeq: guest.snapshot.Seq})
			again.leave()
		}},
		{"is removed", func(_ *testing.T, _ *rig, id string, guest, stays *client) {
			stays.ok(wire.TypeRemove, wire.Target{ParticipantID: id})
			guest.closedWith(wire.CloseRemoved)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// The runtime may keep a stopped timer until it would have been due.
			r := newRig(t, withConfig(func(c *Config) { c.Grace = patience / 4 }))
			stays := r.join("pt_stays", grant.Host)
			var members []weak.Pointer[member]
			var sessions []weak.Pointer[session]
			for _, id := range []string{"pt_a", "pt_b", "pt_c"} {
				t.Run(id, func(t *testing.T) {
					here := *r
					here.t = t // whose cleanups let go of the guest
					guest := here.connect(here.token(claims(id, grant.Attendee, grant.Settings{})))
					guest.hello(id, "offer", wire.TrackHint{MID: "0", Source: "camera"})
					guest.snapshot = guest.await(wire.TypeSnapshot)
					m, s := r.serving(id)
					members, sessions = append(members, m), append(sessions, s)
					tc.part(t, &here, id, guest, stays)
					eventually(t, "the guest has left", func() bool { return len(r.svc.Participants("mtg_1")) == 1 })
				})
				r.media.forget(id)
			}
			eventually(t, "all who have left are forgotten", func() bool {
				runtime.GC()
				return remembered(members)+remembered(sessions) == 0
			})
		})
	}
}

// serving is a member and its session, without keeping them.
func (r *rig) serving(id string) (weak.Pointer[member], weak.Pointer[session]) {
	room := r.svc.room("mtg_1")
	room.mu.Lock()
	defer room.mu.Unlock()
	m := room.members[id]
	return weak.Make(m), weak.Make(m.session)
}

// forget drops a peer that the test has no more questions about.
func (f *fakeMedia) forget(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.peers, id)
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
