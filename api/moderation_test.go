package api

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/signal"
	"github.com/parley-sfu/parley/signal/wire"
)

func TestModeration(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x"})
	pid := newID(participantPrefix)
	at := "/v1/meetings/" + m.ID
	for _, tc := range []struct {
		name, path string
		body       any
		want       string
	}{
		{"admit", "/participants/" + pid + "/admit", nil, "admit " + m.ID + " " + pid},
		{"deny", "/participants/" + pid + "/deny", object{}, "deny " + m.ID + " " + pid},
		{"remove", "/participants/" + pid + "/remove", nil, "remove " + m.ID + " " + pid},
		{"mute", "/participants/" + pid + "/mute", nil, "mute " + m.ID + " " + pid + " microphone"},
		{"mute camera", "/participants/" + pid + "/mute", object{"source": "camera"}, "mute " + m.ID + " " + pid + " camera"},
		{"lock", "/lock", nil, "lock " + m.ID},
		{"unlock", "/unlock", nil, "lock " + m.ID},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := r.in(t)
			for who, change := range map[string]with{"right": bearer(r.token(rightModerate)), "host key": header(HostKeyHeader, m.HostKey)} {
				r.post(at+tc.path, tc.body, change).want(http.StatusNoContent)
				if got := r.signal.took(); !slices.Equal(got, []string{tc.want}) {
					t.Errorf("%s: room heard %q, want %q", who, got, tc.want)
				}
			}
			r.post(at+tc.path, object{"x": 1}, bearer(r.token(rightModerate))).wantProblem(http.StatusBadRequest, "unknown_field")
			r.post("/v1/meetings/"+newID(meetingPrefix)+tc.path, nil, bearer(r.token(rightModerate))).wantProblem(http.StatusNotFound, "meeting_not_found")
		})
	}
	r.post(at+"/participants/"+pid+"/mute", object{"source": "screen"}, bearer(r.token(rightModerate))).
		wantProblem(http.StatusUnprocessableEntity, "validation_failed")
	r.post(at+"/participants/x/admit", nil, bearer(r.token(rightModerate))).wantProblem(http.StatusNotFound, "not_found")
	if got := r.signal.took(); got != nil {
		t.Errorf("rooms heard %q of what was refused", got)
	}
}

func TestRoomErrors(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x"})
	at := "/v1/meetings/" + m.ID + "/participants/" + newID(participantPrefix) + "/admit"
	for _, tc := range []struct {
		kind   node.ErrorKind
		code   string
		status int
	}{
		{node.NotFound, "not_found", http.StatusNotFound},
		{node.Denied, "denied", http.StatusForbidden},
		{node.Full, "room_full", http.StatusConflict},
		{node.Internal, "internal", http.StatusInternalServerError},
	} {
		t.Run(tc.code, func(t *testing.T) {
			r := r.in(t)
			r.signal.set(func(f *fakeSignal) { f.err = &node.Error{Kind: tc.kind, Code: tc.code, Say: "Said."} })
			if p := r.post(at, nil, bearer(r.token(rightModerate))).wantProblem(tc.status, tc.code); p.Detail != "Said." {
				t.Errorf("detail = %q", p.Detail)
			}
		})
	}
}

func TestParticipants(t *testing.T) {
	r := newRig(t)
	m := r.create(object{"title": "x"})
	at := "/v1/meetings/" + m.ID + "/participants"
	var v participantsView
	r.get(at, bearer(r.token(rightRead))).into(&v)
	if v.Participants == nil || len(v.Participants) != 0 || v.Locked {
		t.Errorf("nobody = %+v", v)
	}
	pid := newID(participantPrefix)
	r.signal.set(func(f *fakeSignal) {
		f.locked = true
		f.present = []signal.Participant{{
			Participant: wire.Participant{ID: pid, DisplayName: "Ada", Role: "attendee", AudioMuted: true},
			State:       signal.Waiting, JoinedAt: time.Unix(1_800_000_000, 0),
		}}
	})
	for _, change := range []with{bearer(r.token(rightRead)), bearer(r.token(rightModerate)), header(HostKeyHeader, m.HostKey)} {
		got := r.get(at, change)
		got.want(http.StatusOK)
		got.into(&v)
		want := participantView{
			ID: pid, DisplayName: "Ada", Role: "attendee", State: signal.Waiting, AudioMuted: true, JoinedAt: time.Unix(1_800_000_000, 0).UTC(),
		}
		if !v.Locked || !slices.Equal(v.Participants, []participantView{want}) {
			t.Errorf("view = %+v, want %+v", v, want)
		}
	}
}

// TestBandwidthOfParticipants: the listing tells what is known of the way to whoever receives media from this node, and nothing of others.
func TestBandwidthOfParticipants(t *testing.T) {
	here, elsewhere := newID(participantPrefix), newID(participantPrefix)
	r := newRig(t, func(_ *Config, d *Deps) {
		d.Bandwidth = func(_, participant string) (node.Bandwidth, bool) {
			return node.Bandwidth{Estimate: 3e6, Limit: "delay", Wanted: 2e6, Allocated: 1e6, Queue: 12.5, Lost: 0.01}, participant == here
		}
	})
	m := r.create(object{"title": "x"})
	r.signal.set(func(f *fakeSignal) {
		for _, id := range []string{here, elsewhere} {
			f.present = append(f.present, signal.Participant{
				Participant: wire.Participant{ID: id, DisplayName: "Ada", Role: "attendee"}, State: signal.Joined,
			})
		}
	})
	var v participantsView
	r.get("/v1/meetings/"+m.ID+"/participants", bearer(r.token(rightRead))).into(&v)
	want := bandwidthView{Estimate: 3e6, LimitedBy: "delay", Wanted: 2e6, Allocated: 1e6, QueueMS: 12.5, Lost: 0.01}
	if got := v.Participants[0].Bandwidth; got == nil || *got != want {
		t.Errorf("bandwidth = %+v, want %+v", got, want)
	}
	if got := v.Participants[1].Bandwidth; got != nil {
		t.Errorf("bandwidth of somebody elsewhere = %+v", got)
	}
}
