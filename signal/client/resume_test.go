package client

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/signal/wire"
)

func withoutMedia() Options { return Options{VideoSlots: NoSlots, AudioSlots: NoSlots} }

func TestResumeAfterSocketLoss(t *testing.T) {
	server := newFakeServer(t)
	resumed := make(chan uint64, 1)
	server.handle = func(s *fakeSession, e wire.Envelope, raw []byte) bool {
		if e.Type != wire.TypeResume {
			return false
		}
		var m wire.Resume
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Error(err)
		}
		resumed <- m.LastSeq
		s.seq = m.LastSeq
		s.event(wire.TypeChat, wire.Chat{From: "pt_b", Text: "missed"})
		return false
	}
	c := connect(t, server.ticket(), withoutMedia())
	first := server.next(t)
	first.event(wire.TypeChat, wire.Chat{From: "pt_b", Text: "seen"})
	await(t, c, "the first message", func(e ChatReceived) bool { return e.Text == "seen" })
	if err := first.conn.CloseNow(); err != nil {
		t.Fatal(err)
	}
	lost := await(t, c, "the loss", func(e StateChanged) bool { return e.State == StateReconnecting })
	if lost.Err == nil {
		t.Error("StateReconnecting without a reason")
	}
	if second := server.next(t); second.token != "resume" {
		t.Errorf("token = %q, want the resume token", second.token)
	}
	if last := <-resumed; last != 2 {
		t.Errorf("last_seq = %d, want 2", last)
	}
	await(t, c, "the missed message", func(e ChatReceived) bool { return e.Text == "missed" })
	await(t, c, "resumption", func(e StateChanged) bool { return e.State == StateJoined })
}

func TestGapIsFetchedOnTheLiveSocket(t *testing.T) {
	server := newFakeServer(t)
	server.handle = func(s *fakeSession, e wire.Envelope, _ []byte) bool {
		if e.Type == wire.TypeResume {
			s.send(wire.Envelope{Type: wire.TypeChat, Seq: 2}, wire.Chat{Text: "two"})
			s.send(wire.Envelope{Type: wire.TypeChat, Seq: 3}, wire.Chat{Text: "three"})
		}
		return e.Type == wire.TypeResume
	}
	c := connect(t, server.ticket(), withoutMedia())
	server.next(t).send(wire.Envelope{Type: wire.TypeChat, Seq: 3}, wire.Chat{Text: "three"})
	var got []string
	for len(got) < 2 {
		got = append(got, await[ChatReceived](t, c, "the fetched messages", nil).Text)
	}
	if !slices.Equal(got, []string{"two", "three"}) {
		t.Errorf("messages = %v, want two, three", got)
	}
}

// TestSessionUnknown: both ways in which a server says that it knows the participant's session no more lead to a new one.
func TestSessionUnknown(t *testing.T) {
	tests := []struct {
		name   string
		resume func(s *fakeSession, e wire.Envelope)
	}{
		{"snapshot that counts from the beginning", func(s *fakeSession, e wire.Envelope) {
			s.snapshot()
			s.send(wire.Envelope{Type: wire.TypeOK, ReplyTo: e.ID}, struct{}{})
		}},
		{"session_unknown", func(s *fakeSession, e wire.Envelope) {
			s.send(wire.Envelope{Type: wire.TypeError, ReplyTo: e.ID}, wire.Error{Code: wire.CodeSessionUnknown})
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			server := newFakeServer(t)
			hellos := make(chan struct{}, 4)
			server.handle = func(s *fakeSession, e wire.Envelope, _ []byte) bool {
				if e.Type == wire.TypeHello {
					hellos <- struct{}{}
				}
				if e.Type == wire.TypeResume {
					server.forgetPeer()
					tc.resume(s, e)
				}
				return e.Type == wire.TypeResume
			}
			camera := NewCamera(loadClip(t, "vp8-q.ivf").Loop())
			c := connect(t, server.ticket(), Options{Publish: []*Publication{camera}})
			readPacket(t, <-server.tracks)
			await[MediaStateChanged](t, c, "media", func(e MediaStateChanged) bool { return e.State == MediaConnected })
			server.next(t).conn.CloseNow() //nolint:errcheck // the point is to lose it
			server.next(t)
			<-hellos
			<-hellos
			readPacket(t, <-server.tracks)
			await[MediaStateChanged](t, c, "media again", func(e MediaStateChanged) bool { return e.State == MediaConnected })
		})
	}
}

