package signal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// freeze opens a socket, sits down, and reads nothing from then on, as a client does whose network is gone: it answers neither a
// close nor a ping, and what the server writes waits.
func (r *rig) freeze(c grant.Claims) (resume string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, r.server.URL, &websocket.DialOptions{ //nolint:bodyclose // it is the connection
		HTTPHeader: http.Header{"Authorization": {"Bearer " + r.token(c)}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	hello, err := wire.Encode(wire.Envelope{Type: wire.TypeHello, ID: "1"}, wire.Hello{ParticipantID: c.ParticipantID})
	if err == nil {
		err = conn.Write(ctx, websocket.MessageText, hello)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		m := message{raw: data}
		m.read(r.t, &m.Envelope)
		if m.Type == wire.TypeSnapshot {
			return resumeToken(r.t, m)
		}
	}
}

// A dead old socket holds up nobody who comes back: neither its close, which nobody answers, nor what is stuck in it.
func TestDeadSocketHoldsUpNoResume(t *testing.T) {
	for _, tc := range []struct {
		name  string
		lines int // of chat that nobody reads
	}{{"with nothing to say", 0}, {"in the middle of a message", 200}} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, withConfig(func(c *Config) { c.MessagesPerSec, c.MessageBurst, c.KeptEvents = 1e6, 1e6, 1000 }))
			token := r.freeze(claims("pt_a", grant.Attendee, grant.Settings{}))
			b := r.join("pt_b", grant.Attendee)
			noise := make([]byte, maxChatBytes/2) // random: it does not compress
			for range tc.lines {
				for i := range noise {
					noise[i] = byte('a' + rand.IntN(26))
				}
				b.ok(wire.TypeChat, wire.ChatSend{Text: string(noise)})
			}
			start := time.Now()
			again := r.connect(token)
			again.ok(wire.TypeResume, wire.Resume{LastSeq: 1})
			if took := time.Since(start); took > 500*time.Millisecond {
				t.Errorf("back after %s", took)
			}
			for range tc.lines {
				again.await(wire.TypeChat)
			}
			b.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(true)})
			for _, m := range b.kept {
				if m.Type == wire.TypeParticipantLeft || m.Type == wire.TypeParticipantJoined {
					t.Errorf("b noticed: %s", m.raw)
				}
			}
		})
	}
}

// A living old socket is told that another has taken over.
func TestTakenOverSocketIsClosed(t *testing.T) {
	r := newRig(t)
	a := r.join("pt_a", grant.Attendee)
	again := r.connect(resumeToken(t, a.snapshot))
	again.ok(wire.TypeResume, wire.Resume{LastSeq: a.snapshot.Seq})
	a.closedWith(wire.CloseReplaced)
}

// Who comes back is told fresh credentials before anything that makes it look for a path, and others now and then.
func TestICEServersAreTold(t *testing.T) {
	servers := func(id string, _ []grant.Candidate) []wire.ICEServer {
		return []wire.ICEServer{{URLs: []string{"turn:relay"}, Username: "1:" + id, Credential: "secret"}}
	}
	r := newRig(t, func(c *Config, d *Deps) { c.ICEServersEvery, d.ICEServers = 50*time.Millisecond, servers })
	a := r.join("pt_a", grant.Attendee)
	var told wire.ICEServers
	a.await(wire.TypeICEServers).read(t, &told)
	if len(told.ICEServers) != 1 || told.ICEServers[0].Username != "1:pt_a" {
		t.Errorf("told %+v", told)
	}
	a.lose()
	again := r.connect(resumeToken(t, a.snapshot))
	again.send(wire.TypeResume, wire.Resume{LastSeq: a.snapshot.Seq})
	if m, _ := again.next(); m.Type != wire.TypeICEServers {
		t.Errorf("first came %s", m.raw)
	}
}

// Everybody on a node loses the network at the same moment and comes back at the same moment. All are back, and nobody is seen to
// have gone.
func TestEverybodyComesBackAtOnce(t *testing.T) {
	const people = 100
	r := newRig(t)
	host := r.join("pt_host", grant.Host)
	clients := make([]*client, people)
	for i := range clients {
		clients[i] = r.join(fmt.Sprint("pt_", i), grant.Attendee)
	}
	for known := 0; known < people; {
		var joined wire.ParticipantEvent
		host.await(wire.TypeParticipantJoined).read(t, &joined)
		known += max(1, len(joined.Participants))
	}
	for _, c := range clients {
		c.lose()
	}
	start := time.Now()
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			again := r.connect(resumeToken(t, c.snapshot))
			again.ok(wire.TypeResume, wire.Resume{LastSeq: c.snapshot.Seq})
		})
	}
	wg.Wait()
	t.Logf("%d sockets resumed within %s", people, time.Since(start))
	host.kept = nil
	host.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(true)})
	for _, m := range host.kept {
		if m.Type == wire.TypeParticipantLeft || m.Type == wire.TypeParticipantJoined {
			t.Errorf("the host noticed: %s", m.raw)
		}
	}
	if n := len(r.svc.Participants("mtg_1")); n != people+1 {
		t.Errorf("%d participants, want %d", n, people+1)
	}
}
