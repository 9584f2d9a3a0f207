package signal

import (
	"reflect"
	"testing"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

func TestHelloAnswersThenSnapshotThenEvents(t *testing.T) {
	r := newRig(t)
	host := r.join("pt_host", grant.Host)
	guest := r.connect(r.token(claims("pt_a", grant.Attendee, grant.Settings{})))
	id := guest.hello("pt_a", "offer", wire.TrackHint{MID: "0", Source: "microphone"}, wire.TrackHint{MID: "1", Source: "camera"})

	answer, _ := guest.next()
	snapshot, _ := guest.next()
	if answer.Type != wire.TypeAnswer || answer.ReplyTo != id || answer.Seq != 0 {
		t.Errorf("first came %s", answer.raw)
	}
	var s wire.Snapshot
	snapshot.read(t, &s)
	if snapshot.Type != wire.TypeSnapshot || snapshot.Seq != 1 || s.Self.ID != "pt_a" || s.Self.DisplayName != "PT_A" ||
		len(s.Participants) != 2 || len(s.Tracks) != 2 || s.ResumeToken == "" {
		t.Errorf("then came %s", snapshot.raw)
	}
	var joined wire.ParticipantEvent
	host.await(wire.TypeParticipantJoined).read(t, &joined)
	if joined.Participant.ID != "pt_a" {
		t.Errorf("the host saw %+v join", joined)
	}
	for range 2 {
		host.await(wire.TypeTrackPublished)
	}
	guest.leave()
	for range 2 {
		host.await(wire.TypeTrackUnpublished)
	}
	host.await(wire.TypeParticipantLeft)
	eventually(t, "peer closed", func() bool { return r.media.peer("pt_a").is(func(p *fakePeer) bool { return p.closed }) })
}

func TestEventsAreNumberedWithoutGaps(t *testing.T) {
	r := newRig(t)
	a := r.join("pt_a", grant.Attendee)
	b := r.join("pt_b", grant.Attendee)
	for i := range 20 {
		b.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(i%2 == 0)})
	}
	last := a.snapshot.Seq
	for range 21 { // one join and twenty hands
		m, _ := a.next()
		if m.Seq != last+1 {
			t.Fatalf("after %d came %s", last, m.raw)
		}
		last = m.Seq
	}
}

func TestPresenceReachesEverybodyAndMutesTheMedia(t *testing.T) {
	r := newRig(t)
	a := r.join("pt_a", grant.Attendee)
	b := r.connect(r.token(claims("pt_b", grant.Attendee, grant.Settings{})))
	b.hello("pt_b", "offer", wire.TrackHint{MID: "0", Source: "microphone"})
	b.await(wire.TypeSnapshot)
	b.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{AudioMuted: new(true), HandRaised: new(true)})
	for _, c := range []*client{a, b} {
		var p wire.PresenceChanged
		c.await(wire.TypePresenceChanged).read(t, &p)
		if p.ParticipantID != "pt_b" || p.AudioMuted == nil || !*p.AudioMuted || p.HandRaised == nil || p.VideoMuted != nil {
			t.Errorf("presence is %+v", p)
		}
	}
	if !r.media.peer("pt_b").is(func(p *fakePeer) bool { return p.muted[node.Microphone] && !p.muted[node.Camera] }) {
		t.Error("the SFU was not told of the mute")
	}
}

func TestChat(t *testing.T) {
	r := newRig(t)
	a, b, c := r.join("pt_a", grant.Attendee), r.join("pt_b", grant.Attendee), r.join("pt_c", grant.Attendee)
	a.ok(wire.TypeChat, wire.ChatSend{Text: "secret", To: "pt_b"})
	a.ok(wire.TypeChat, wire.ChatSend{Text: "to all"})
	for _, tc := range []struct {
		who  *client
		want []string
	}{{a, []string{"secret", "to all"}}, {b, []string{"secret", "to all"}}, {c, []string{"to all"}}} {
		for _, want := range tc.want {
			var chat wire.Chat
			tc.who.await(wire.TypeChat).read(t, &chat)
			if chat.Text != want || chat.From != "pt_a" || chat.Private != (want == "secret") {
				t.Errorf("chat is %+v, want %q", chat, want)
			}
		}
	}
	a.refused(wire.CodeNotFound, wire.TypeChat, wire.ChatSend{Text: "x", To: "pt_nobody"})
	a.refused(wire.CodeInvalidMessage, wire.TypeChat, wire.ChatSend{Text: "  "})
	a.refused(wire.CodeInvalidMessage, wire.TypeChat, wire.ChatSend{Text: string(make([]byte, maxChatBytes+1))})
}

