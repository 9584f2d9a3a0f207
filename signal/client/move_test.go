package client

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/wire"
)

// A participant with camera and microphone moves from a node that drains to the one of its listener. Nobody sees anybody leave
// or come, no track ends or begins, and media go on both ways.
func TestMovesWithTheCallGoingOn(t *testing.T) {
	w := newTown(t, "n1", "n2")
	var there, here gaps
	there.reset()
	here.reset()
	stays := connect(t, w.ticket("pt_stays", "n1", grant.Settings{}), Options{Log: spoken(t), Publish: person(t), OnPacket: there.packet})
	moves := connect(t, w.ticket("pt_moves", "n2", grant.Settings{}), Options{Log: spoken(t), Publish: person(t), OnPacket: here.packet})
	eventually(t, stays, "sound and picture", flows(stays, moves))
	eventually(t, moves, "sound and picture", flows(moves, stays))
	raised := true
	w.must(moves.Presence(t.Context(), wire.PresenceUpdate{HandRaised: &raised}))
	await(t, stays, "the hand", func(e PresenceChanged) bool { return e.HandRaised != nil && *e.HandRaised })
	tracks := stays.Tracks()
	old := moves.currentMedia()

	there.reset()
	here.reset()
	told := collect(stays)
	start := time.Now()
	w.drain("n2")
	migrated := await(t, moves, "the move", func(Migrated) bool { return true })
	t.Logf("moved after %s", time.Since(start))
	if n := len(migrated.Snapshot.Participants); n != 2 || !migrated.Snapshot.Self.HandRaised {
		t.Errorf("the snapshot is %+v", migrated.Snapshot)
	}
	eventually(t, moves, "the old connection is closed", func() bool { return old.current() == MediaClosed })
	eventually(t, stays, "sound and picture", flows(stays, moves))
	eventually(t, moves, "sound and picture", flows(moves, stays))
	w.must(moves.Chat(t.Context(), "here I am", ""))
	await(t, moves, "its own line", func(e ChatReceived) bool { return e.Text == "here I am" })

	for _, e := range told() {
		switch e := e.(type) {
		case ParticipantsLeft, ParticipantsJoined, TrackPublished, TrackUnpublished, PresenceChanged, Joined:
			t.Errorf("somebody noticed: %#v", e)
		}
	}
	if now := stays.Tracks(); !slices.EqualFunc(now, tracks, func(a, b wire.Track) bool { return a.ID == b.ID }) {
		t.Errorf("tracks were %+v and are %+v", tracks, now)
	}
	for name, c := range map[string]struct {
		gaps  *gaps
		of    *Client
		bound time.Duration // the goal is that no frame is lost
	}{"to the mover": {&here, stays, time.Second}, "from the mover": {&there, moves, 3 * time.Second}} {
		for _, source := range []string{SourceCamera, SourceMicrophone} {
			gap := c.gaps.take(c.of.ticket.ParticipantID, source)
			t.Logf("%s: %s: longest gap %s", name, source, gap)
			if gap > c.bound {
				t.Errorf("%s: no %s for %s", name, source, gap)
			}
		}
		t.Logf("%s: %d video frames missing", name, c.gaps.missing(c.of.ticket.ParticipantID, SourceCamera))
	}
}

// Everybody of a node moves at once, there and back again, and goes on seeing and hearing the others; who watches by hand
// still has what it asked for.
func TestMovesThereAndBack(t *testing.T) {
	w := newTown(t, "n1", "n2")
	a := connect(t, w.ticket("pt_a", "n1", grant.Settings{}), Options{Log: spoken(t), Publish: person(t)})
	b := connect(t, w.ticket("pt_b", "n1", grant.Settings{}), Options{Log: spoken(t), Publish: person(t), VideoSlots: 2})
	eventually(t, a, "sound and picture", flows(a, b))
	eventually(t, b, "sound and picture", flows(b, a))
	camera := trackOf(t, b, "pt_a", SourceCamera)
	w.must(b.Subscribe(t.Context(), wire.SlotRequest{MID: videoMIDs(b)[1], TrackID: camera, MaxWidth: 320, MaxHeight: 180}))
	for _, from := range []string{"n1", "n2"} {
		w.change(map[string]string{"n1": "n2", "n2": "n1"}[from], func(n *placement.Node) { n.Draining = false })
		w.drain(from)
		for _, c := range []*Client{a, b} {
			await(t, c, "the move from "+from, func(Migrated) bool { return true })
		}
		eventually(t, b, "the picture where it was asked for", func() bool {
			s := b.SlotStats()
			return slices.ContainsFunc(s, func(s SlotStats) bool {
				return s.Slot.MID == videoMIDs(b)[1] && s.Slot.TrackID == camera && s.Frames > 10
			})
		})
		eventually(t, a, "sound and picture", flows(a, b))
		eventually(t, b, "sound and picture", flows(b, a))
		if n := len(a.Participants()); n != 2 {
			t.Errorf("%d participants", n)
		}
		for _, c := range []*Client{a, b} {
			eventually(t, c, "the move is over", func() bool { return !c.isMoving() })
		}
	}
}

