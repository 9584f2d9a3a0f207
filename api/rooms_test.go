package api

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-json-experiment/json"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal"
	"github.com/parley-sfu/parley/signal/wire"
)

// withRooms puts the real signalling plane and the real SFU behind a rig.
func withRooms(t *testing.T) option {
	return func(_ *Config, d *Deps) {
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 2)
		t.Cleanup(func() {
			stop()
			for range cap(ended) {
				if err := <-ended; err != nil {
					t.Errorf("run: %v", err)
				}
			}
		})
		cfg := node.Defaults()
		cfg.Media.Listen = "127.0.0.1:0"
		speakers := signal.NewSpeakers()
		sfu, err := node.New(cfg, speakers, nil, d.Log)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := placement.NewSingle(placement.Node{ID: "n1", Region: "local", SFUEndpoint: sfu.Endpoint(), SignalEndpoint: "ws://127.0.0.1"})
		if err != nil {
			t.Fatal(err)
		}
		rooms, err := signal.New(signal.Defaults(), signal.Deps{
			Media: signal.OnNode(sfu), Speakers: speakers, Bus: d.Bus.(*bus.Bus), Cluster: alone, Locator: alone, Keys: d.Keys.(*grant.Keyring),
			Revoked: d.Revoked.(*grant.Revocations), NodeID: "n1", Log: d.Log,
		})
		if err != nil {
			t.Fatal(err)
		}
		d.Signal = rooms
		go func() { ended <- sfu.Run(ctx) }()
		go func() { ended <- rooms.Run(ctx) }()
	}
}

// socket is a participant's connection, without media.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
	id   string
}

const patience = 10 * time.Second

// connect opens the socket that a join answer leads to and says hello.
func (r *rig) connect(t *testing.T, v joinView) *socket {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	endpoint := "ws" + strings.TrimPrefix(r.url, "http") + "/v1/signal"
	conn, _, err := websocket.Dial(ctx, endpoint, &websocket.DialOptions{ //nolint:bodyclose // Dial closes it
		HTTPHeader: http.Header{"Authorization": {"Bearer " + v.JoinToken}}, Subprotocols: []string{wire.Subprotocol},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	s := &socket{t: t, conn: conn, id: v.ParticipantID}
	hello, err := json.Marshal(object{"type": wire.TypeHello, "participant_id": v.ParticipantID, "display_name": "", "sdp_offer": ""})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Write(ctx, websocket.MessageText, hello); err != nil {
		t.Fatal(err)
	}
	return s
}

// await reads until a message of the type comes.
func (s *socket) await(kind string) object {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		_, data, err := s.conn.Read(ctx)
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", kind, err)
		}
		var m object
		if err := json.Unmarshal(data, &m); err != nil {
			s.t.Fatal(err)
		}
		if m["type"] == kind {
			return m
		}
	}
}

// states maps who is in the meeting to where they are.
func (r *rig) states(m createdView) map[string]signal.State {
	r.t.Helper()
	var v participantsView
	got := r.get("/v1/meetings/"+m.ID+"/participants", header(HostKeyHeader, m.HostKey))
	got.want(http.StatusOK)
	got.into(&v)
	states := map[string]signal.State{}
	for _, p := range v.Participants {
		states[p.ID] = p.State
	}
	return states
}