func TestBadRequestsAreNamedAndHarmless(t *testing.T) {
	r := newRig(t)
	a := r.join("pt_a", grant.Attendee)
	for _, tc := range []struct{ name, in, code string }{
		{"no JSON", `hello`, wire.CodeInvalidMessage},
		{"unknown type", `{"type":"room.explode"}`, wire.CodeUnknownType},
		{"unknown field", `{"type":"chat.message","text":"x","loud":true}`, wire.CodeInvalidMessage},
		{"wrong type", `{"type":"presence.update","hand_raised":"yes"}`, wire.CodeInvalidMessage},
		{"a strange source", `{"type":"participant.offer","sdp_offer":"o","tracks":[{"mid":"0","source":"fax"}]}`, wire.CodeInvalidMessage},
		{"a strange mode", `{"type":"subscription.update","mode":"psychic"}`, wire.CodeInvalidMessage},
		{"subscribing without media", `{"type":"subscription.update","mode":"auto"}`, wire.CodeDenied},
		{"host's work", `{"type":"room.lock"}`, wire.CodeNotHost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a.t = t
			a.write([]byte(tc.in))
			m, _ := a.next()
			a.isError(tc.code, m)
		})
	}
	a.t = t
	a.ok(wire.TypeCandidate, wire.Candidate{})
}

func TestMediaEventsReachTheirClient(t *testing.T) {
	r := newRig(t)
	a := r.connect(r.token(claims("pt_a", grant.Attendee, grant.Settings{})))
	a.hello("pt_a", "offer")
	a.await(wire.TypeSnapshot)
	peer := r.media.peer("pt_a")
	peer.Events.SlotsChanged([]node.Slot{{MID: "3", Kind: node.Video, State: node.SlotEmpty}})
	peer.Events.LayersWanted("tr_1", []string{"q"}, 0)
	r.svc.deps.Speakers.SpeakersChanged("mtg_1", []node.Speaker{{ParticipantID: "pt_a", Level: 30}})
	a.await(wire.TypeSlots)
	a.await(wire.TypeLayers)
	a.await(wire.TypeActiveSpeakers)
	a.ok(wire.TypeSubscriptionUpdate, wire.SubscriptionUpdate{Slots: []wire.SlotRequest{{MID: "3", MaxWidth: 320}}})
	if !peer.is(func(p *fakePeer) bool { return len(p.wish.Slots) == 1 && p.wish.Slots[0].MaxWidth == 320 }) {
		t.Errorf("the SFU heard %+v", peer.wish)
	}
}

// What slots carry comes with what is known of the way to the client.
func TestSlotsTellOfTheDownlink(t *testing.T) {
	r := newRig(t)
	a := r.connect(r.token(claims("pt_a", grant.Attendee, grant.Settings{})))
	a.hello("pt_a", "offer")
	a.await(wire.TypeSnapshot)
	peer := r.media.peer("pt_a")
	for _, tc := range []struct {
		name string
		way  *node.Bandwidth
		want *wire.Downlink
	}{
		{"nothing", nil, nil},
		{"no estimate yet", &node.Bandwidth{Wanted: 5}, nil},
		{
			"an estimate", &node.Bandwidth{Estimate: 4, Limit: "delay", Wanted: 5, Allocated: 3, Queue: 2, Lost: 0.5},
			&wire.Downlink{Estimate: 4, Limit: "delay", Wanted: 5, Allocated: 3, QueueMS: 2, Lost: 0.5},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			peer.is(func(p *fakePeer) bool { p.way = tc.way; return true })
			peer.Events.SlotsChanged([]node.Slot{{MID: "3", Kind: node.Video, State: node.SlotEmpty}})
			var slots wire.Slots
			a.await(wire.TypeSlots).read(t, &slots)
			if !reflect.DeepEqual(slots.Downlink, tc.want) {
				t.Errorf("told of %+v, want %+v", slots.Downlink, tc.want)
			}
		})
	}
}