func (c *Client) isMoving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.move != nil
}

func trackOf(t *testing.T, c *Client, id, source string) string {
	t.Helper()
	for _, track := range c.Tracks() {
		if track.ParticipantID == id && track.Source == source {
			return track.ID
		}
	}
	t.Fatalf("%s has no %s", id, source)
	return ""
}

func videoMIDs(c *Client) (mids []string) {
	for _, s := range c.SlotStats() {
		if s.Slot.Kind == "video" {
			mids = append(mids, s.Slot.MID)
		}
	}
	return mids
}

// Where the new node cannot be reached, or takes nobody, the client stays and its user is told nothing.
func TestStaysWhereItCannotMove(t *testing.T) {
	w := newTown(t, "n1", "n2")
	stranger := newTown(t, "n3") // has other keys
	for name, endpoint := range map[string]string{
		"nobody listens":     "ws://127.0.0.1:1/v1/signal",
		"the token is wrong": stranger.Nodes()[0].SignalEndpoint,
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, w.ticket("pt_"+strings.ReplaceAll(name, " ", ""), "n1", grant.Settings{}), Options{Log: spoken(t), Publish: person(t)})
			awaitMedia(t, c)
			w.must(c.Chat(t.Context(), "before", ""))
			await(t, c, "its line", func(ChatReceived) bool { return true })
			c.turn.Lock()
			c.beginMove(wire.Migrate{SignalEndpoint: endpoint, JoinToken: "x"}, c.sock)
			c.turn.Unlock()
			eventually(t, c, "the move has failed", func() bool { return !c.isMoving() })
			w.must(c.Chat(t.Context(), "after", ""))
			for {
				switch e := (<-c.Events()).(type) {
				case ChatReceived:
					return
				case SlotsChanged, LayersWanted, ActiveSpeakers:
				default:
					t.Errorf("its user was told: %#v", e)
				}
			}
		})
	}
}

// Somebody in the lobby waits on the other node after the move, and is let in there.
func TestMovesFromLobbyToLobby(t *testing.T) {
	w := newTown(t, "n1", "n2")
	settings := grant.Settings{Revision: 1, WaitingRoom: true}
	host := w.ticket("pt_host", "n2", settings)
	token, _, err := w.keys.IssueJoin(grant.Claims{MeetingID: "mtg_1", ParticipantID: "pt_host", Role: grant.Host, Settings: settings})
	w.must(err)
	host.JoinToken = token
	h := connect(t, host, Options{VideoSlots: NoSlots, AudioSlots: NoSlots})
	c := connect(t, w.ticket("pt_c", "n1", settings), Options{Log: spoken(t), Publish: person(t)})
	await(t, c, "the lobby", func(Waiting) bool { return true })
	await(t, h, "the knock", func(Knocked) bool { return true })
	w.drain("n1")
	await(t, c, "the move", func(Migrated) bool { return true })
	if c.State() != StateWaiting {
		t.Errorf("the client is %s", c.State())
	}
	w.must(h.Admit(t.Context(), "pt_c"))
	await(t, c, "the room", func(Joined) bool { return true })
	awaitMedia(t, c)
	eventually(t, c, "the move is over", func() bool { return !c.isMoving() })
}

