package client

import (
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

func TestTwoSeeAndHearEachOther(t *testing.T) {
	server := newRealServer(t)
	a := server.join(Options{Publish: person(t)})
	b := server.join(Options{Publish: []*Publication{
		NewCamera(loadClip(t, "h264-q.h264").Loop(), loadClip(t, "h264-h.h264").Loop(), loadClip(t, "h264-f.h264").Loop()),
		NewMicrophone(loadClip(t, "tone.ogg").Loop(), nil),
	}})
	eventually(t, a, "a sees and hears b", flows(a, b))
	eventually(t, b, "b sees and hears a", flows(b, a))
	for _, c := range []*Client{a, b} {
		for _, slot := range c.Slots() {
			if slot.ParticipantID == c.Self().ID {
				t.Errorf("%s gets its own %s in slot %s", slot.ParticipantID, slot.Source, slot.MID)
			}
		}
		if len(c.Participants()) != 2 || len(c.Tracks()) != 4 {
			t.Errorf("roster has %d participants, %d tracks, want 2, 4", len(c.Participants()), len(c.Tracks()))
		}
		if got := c.Timings(); got.FirstAudio == 0 || got.FirstVideo == 0 || got.DTLS == 0 {
			t.Errorf("timings = %+v, want every step but Join", got)
		}
		for _, s := range c.SlotStats() {
			if s.Lost != 0 {
				t.Errorf("slot %+v lost %d packets on loopback", s.Slot, s.Lost)
			}
		}
	}
}

// TestTheWayIsEstimated: the client tells the node which packets came, so the node knows what the way to it carries.
func TestTheWayIsEstimated(t *testing.T) {
	server := newRealServer(t)
	a := server.join(Options{Publish: person(t)})
	b := server.join(Options{})
	eventually(t, b, "the picture", flows(b, a))
	eventually(t, b, "an estimate of all that is wanted", func() bool {
		known, ok := server.sfu.Bandwidth("mtg_1", b.Self().ID)
		return ok && known.Wanted > 0 && known.Estimate > known.Wanted && known.Allocated == known.Wanted
	})
}

// trace keeps the sequence numbers and timestamps of one slot's packets.
type trace struct {
	mu      sync.Mutex
	packets map[string][]tracePoint
}

type tracePoint struct {
	seq       uint16
	timestamp uint32
}

func (tr *trace) note(p Packet) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.packets[p.Slot.MID] = append(tr.packets[p.Slot.MID], tracePoint{p.RTP.SequenceNumber, p.RTP.Timestamp})
}

func (tr *trace) check(t *testing.T, mid string) {
	t.Helper()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	points := tr.packets[mid]
	for i := 1; i < len(points); i++ {
		if step := points[i].seq - points[i-1].seq; step != 1 {
			t.Errorf("packet %d: sequence number steps by %d", i, int16(step))
		}
		step := int32(points[i].timestamp - points[i-1].timestamp)
		if step < 0 || step > 2*90000 {
			t.Errorf("packet %d: timestamp steps by %d ticks", i, step)
		}
	}
}

func TestLayerFollowsSize(t *testing.T) {
	server := newRealServer(t)
	a := server.join(Options{Publish: person(t)})
	seen := &trace{packets: map[string][]tracePoint{}}
	b := server.join(Options{OnPacket: seen.note})
	eventually(t, b, "the picture", flows(b, a))
	video, _ := receiving(b, a.Self().ID, SourceCamera)
	mid, track := video.Slot.MID, video.Slot.TrackID
	sizes := []struct{ max, want int }{{160, 160}, {640, 640}, {320, 320}, {160, 160}}
	for _, size := range sizes {
		wish := wire.SlotRequest{MID: mid, TrackID: track, MaxWidth: size.max, MaxHeight: size.max * 9 / 16}
		if err := b.Subscribe(t.Context(), wish); err != nil {
			t.Fatal(err)
		}
		asked := time.Now()
		eventually(t, b, "another layer", func() bool {
			video, _ := receiving(b, a.Self().ID, SourceCamera)
			return video.Width == size.want
		})
		if took := time.Since(asked); took > 2*time.Second {
			t.Errorf("width %d came after %s, want within 2 s", size.want, took)
		}
	}
	video, _ = receiving(b, a.Self().ID, SourceCamera)
	if video.LongestFreeze > time.Second/2 {
		t.Errorf("%d freezes of %s", video.Freezes, video.FreezeTime)
	}
	seen.check(t, mid)
}