func TestCamerasAndViewersAreLimited(t *testing.T) {
	r := newRig(t)
	settings := grant.Settings{MaxCameras: 1}
	camera := wire.TrackHint{MID: "0", Source: "camera"}
	a := r.connect(r.token(claims("pt_a", grant.Attendee, settings)))
	a.hello("pt_a", "offer", camera)
	a.await(wire.TypeSnapshot)
	for _, tc := range []struct {
		id   string
		role grant.Role
		code string
	}{{"pt_b", grant.Attendee, wire.CodeCamerasFull}, {"pt_v", grant.Viewer, wire.CodePublishDenied}} {
		c := r.connect(r.token(claims(tc.id, tc.role, settings)))
		c.hello(tc.id, "offer", camera)
		var answer wire.Answer
		c.await(wire.TypeAnswer).read(t, &answer)
		if len(answer.Refused) != 1 {
			t.Errorf("%s may publish: %+v", tc.id, answer)
		}
		c.isError(tc.code, c.await(wire.TypeError))
	}
	track := node.Track{ID: "tr_pt_a_0", ParticipantID: "pt_a", Kind: node.Video, Source: node.Camera}
	r.media.peer("pt_a").Events.TrackUnpublished(track)
	c := r.connect(r.token(claims("pt_c", grant.Attendee, settings)))
	c.hello("pt_c", "offer", camera)
	var answer wire.Answer
	c.await(wire.TypeAnswer).read(t, &answer)
	if len(answer.Refused) != 0 {
		t.Error("a freed camera place is not given on")
	}
}

func TestFailedOfferFreesTheCamera(t *testing.T) {
	r := newRig(t)
	settings := grant.Settings{MaxCameras: 1}
	r.media.fail = &node.Error{Kind: node.Invalid, Code: wire.CodeBadSDP, Say: "That is no offer."}
	a := r.connect(r.token(claims("pt_a", grant.Attendee, settings)))
	id := a.hello("pt_a", "nonsense", wire.TrackHint{MID: "0", Source: "camera"})
	m, _ := a.next()
	if m.ReplyTo != id {
		t.Errorf("got %s", m.raw)
	}
	a.isError(wire.CodeBadSDP, m)
	r.media.mu.Lock()
	r.media.fail = nil
	r.media.mu.Unlock()
	a.hello("pt_a", "offer", wire.TrackHint{MID: "0", Source: "camera"})
	var answer wire.Answer
	a.await(wire.TypeAnswer).read(t, &answer)
	if len(answer.Refused) != 0 {
		t.Error("the failed offer kept the camera place")
	}
	a.await(wire.TypeSnapshot)
}

func TestOffersAreLimited(t *testing.T) {
	r := newRig(t, withConfig(func(c *Config) { c.OffersPerSec = 1 }))
	a := r.join("pt_a", grant.Attendee)
	if m := a.request(wire.TypeOffer, wire.Offer{SDPOffer: "o"}); m.Type != wire.TypeAnswer {
		t.Errorf("got %s", m.raw)
	}
	a.refused(wire.CodeRateLimited, wire.TypeOffer, wire.Offer{SDPOffer: "o"})
	a.ok(wire.TypeChat, wire.ChatSend{Text: "still here"})
}