// forgetPeer makes the server lose a session's media, as a node that restarts does.
func (f *fakeServer) forgetPeer() {
	f.mu.Lock()
	old := f.pc
	f.pc, f.slots = nil, nil
	f.mu.Unlock()
	if old != nil {
		go old.GracefulClose() //nolint:errcheck // a test's
	}
}

func TestCloseCodesThatEnd(t *testing.T) {
	tests := []struct {
		name string
		code int
		want func(error) bool
	}{
		{"replaced", wire.CloseReplaced, func(err error) bool { return errors.Is(err, ErrReplaced) }},
		{"removed", wire.CloseRemoved, func(err error) bool {
			refusal, ok := errors.AsType[*Error](err)
			return ok && refusal.Code == wire.CodeRemoved
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			server := newFakeServer(t)
			c := connect(t, server.ticket(), withoutMedia())
			s := server.next(t)
			if tc.code == wire.CloseRemoved {
				s.event(wire.TypeEnded, wire.Ended{Reason: "removed"})
			}
			if err := s.conn.Close(websocket.StatusCode(tc.code), "test"); err != nil {
				t.Log(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := c.Wait(ctx); !tc.want(err) {
				t.Errorf("Run returned %v", err)
			}
			if c.State() != StateClosed {
				t.Errorf("state = %s, want closed", c.State())
			}
		})
	}
}

func TestCloseSaysGoodbye(t *testing.T) {
	server := newFakeServer(t)
	c := connect(t, server.ticket(), Options{})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(t.Context()); err != nil {
		t.Errorf("Run returned %v, want nil", err)
	}
	if err := c.Chat(t.Context(), "hi", ""); !errors.Is(err, ErrClosed) {
		t.Errorf("call after Close: %v, want ErrClosed", err)
	}
}

func TestConnectRefused(t *testing.T) {
	server := newFakeServer(t)
	server.handle = func(s *fakeSession, e wire.Envelope, _ []byte) bool {
		s.send(wire.Envelope{Type: wire.TypeError, ReplyTo: e.ID}, wire.Error{Code: wire.CodeRoomFull, Message: "Full."})
		return true
	}
	_, err := Connect(t.Context(), server.ticket(), Options{})
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Code != wire.CodeRoomFull {
		t.Errorf("Connect: %v, want room_full", err)
	}
}

func TestLobby(t *testing.T) {
	server := newFakeServer(t)
	hold := make(chan wire.Envelope, 1)
	var held []byte
	server.handle = func(s *fakeSession, e wire.Envelope, raw []byte) bool {
		if e.Type == wire.TypeHello {
			held = slices.Clone(raw)
			s.event(wire.TypeWaiting, wire.Waiting{Reason: "waiting_room"})
			hold <- e
		}
		return e.Type == wire.TypeHello
	}
	c := connect(t, server.ticket(), Options{})
	if c.State() != StateWaiting {
		t.Fatalf("state = %s, want waiting", c.State())
	}
	s := server.next(t)
	s.event(wire.TypeAdmitted, struct{}{})
	s.answer(<-hold, held)
	await(t, c, "admission", func(Admitted) bool { return true })
	await(t, c, "the room", func(e StateChanged) bool { return e.State == StateJoined })
	awaitMedia(t, c)
}

// TestLobbySurvivesSocketLoss: who waits has nothing to resume with yet, and comes in by the join token again.
func TestLobbySurvivesSocketLoss(t *testing.T) {
	server := newFakeServer(t)
	hellos := make(chan struct{}, 2)
	first := true
	server.handle = func(s *fakeSession, e wire.Envelope, _ []byte) bool {
		if e.Type != wire.TypeHello {
			return false
		}
		hellos <- struct{}{}
		if first {
			first = false
			s.event(wire.TypeWaiting, wire.Waiting{Reason: "waiting_room"})
			return true
		}
		return false
	}
	c := connect(t, server.ticket(), Options{})
	server.next(t).conn.CloseNow() //nolint:errcheck // the point is to lose it
	if second := server.next(t); second.token != "join" {
		t.Errorf("token = %q, want the join token", second.token)
	}
	<-hellos
	<-hellos
	await(t, c, "the room", func(e StateChanged) bool { return e.State == StateJoined })
	awaitMedia(t, c)
}

func TestICERestart(t *testing.T) {
	server := newFakeServer(t)
	camera := NewCamera(loadClip(t, "vp8-q.ivf").Loop())
	c := connect(t, server.ticket(), Options{Publish: []*Publication{camera}})
	track := <-server.tracks
	before := readPacket(t, track)
	if err := c.RestartICE(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, c, "media to come back", func(e MediaStateChanged) bool { return e.State == MediaConnecting })
	await(t, c, "media to come back", func(e MediaStateChanged) bool { return e.State == MediaConnected })
	after := readPacket(t, track)
	if before.SSRC != after.SSRC {
		t.Errorf("SSRC changed from %d to %d", before.SSRC, after.SSRC)
	}
}

func TestAddAndRemoveTracks(t *testing.T) {
	server := newFakeServer(t)
	c := connect(t, server.ticket(), Options{})
	screen := NewScreen(loadClip(t, "h264-f.h264").Loop())
	if err := c.AddTracks(t.Context(), screen); err != nil {
		t.Fatal(err)
	}
	track := <-server.tracks
	if track.Codec().MimeType != webrtc.MimeTypeH264 {
		t.Errorf("codec = %s, want H.264", track.Codec().MimeType)
	}
	readPacket(t, track)
	if err := c.AddTracks(t.Context(), screen); err == nil {
		t.Error("a publication was published twice")
	}
	if err := c.Unpublish(t.Context(), screen); err != nil {
		t.Fatal(err)
	}
	if err := c.AddSlots(t.Context(), 1, 1); err != nil {
		t.Fatal(err)
	}
	microphone := NewMicrophone(loadClip(t, "tone.ogg").Loop(), nil)
	if err := c.AddTracks(t.Context(), microphone); err != nil {
		t.Fatal(err)
	}
	readPacket(t, <-server.tracks)
}

// TestRefusedTracks: an offer that the server refuses is taken back, and leaves nothing in the way of the next.
func TestRefusedTracks(t *testing.T) {
	server := newFakeServer(t)
	refuse := true
	server.handle = func(s *fakeSession, e wire.Envelope, _ []byte) bool {
		if e.Type != wire.TypeOffer || !refuse {
			return false
		}
		refuse = false
		s.send(wire.Envelope{Type: wire.TypeError, ReplyTo: e.ID}, wire.Error{Code: wire.CodeCamerasFull, Message: "Full."})
		return true
	}
	c := connect(t, server.ticket(), Options{})
	var refusal *Error
	err := c.AddTracks(t.Context(), NewCamera(loadClip(t, "vp8-q.ivf").Loop()))
	if !errors.As(err, &refusal) || refusal.Code != wire.CodeCamerasFull {
		t.Fatalf("AddTracks: %v, want cameras_full", err)
	}
	if err := c.AddTracks(t.Context(), NewScreen(loadClip(t, "vp8-q.ivf").Loop())); err != nil {
		t.Fatal(err)
	}
	readPacket(t, <-server.tracks)
}

// A node that goes away is left for the next candidate at once: it still listens, but it is being emptied.
func TestGoingAwayLeadsToTheNextCandidate(t *testing.T) {
	for name, code := range map[string]websocket.StatusCode{"the protocol's code": wire.CloseGoingAway, "the WebSocket's code": websocket.StatusGoingAway} {
		t.Run(name, func(t *testing.T) {
			leaving, next := newFakeServer(t), newFakeServer(t)
			ticket := leaving.ticket()
			ticket.Alternates = []Endpoints{{SignalEndpoint: next.ticket().SignalEndpoint}}
			c := connect(t, ticket, withoutMedia())
			if err := leaving.next(t).conn.Close(code, "the node drains"); err != nil {
				t.Log(err) // the client need not finish the handshake
			}
			if s := next.next(t); s.token != "resume" {
				t.Errorf("token = %q, want the resume token", s.token)
			}
			await(t, c, "resumption", func(e StateChanged) bool { return e.State == StateJoined })
		})
	}
}