func TestUnwantedLayersPause(t *testing.T) {
	server := newRealServer(t)
	pubs := person(t)
	a := server.join(Options{Publish: pubs})
	b := server.join(Options{})
	eventually(t, b, "the picture", flows(b, a))
	video, _ := receiving(b, a.Self().ID, SourceCamera)
	wish := wire.SlotRequest{MID: video.Slot.MID, TrackID: video.Slot.TrackID, MaxWidth: 160, MaxHeight: 90}
	if err := b.Subscribe(t.Context(), wish); err != nil {
		t.Fatal(err)
	}
	eventually(t, a, "only q is sent", func() bool {
		wanted := pubs[0].Wanted()
		return len(wanted) == 1 && wanted[0] == "q"
	})
	before := pubs[0].Sent()
	video, _ = receiving(b, a.Self().ID, SourceCamera)
	eventually(t, b, "the small picture goes on", func() bool {
		now, _ := receiving(b, a.Self().ID, SourceCamera)
		return now.Frames > video.Frames+10
	})
	after := pubs[0].Sent()
	if after[2].Packets != before[2].Packets || after[0].Packets == before[0].Packets {
		t.Errorf("sent q %d→%d, f %d→%d; want q to go on and f to rest",
			before[0].Packets, after[0].Packets, before[2].Packets, after[2].Packets)
	}
}

func TestMuteStopsPackets(t *testing.T) {
	server := newRealServer(t)
	pubs := person(t)
	a := server.join(Options{Publish: pubs})
	b := server.join(Options{})
	host := connect(t, server.ticket(grant.Host, grant.Settings{}), Options{VideoSlots: NoSlots, AudioSlots: NoSlots})
	eventually(t, b, "sound and picture", flows(b, a))
	tests := []struct {
		name         string
		mute, unmute func() error
	}{
		{
			"by oneself",
			func() error { return a.Presence(t.Context(), wire.PresenceUpdate{AudioMuted: new(true)}) },
			func() error { return a.Presence(t.Context(), wire.PresenceUpdate{AudioMuted: new(false)}) },
		},
		{
			"by the host",
			func() error { return host.Mute(t.Context(), a.Self().ID, SourceMicrophone) },
			func() error { return a.Presence(t.Context(), wire.PresenceUpdate{AudioMuted: new(false)}) },
		},
	}
	heard := func() (packets uint64) {
		for _, s := range b.SlotStats() {
			if s.Slot.Kind == "audio" {
				packets += s.Packets
			}
		}
		return packets
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.mute(); err != nil {
				t.Fatal(err)
			}
			eventually(t, a, "the microphone is off", func() bool { return a.Self().AudioMuted && len(pubs[1].Wanted()) == 0 })
			sent, before := pubs[1].Sent()[0].Packets, heard()
			video, _ := receiving(b, a.Self().ID, SourceCamera)
			eventually(t, b, "the picture goes on", func() bool {
				now, _ := receiving(b, a.Self().ID, SourceCamera)
				return now.Frames > video.Frames+10
			})
			if now := pubs[1].Sent()[0].Packets; now != sent {
				t.Errorf("%d packets of sound were sent while muted", now-sent)
			}
			if now := heard(); now > before+5 { // those on their way
				t.Errorf("%d packets of sound came while muted", now-before)
			}
			if err := tc.unmute(); err != nil {
				t.Fatal(err)
			}
			before = heard()
			eventually(t, b, "sound again", func() bool { return heard() > before+20 })
		})
	}
}

func TestShareAScreen(t *testing.T) {
	server := newRealServer(t)
	a := server.join(Options{})
	b := server.join(Options{})
	for range 2 {
		screen := NewScreen(loadClip(t, "vp8-f.ivf").Loop())
		if err := a.AddTracks(t.Context(), screen); err != nil {
			t.Fatal(err)
		}
		published := await[TrackPublished](t, b, "the screen", nil)
		eventually(t, b, "the screen's picture", func() bool {
			video, _ := receiving(b, a.Self().ID, SourceScreen)
			return video.Width == 640
		})
		if err := a.Unpublish(t.Context(), screen); err != nil {
			t.Fatal(err)
		}
		gone := await[TrackUnpublished](t, b, "the screen to go", nil)
		if gone.Track.ID != published.Track.ID || published.Track.Source != SourceScreen {
			t.Errorf("published %+v, unpublished %+v", published.Track, gone.Track)
		}
	}
}

