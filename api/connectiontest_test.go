package api

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-sfu/parley/node/grant"
)

func tests(change func(*ConnectionTests)) option {
	return func(cfg *Config, _ *Deps) { change(&cfg.ConnectionTests) }
}

func TestConnectionTestNeedsNoToken(t *testing.T) {
	r := newRig(t)
	before := r.countReads()
	got := r.post("/v1/connection-tests", nil)
	got.want(http.StatusCreated)
	var v connectionTestView
	got.into(&v)
	sender, err := r.keys.VerifyJoin(v.Sender.JoinToken)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := r.keys.VerifyJoin(v.Receiver.JoinToken)
	if err != nil {
		t.Fatal(err)
	}
	if sender.Role != grant.Attendee || receiver.Role != grant.Viewer || sender.MeetingID != receiver.MeetingID {
		t.Errorf("sender %+v\nreceiver %+v", sender, receiver)
	}
	if s := sender.Settings; s.MaxParticipants != 2 || s.Guests {
		t.Errorf("settings = %+v, want two participants and no guests", s)
	}
	if in := time.Until(v.EndsAt); in < 50*time.Second || in > time.Minute {
		t.Errorf("it ends in %s", in)
	}
	if gets := before.gets.Load() + before.others.Load(); gets != 0 {
		t.Errorf("%d calls of the store", gets)
	}
	r.get("/v1/meetings/"+sender.MeetingID, bearer(r.token(rightRead))).wantProblem(http.StatusNotFound, "meeting_not_found")
	r.post("/v1/meetings/"+sender.MeetingID+"/join", object{}, bearer(r.token(rightJoin))).
		wantProblem(http.StatusNotFound, "meeting_not_found")
}

func TestConnectionTestsAreFew(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*ConnectionTests)
		status int
		code   string
	}{
		{"off", func(c *ConnectionTests) { c.Rooms = 0 }, http.StatusForbidden, "connection_tests_off"},
		{"an address", func(c *ConnectionTests) { c.Rate.Burst = 1 }, http.StatusTooManyRequests, "rate_limited"},
		{"the node", func(c *ConnectionTests) { c.Rooms = 1 }, http.StatusServiceUnavailable, "connection_tests_busy"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, tests(tc.change))
			got := r.post("/v1/connection-tests", nil)
			if got.status == http.StatusCreated {
				got = r.post("/v1/connection-tests", nil)
			}
			got.wantProblem(tc.status, tc.code)
		})
	}
}

func TestConnectionTestIsOver(t *testing.T) {
	r := newRig(t, tests(func(c *ConnectionTests) { c.Rooms = 1 }))
	got := r.post("/v1/connection-tests", nil)
	got.want(http.StatusCreated)
	var v connectionTestView
	got.into(&v)
	claims, err := r.keys.VerifyJoin(v.Sender.JoinToken)
	if err != nil {
		t.Fatal(err)
	}
	if due := r.server.tests.due(v.EndsAt.Add(-time.Second)); len(due) != 0 {
		t.Errorf("over too early: %v", due)
	}
	for _, id := range r.server.tests.due(v.EndsAt) {
		r.server.endConnectionTest(t.Context(), id)
	}
	if calls := r.signal.took(); len(calls) != 1 || calls[0] != "end "+claims.MeetingID {
		t.Errorf("calls = %v", calls)
	}
	if !r.revoked.Revoked(claims) {
		t.Error("its token is still good")
	}
	r.post("/v1/connection-tests", nil).want(http.StatusCreated)
}

func TestTestRoomsEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rooms := newTestRooms(2)
		for _, id := range []string{"a", "b"} {
			if !rooms.open(id, time.Now().Add(time.Minute)) {
				t.Fatalf("no room for %s", id)
			}
		}
		if rooms.open("c", time.Now()) {
			t.Error("a third room was opened")
		}
		time.Sleep(time.Minute)
		if due := rooms.due(time.Now()); len(due) != 2 {
			t.Errorf("due = %v", due)
		}
		rooms.close("a")
		if !rooms.open("c", time.Now()) {
			t.Error("no room after one was over")
		}
	})
}