// The old node goes down before the client has seen everything on the new one: it goes on there all the same.
func TestMovesWhenTheOldNodeDies(t *testing.T) {
	w := newTown(t, "n1", "n2")
	c := connect(t, w.ticket("pt_a", "n1", grant.Settings{}), Options{Log: spoken(t), Publish: person(t)})
	awaitMedia(t, c)
	w.drain("n1")
	eventually(t, c, "the client moves", c.isMoving)
	c.mu.Lock()
	mv := c.move
	c.mu.Unlock()
	select {
	case <-mv.entered:
	case <-mv.decided:
		t.Fatal("the client did not move")
	}
	mv.from.abort()
	await(t, c, "the move", func(Migrated) bool { return true })
	w.must(c.Chat(t.Context(), "alive", ""))
	await(t, c, "its line", func(ChatReceived) bool { return true })
	if c.State() != StateJoined {
		t.Errorf("the client is %s", c.State())
	}
}

// A line that comes through both sockets is told once, and one that comes through the new one alone is not lost.
func TestLinesAreToldOnceDuringAMove(t *testing.T) {
	line := func(text string) Event { return ChatReceived{wire.Chat{From: "pt_x", Text: text, SentAt: "now"}} }
	old, fresh := &socket{}, &socket{}
	c := &Client{}
	mv := &move{client: c, from: old, sock: fresh, roster: &roster{}, heard: map[wire.Chat]int{}}
	note := func(e Event) {
		t.Helper()
		if err := mv.noteLocked(e); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range []Event{line("old first"), line("twice"), line("twice")} {
		if mv.overheardLocked(old, e) {
			t.Error("a line of the old node was kept back")
		}
	}
	note(line("old first"))
	note(line("new first"))
	note(line("new alone"))
	if mv.overheardLocked(old, line("new first")) {
		t.Error("a line of the old node was kept back")
	}
	if len(mv.chats) != 1 || mv.chats[0] != line("new alone") {
		t.Errorf("left to tell: %+v", mv.chats)
	}
	for i, want := range []bool{true, true, false} {
		if got := mv.overheardLocked(fresh, line("twice")); got != want {
			t.Errorf("line %d after the move: heard before is %t", i, got)
		}
	}
}

func TestDoors(t *testing.T) {
	d := Ticket{SignalEndpoint: "a", Alternates: []Endpoints{{SignalEndpoint: "b"}, {SignalEndpoint: "c"}}}.doors()
	for _, want := range []string{"a", "b", "c", "a", "b"} {
		if d.current() != want {
			t.Fatalf("at %s, want %s", d.current(), want)
		}
		d.next()
	}
	d.movedTo("d") // from c
	for _, want := range []string{"d", "a", "b", "d"} {
		if d.current() != want {
			t.Fatalf("after the move at %s, want %s", d.current(), want)
		}
		d.next()
	}
}

// What is published during a move is published on the new node, once; a wish and a hand that were told to the old node in its
// last moments are told to the new one.
func TestChangesDuringAMove(t *testing.T) {
	w := newTown(t, "n1", "n2")
	stays := connect(t, w.ticket("pt_stays", "n2", grant.Settings{}), Options{Log: spoken(t), Publish: person(t)})
	c := connect(t, w.ticket("pt_c", "n1", grant.Settings{}), Options{Log: spoken(t), Publish: person(t)})
	eventually(t, c, "sound and picture", flows(c, stays))
	told := collect(stays)
	before := len(told())
	w.drain("n1")
	eventually(t, c, "the client moves", c.isMoving)
	raised := true
	w.must(c.Presence(t.Context(), wire.PresenceUpdate{HandRaised: &raised}))
	w.must(c.SubscribeAuto(t.Context()))
	w.must(c.AddTracks(t.Context(), NewScreen(loadClip(t, "vp8-q.ivf").Loop())))
	await(t, c, "the move", func(Migrated) bool { return true })
	eventually(t, c, "the move is over", func() bool { return !c.isMoving() })
	eventually(t, stays, "the hand", func() bool {
		return slices.ContainsFunc(stays.Participants(), func(p wire.Participant) bool { return p.ID == "pt_c" && p.HandRaised })
	})
	eventually(t, stays, "the screen", func() bool { s, seen := receiving(stays, "pt_c", SourceScreen); return seen && s.Frames > 10 })
	published := 0
	for _, e := range told()[before:] {
		switch e.(type) {
		case TrackPublished:
			published++
		case TrackUnpublished, ParticipantsLeft, ParticipantsJoined:
			t.Errorf("somebody noticed: %#v", e)
		}
	}
	if published != 1 {
		t.Errorf("%d tracks were published, want the screen alone", published)
	}
}

// A client that leaves in the middle of a move leaves both nodes.
func TestLeavesDuringAMove(t *testing.T) {
	w := newTown(t, "n1", "n2")
	stays := connect(t, w.ticket("pt_stays", "n2", grant.Settings{}), withoutMedia())
	c := connect(t, w.ticket("pt_c", "n1", grant.Settings{}), Options{Publish: person(t)})
	await(t, stays, "its coming", func(ParticipantsJoined) bool { return true })
	awaitMedia(t, c)
	w.drain("n1")
	eventually(t, c, "the client moves", c.isMoving)
	w.must(c.Close())
	await(t, stays, "its leaving", func(ParticipantsLeft) bool { return true })
	w.must(stays.Chat(t.Context(), "gone", ""))
	await(t, stays, "its own line", func(ChatReceived) bool { return true })
	if n := len(stays.Participants()); n != 1 {
		t.Errorf("%d participants", n)
	}
}

// A node that turns down what is published is not moved to.
func TestStaysWhereAllIsTaken(t *testing.T) {
	old, fresh := newFakeServer(t), newFakeServer(t)
	c := connect(t, old.ticket(), Options{Publish: person(t)})
	session := old.next(t)
	awaitMedia(t, c)
	fresh.handle = func(s *fakeSession, e wire.Envelope, raw []byte) bool {
		if e.Type != wire.TypeHello {
			return false
		}
		var hello wire.Hello
		if err := json.Unmarshal(raw, &hello); err != nil {
			t.Error(err)
		}
		s.send(wire.Envelope{Type: wire.TypeAnswer, ReplyTo: e.ID}, wire.Answer{
			SDPAnswer: fresh.negotiate(hello.SDPOffer), Refused: []string{hello.Tracks[0].MID},
		})
		s.snapshot()
		return true
	}
	session.send(wire.Envelope{Type: wire.TypeMigrate}, wire.Migrate{SignalEndpoint: fresh.ticket().SignalEndpoint, JoinToken: "moves"})
	if s := fresh.next(t); s.token != "moves" {
		t.Errorf("token = %q", s.token)
	}
	eventually(t, c, "the move has failed", func() bool { return !c.isMoving() })
	w := c.currentMedia()
	if w.number != 1 || w.current() != MediaConnected {
		t.Errorf("media connection %d is %s", w.number, w.current())
	}
	session.event(wire.TypeChat, wire.Chat{Text: "still here"})
	await(t, c, "a line of the old node", func(e ChatReceived) bool { return e.Text == "still here" })
}

// Everybody of a node moves at the same time, to where somebody else is: all go on seeing and hearing each other.
func TestEverybodyMovesAtOnce(t *testing.T) {
	w := newTown(t, "n1", "n2")
	var people [4]*Client
	var got [len(people)]gaps
	for i := range people {
		at := "n1"
		if i == 0 {
			at = "n2"
		}
		got[i].reset()
		people[i] = connect(t, w.ticket(fmt.Sprint("pt_", i), at, grant.Settings{}), Options{Log: spoken(t), Publish: person(t), OnPacket: got[i].packet})
	}
	pairs := func(do func(i, k int)) {
		for i := range people {
			for k := range people {
				if i != k {
					do(i, k)
				}
			}
		}
	}
	pairs(func(i, k int) { eventually(t, people[i], "sound and picture", flows(people[i], people[k])) })
	for i := range got {
		got[i].reset()
	}
	start := time.Now()
	w.drain("n1")
	for _, c := range people[1:] {
		await(t, c, "the move", func(Migrated) bool { return true })
	}
	t.Logf("all have moved after %s", time.Since(start))
	for _, c := range people[1:] {
		eventually(t, c, "the move is over", func() bool { return !c.isMoving() })
	}
	t.Logf("nobody is on the node after %s", time.Since(start))
	missing, longest := 0, time.Duration(0)
	pairs(func(i, k int) {
		eventually(t, people[i], "sound and picture", flows(people[i], people[k]))
		id := people[k].ticket.ParticipantID
		missing += got[i].missing(id, SourceCamera)
		longest = max(longest, got[i].take(id, SourceCamera), got[i].take(id, SourceMicrophone))
	})
	t.Logf("%d video frames missing of all that everybody receives, longest gap %s", missing, longest)
	if longest > 3*time.Second { // the goal is that no frame is lost
		t.Errorf("somebody was not seen or heard for %s", longest)
	}
}