func TestBurstsOfJoinsShareMessages(t *testing.T) {
	r := newRig(t)
	watcher := r.join("pt_w", grant.Attendee)
	const people = 60
	clients := make([]*client, people)
	for i := range clients {
		c := claims("pt_"+string(rune('A'+i/10))+string(rune('0'+i%10)), grant.Viewer, grant.Settings{})
		clients[i] = r.connect(r.token(c))
		clients[i].hello(c.ParticipantID, "")
	}
	seen, messages := map[string]bool{}, 0
	for len(seen) < people {
		var e wire.ParticipantEvent
		watcher.await(wire.TypeParticipantJoined).read(t, &e)
		messages++
		for _, p := range append(e.Participants, e.Participant) {
			seen[p.ID] = true
		}
	}
	t.Logf("%d joins came in %d messages", people, messages)
	// Everybody knows everybody: from the snapshot, or by a join that came after it. Nobody is told of anyone twice.
	for _, c := range clients {
		var s wire.Snapshot
		c.await(wire.TypeSnapshot).read(t, &s)
		known := map[string]int{}
		for _, p := range s.Participants {
			known[p.ID]++
		}
		for len(known) < people+1 {
			var e wire.ParticipantEvent
			c.await(wire.TypeParticipantJoined).read(t, &e)
			if len(e.Participants) == 0 {
				e.Participants = []wire.Identity{e.Participant}
			}
			for _, p := range e.Participants {
				if known[p.ID]++; known[p.ID] > 1 {
					t.Fatalf("told of %s twice", p.ID)
				}
			}
		}
	}
}

func TestSecondConnectionReplacesTheFirst(t *testing.T) {
	r := newRig(t)
	watcher := r.join("pt_w", grant.Attendee)
	token := r.token(claims("pt_a", grant.Attendee, grant.Settings{}))
	first := r.connect(token)
	first.hello("pt_a", "offer")
	first.await(wire.TypeSnapshot)
	peer := r.media.peer("pt_a")
	second := r.connect(token)
	second.hello("pt_a", "offer")
	first.closedWith(wire.CloseReplaced)
	if m := second.await(wire.TypeSnapshot); m.Seq != 1 {
		t.Errorf("the new session begins with %d", m.Seq)
	}
	if !peer.is(func(p *fakePeer) bool { return p.closed }) {
		t.Error("the older peer lives on")
	}
	watcher.await(wire.TypeParticipantJoined)
	second.ok(wire.TypePresenceUpdate, wire.PresenceUpdate{HandRaised: new(true)})
	if m, _ := watcher.next(); m.Type != wire.TypePresenceChanged {
		t.Errorf("others noticed: %s", m.raw)
	}
}

func TestSlowMediaHoldsUpNobodyElse(t *testing.T) {
	r := newRig(t)
	a := r.join("pt_a", grant.Attendee)
	hold := make(chan struct{})
	r.media.hold = hold
	b := r.connect(r.token(claims("pt_b", grant.Attendee, grant.Settings{})))
	b.hello("pt_b", "offer")
	eventually(t, "b waits for the SFU", func() bool { return r.media.peer("pt_b") != nil })
	a.ok(wire.TypeChat, wire.ChatSend{Text: "quick"})
	close(hold)
	b.await(wire.TypeSnapshot)
}

func TestSilentSocketIsClosed(t *testing.T) {
	r := newRig(t, withConfig(func(c *Config) { c.HelloTimeout = 20 * time.Millisecond }))
	r.connect(r.token(claims("pt_a", grant.Attendee, grant.Settings{}))).closedWith(wire.CloseBadRequest)
	eventually(t, "room closed", func() bool { return r.svc.room("mtg_1") == nil })
}

func TestStoppingTellsClientsToGoElsewhere(t *testing.T) {
	r := newRig(t)
	a := r.join("pt_a", grant.Attendee)
	r.stop()
	a.closedWith(wire.CloseGoingAway)
}

// A goodbye counts also when it comes while the server writes: nobody is kept a place who has left.
func TestGoodbyeWhileTheServerWrites(t *testing.T) {
	r := newRig(t)
	stays := r.join("pt_stays", grant.Attendee)
	for range 20 {
		a := r.join("pt_a", grant.Attendee)
		for range 5 {
			stays.send(wire.TypeChat, wire.ChatSend{Text: "to all"})
		}
		a.leave()
		eventually(t, "it is gone", func() bool { return len(r.svc.Participants("mtg_1")) == 1 })
	}
}