func TestResumeIsNotNoticed(t *testing.T) {
	server := newRealServer(t)
	a := server.join(Options{Publish: person(t)})
	b := server.join(Options{})
	eventually(t, b, "sound and picture", flows(b, a))
	cut(b)
	await(t, b, "the loss", func(e StateChanged) bool { return e.State == StateReconnecting })
	if err := a.Chat(t.Context(), "while you were away", ""); err != nil {
		t.Fatal(err)
	}
	await(t, b, "what was missed", func(e ChatReceived) bool { return e.Text == "while you were away" })
	if b.State() != StateJoined {
		await(t, b, "resumption", func(e StateChanged) bool { return e.State == StateJoined })
	}
	before, _ := receiving(b, a.Self().ID, SourceCamera)
	eventually(t, b, "the picture goes on", func() bool {
		now, _ := receiving(b, a.Self().ID, SourceCamera)
		return now.Frames > before.Frames+10
	})
	if b.MediaState() != MediaConnected || b.currentMedia().pc.SignalingState().String() != "stable" {
		t.Errorf("media is %s", b.MediaState())
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case e := <-a.Events():
			switch e := e.(type) {
			case ParticipantsLeft:
				return // only when b said goodbye
			case ParticipantsJoined:
				if e.Participants[0].ID != b.ticket.ParticipantID {
					t.Errorf("%v joined", e.Participants)
				}
			}
		case <-time.After(patience):
			t.Fatal("a was not told that b left")
		}
	}
}

func TestICERestartKeepsMedia(t *testing.T) {
	server := newRealServer(t)
	a := server.join(Options{Publish: person(t)})
	b := server.join(Options{})
	eventually(t, b, "sound and picture", flows(b, a))
	for _, c := range []*Client{a, b} {
		old := c.currentMedia().pc.RemoteDescription().SDP
		if err := c.RestartICE(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.currentMedia().pc.RemoteDescription().SDP == old {
			t.Error("the answer is the old one")
		}
		await(t, c, "the restart", func(e MediaStateChanged) bool { return e.State == MediaConnecting })
		await(t, c, "the new path", func(e MediaStateChanged) bool { return e.State == MediaConnected })
		before, _ := receiving(b, a.Self().ID, SourceCamera)
		eventually(t, b, "the picture goes on", func() bool {
			now, _ := receiving(b, a.Self().ID, SourceCamera)
			return now.Frames > before.Frames+15
		})
	}
}

func TestLobbyOfARealRoom(t *testing.T) {
	server := newRealServer(t)
	settings := grant.Settings{WaitingRoom: true}
	host := connect(t, server.ticket(grant.Host, settings), Options{Publish: person(t)})
	guest := connect(t, server.ticket(grant.Attendee, settings), Options{Publish: person(t)})
	if guest.State() != StateWaiting {
		t.Fatalf("state = %s, want waiting", guest.State())
	}
	if len(guest.Participants()) != 0 || guest.MediaState() == MediaConnected {
		t.Error("a waiting participant has a roster or media")
	}
	knock := await[Knocked](t, host, "a knock", nil)
	if err := host.Admit(t.Context(), knock.Participants[0].ID); err != nil {
		t.Fatal(err)
	}
	await(t, guest, "the room", func(e StateChanged) bool { return e.State == StateJoined })
	eventually(t, guest, "the host's sound and picture", flows(guest, host))
	eventually(t, host, "the guest's sound and picture", flows(host, guest))
}

func TestThirdJoinCostsNoExchange(t *testing.T) {
	server := newRealServer(t)
	a := server.join(Options{Publish: person(t)})
	b := server.join(Options{Publish: person(t)})
	eventually(t, a, "b", flows(a, b))
	requests, answer := exchanges(a)
	third := server.join(Options{Publish: person(t)})
	eventually(t, a, "the third", flows(a, third))
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, a, "the third to leave", func(e ParticipantsLeft) bool {
		return e.Participants[0].ID == third.ticket.ParticipantID
	})
	nowRequests, nowAnswer := exchanges(a)
	if nowRequests != requests || nowAnswer != answer {
		t.Errorf("the third join and leave cost %d requests", nowRequests-requests)
	}
}

// TestLipSync compares, for sound and for picture, the moment of sending stamped into the frame with the moment of
// capture that the server's sender reports give it. What both are off by is the same in a player, so only the difference
// counts.
func TestLipSync(t *testing.T) {
	server := newRealServer(t)
	type sample struct{ audio, video time.Duration }
	var mu sync.Mutex
	var latest sample
	var audio, video int
	note := func(p Packet) {
		if p.SentAt.IsZero() || p.Captured.IsZero() {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if p.Slot.Kind == "audio" {
			latest.audio, audio = p.SentAt.Sub(p.Captured), audio+1
		} else {
			latest.video, video = p.SentAt.Sub(p.Captured), video+1
		}
	}
	a := server.join(Options{Publish: person(t)})
	b := server.join(Options{OnPacket: note})
	eventually(t, b, "sender reports of sound and picture", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return audio > 50 && video > 20
	})
	mu.Lock()
	skew := latest.audio - latest.video
	mu.Unlock()
	if skew.Abs() > 20*time.Millisecond {
		t.Errorf("skew = %s, want at most 20 ms", skew)
	}
	t.Logf("skew of %s: %s", a.Self().ID, skew)
}
