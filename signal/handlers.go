package signal

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

const (
	maxChatBytes     = 4 << 10
	maxSlots         = 256
	maxCandidateSize = 1 << 10
)

// hello asks for a seat. A second one counts as an offer.
func hello(ctx context.Context, s *session, q *request, h *wire.Hello) error {
	if h.ParticipantID != s.member.id {
		return &fatal{wire.CloseDenied, denied(wire.CodeDenied, "The token is another participant's.")}
	}
	if s.greeted {
		s.room.console(s.member)
		return offer(ctx, s, q, &wire.Offer{SDPOffer: h.SDPOffer, Tracks: h.Tracks})
	}
	hold, err := s.knock(ctx, h.DisplayName, namesCamera(h))
	if err != nil {
		return turnedAway(err)
	}
	if hold {
		q.answered = true // on admission
		s.held = &heldHello{*q, h}
		return nil
	}
	return s.enter(ctx, q, h)
}

// namesCamera says whether a hello's offer starts a camera, as far as it says so.
func namesCamera(h *wire.Hello) bool {
	return h.SDPOffer != "" && slices.ContainsFunc(h.Tracks, func(t wire.TrackHint) bool { return t.Source == string(node.Camera) })
}

// turnedAway closes the socket of somebody for whom there is no seat: coming back is another try.
func turnedAway(err error) error {
	if asError(err).Kind == node.Full {
		return &fatal{wire.CloseFull, err}
	}
	return err
}

// resume goes on after the last event that the client saw, or starts over with a snapshot.
func resume(ctx context.Context, s *session, _ *request, m *wire.Resume) error {
	if s.resumed && !s.greeted { // before what makes the client look for a path
		s.tellICEServers()
	}
	if s.room.replay(s, m.LastSeq) {
		s.greeted = true
		return nil
	}
	known, err := s.mayResume(ctx)
	if err != nil {
		return turnedAway(err)
	}
	if !known {
		return denied(wire.CodeSessionUnknown, "There is nothing to resume. Say hello.")
	}
	s.adopt(ctx, m.LastSeq)
	return s.sit(ctx)
}

// candidate takes a trickled candidate. The SFU needs none: it learns addresses from authenticated checks alone.
func candidate(_ context.Context, _ *session, _ *request, c *wire.Candidate) error {
	for _, field := range []*string{c.Candidate, c.SDPMid, c.UsernameFragment} {
		if field != nil && len(*field) > maxCandidateSize {
			return invalid("A candidate is at most 1024 bytes long.")
		}
	}
	return nil
}

// presenceUpdate changes the sender's own presence.
func presenceUpdate(_ context.Context, s *session, _ *request, p *wire.PresenceUpdate) error {
	return s.room.present(s.member, func(e *entry) error {
		if p.ScreenSharing != nil && *p.ScreenSharing && e.Role == string(grant.Viewer) {
			return denied(wire.CodePublishDenied, "A viewer shares no screen.")
		}
		set(&e.AudioMuted, p.AudioMuted)
		set(&e.VideoMuted, p.VideoMuted)
		set(&e.HandRaised, p.HandRaised)
		set(&e.ScreenSharing, p.ScreenSharing)
		return nil
	})
}

func set(field, value *bool) {
	if value != nil {
		*field = *value
	}
}

// subscriptionUpdate says what the sender wants to see.
func subscriptionUpdate(_ context.Context, s *session, _ *request, u *wire.SubscriptionUpdate) error {
	want, err := subscription(u)
	if err != nil {
		return err
	}
	s.room.mu.Lock()
	peer := s.member.peer
	s.room.mu.Unlock()
	if peer == nil {
		return denied(wire.CodeDenied, "There is no media connection to subscribe with.")
	}
	return peer.Subscribe(want)
}

func subscription(u *wire.SubscriptionUpdate) (node.Subscription, error) {
	switch u.Mode {
	case "auto":
		if len(u.Slots) > 0 {
			return node.Subscription{}, invalid("Mode auto has no slots.")
		}
		return node.Subscription{Auto: true}, nil
	case "", "manual":
	default:
		return node.Subscription{}, invalid(`Field "mode" is "auto" or "manual".`)
	}
	if len(u.Slots) > maxSlots {
		return node.Subscription{}, invalid("That are too many slots.")
	}
	var want node.Subscription
	for _, slot := range u.Slots {
		if slot.MID == "" || slot.MaxWidth < 0 || slot.MaxHeight < 0 {
			return node.Subscription{}, invalid("A slot has a mid, and no negative size.")
		}
		want.Slots = append(want.Slots, node.SlotRequest{
			MID: slot.MID, TrackID: slot.TrackID, MaxWidth: slot.MaxWidth, MaxHeight: slot.MaxHeight,
			Priority: slot.Priority, Paused: slot.Paused,
		})
	}
	return want, nil
}

// chatMessage delivers to everybody, or to one participant and its sender.
func chatMessage(_ context.Context, s *session, _ *request, c *wire.ChatSend) error {
	if strings.TrimSpace(c.Text) == "" {
		return invalid("A chat message has a text.")
	}
	if len(c.Text) > maxChatBytes {
		return invalid("A chat message has at most 4096 bytes.")
	}
	return s.room.say(s.member, wire.Chat{
		From: s.member.id, Text: c.Text, To: c.To, Private: c.To != "",
		SentAt: time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"),
	})
}

// admit lets somebody in from the lobby.
func admit(ctx context.Context, s *session, _ *request, t *wire.Target) error {
	return s.svc.Admit(ctx, s.room.meeting, t.ParticipantID)
}

// deny turns somebody in the lobby away.
func deny(ctx context.Context, s *session, _ *request, t *wire.Target) error {
	return s.svc.Deny(ctx, s.room.meeting, t.ParticipantID)
}

// mute mutes somebody else.
func mute(ctx context.Context, s *session, _ *request, m *wire.Mute) error {
	return s.svc.Mute(ctx, s.room.meeting, m.ParticipantID, m.Source)
}

// remove throws somebody out.
func remove(ctx context.Context, s *session, _ *request, t *wire.Target) error {
	return s.svc.Remove(ctx, s.room.meeting, t.ParticipantID)
}

// lockRoom sends newcomers to the lobby.
func lockRoom(ctx context.Context, s *session, _ *request, _ *wire.Empty) error {
	return s.svc.SetLocked(ctx, s.room.meeting, true)
}

// unlockRoom undoes lockRoom.
func unlockRoom(ctx context.Context, s *session, _ *request, _ *wire.Empty) error {
	return s.svc.SetLocked(ctx, s.room.meeting, false)
}

// endRoom ends the meeting for everybody.
func endRoom(ctx context.Context, s *session, q *request, _ *wire.Empty) error {
	if q.id != "" { // now: with the meeting, the socket ends
		q.answer(wire.TypeOK, wire.Empty{})
	}
	return s.svc.End(ctx, s.room.meeting)
}