// A meeting with a lobby, moderated over REST from its first guest to its end.
func TestMeetingOfThree(t *testing.T) {
	r := newRig(t, withRooms(t))
	m := r.create(object{"title": "x", "settings": object{"guests": true, "waiting_room": true}})
	at, byHost := "/v1/meetings/"+m.ID, header(HostKeyHeader, m.HostKey)

	host := r.connect(t, r.join(m.ID, object{"display_name": "Grace", "host_key": m.HostKey}))
	host.await(wire.TypeSnapshot)
	ada := r.connect(t, r.join(m.ID, object{"display_name": "Ada"}))
	ada.await(wire.TypeWaiting)
	if got := r.states(m); got[ada.id] != signal.Waiting || got[host.id] != signal.Joined {
		t.Errorf("states = %v", got)
	}
	r.post(at+"/participants/"+ada.id+"/admit", nil, byHost).want(http.StatusNoContent)
	ada.await(wire.TypeAdmitted)
	ada.await(wire.TypeSnapshot)

	r.post(at+"/participants/"+ada.id+"/mute", nil, byHost).want(http.StatusNoContent)
	if got := host.await(wire.TypePresenceChanged); got["participant_id"] != ada.id || got["audio_muted"] != true {
		t.Errorf("presence = %v", got)
	}

	r.do("PATCH", at, object{"settings": object{"waiting_room": false}}, bearer(r.token(rightUpdate))).want(http.StatusOK)
	r.post(at+"/lock", nil, byHost).want(http.StatusNoContent)
	lin := r.connect(t, r.join(m.ID, object{"display_name": "Lin"}))
	if got := lin.await(wire.TypeWaiting); got["reason"] != "locked" {
		t.Errorf("waiting = %v", got)
	}
	r.post(at+"/participants/"+lin.id+"/deny", nil, byHost).want(http.StatusNoContent)
	lin.await(wire.TypeEnded)
	r.post(at+"/participants/"+lin.id+"/admit", nil, byHost).wantProblem(http.StatusNotFound, "not_found")
	r.post(at+"/unlock", nil, byHost).want(http.StatusNoContent)

	r.post(at+"/end", nil, byHost).want(http.StatusNoContent)
	for _, s := range []*socket{host, ada} {
		if got := s.await(wire.TypeEnded); got["reason"] != "ended" {
			t.Errorf("ended = %v", got)
		}
	}
	r.post(at+"/join", nil).wantProblem(http.StatusGone, "meeting_ended")
}

// Whoever is removed cannot come back with anything they held.
func TestRemovedParticipantStaysOut(t *testing.T) {
	r := newRig(t, withRooms(t))
	m := r.create(object{"title": "x"})
	user := bearer(r.tokenOf("mallory", rightJoin))
	held := r.join(m.ID, nil, user)
	spare := r.join(m.ID, nil, user)
	mallory := r.connect(t, held)
	mallory.await(wire.TypeSnapshot)

	r.post("/v1/meetings/"+m.ID+"/participants/"+mallory.id+"/remove", nil, header(HostKeyHeader, m.HostKey)).want(http.StatusNoContent)
	if got := mallory.await(wire.TypeEnded); got["reason"] != "removed" {
		t.Errorf("ended = %v", got)
	}
	r.post("/v1/meetings/"+m.ID+"/join", nil, user).wantProblem(http.StatusForbidden, "removed")
	for name, token := range map[string]string{"the used token": held.JoinToken, "a spare token": spare.JoinToken} {
		got := r.get("/v1/signal", bearer(token), func(req *http.Request) {
			req.Header.Set("Connection", "Upgrade")
			req.Header.Set("Upgrade", "websocket")
			req.Header.Set("Sec-WebSocket-Version", "13")
			req.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		})
		if got.wantProblem(http.StatusForbidden, "removed"); t.Failed() {
			t.Errorf("with %s", name)
		}
	}
}

func TestDeletedMeetingThrowsEverybodyOut(t *testing.T) {
	r := newRig(t, withRooms(t))
	m := r.create(object{"title": "x", "settings": object{"guests": true}})
	guest := r.connect(t, r.join(m.ID, nil))
	guest.await(wire.TypeSnapshot)
	r.do("DELETE", "/v1/meetings/"+m.ID, nil, bearer(r.token(rightDelete))).want(http.StatusNoContent)
	guest.await(wire.TypeEnded)
	r.post("/v1/meetings/"+m.ID+"/join", nil).wantProblem(http.StatusNotFound, "meeting_not_found")
}
