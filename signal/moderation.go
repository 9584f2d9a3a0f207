package signal

import (
	"context"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// Participant is one participant as the REST plane shows it.
type Participant struct {
	wire.Participant
	State    State
	JoinedAt time.Time // or when it began to wait
}

// State says where a participant is.
type State string

// The states of a participant.
const (
	Joined       State = "joined"
	Waiting      State = "waiting"      // in the lobby
	Reconnecting State = "reconnecting" // its socket is lost, its place is kept for a while
)

// Participants lists everybody in the meeting's room, also those who wait, longest there first, as far as this node knows.
// It knows the whole room as soon as anybody of it is connected to this node; see Presence.
func (s *Service) Participants(meetingID string) []Participant {
	r := s.room(meetingID)
	if r == nil {
		return nil
	}
	return participants(r.everybody())
}

func participants(entries []entry) []Participant {
	var all []Participant
	for _, e := range entries {
		all = append(all, Participant{Participant: e.Participant, State: e.State, JoinedAt: e.JoinedAt})
	}
	return all
}

// Admit lets a waiting participant in.
func (s *Service) Admit(ctx context.Context, meetingID, participantID string) error {
	return s.moderate(ctx, command{Op: opAdmit, Meeting: meetingID, Participant: participantID})
}

// Deny turns a waiting participant away for good.
func (s *Service) Deny(ctx context.Context, meetingID, participantID string) error {
	return s.moderate(ctx, command{Op: opDeny, Meeting: meetingID, Participant: participantID})
}

// Remove throws a participant out for good: none of its tokens works any more.
func (s *Service) Remove(ctx context.Context, meetingID, participantID string) error {
	return s.moderate(ctx, command{Op: opRemove, Meeting: meetingID, Participant: participantID})
}

// Mute mutes one source of a participant, microphone (also when empty) or camera; only the participant can unmute it.
func (s *Service) Mute(ctx context.Context, meetingID, participantID, source string) error {
	return s.moderate(ctx, command{Op: opMute, Meeting: meetingID, Participant: participantID, Source: source})
}

// SetLocked locks or unlocks the room: a locked one holds newcomers who are no hosts in the lobby. Unlocking lets those
// in whom nothing else holds. The lock goes with the room, when the last participant leaves.
func (s *Service) SetLocked(ctx context.Context, meetingID string, locked bool) error {
	op := opUnlock
	if locked {
		op = opLock
	}
	return s.moderate(ctx, command{Op: op, Meeting: meetingID})
}

// Locked says whether the room is locked, as far as this node knows.
func (s *Service) Locked(meetingID string) bool {
	r := s.room(meetingID)
	return r != nil && r.home.Locked()
}

// End ends the meeting for everybody, those who wait too, on all nodes and for good.
func (s *Service) End(ctx context.Context, meetingID string) error {
	if !isName(meetingID) {
		return invalid("That is no meeting's id.")
	}
	err := s.deps.Revoked.Meeting(ctx, meetingID)
	s.fabric.tell(meetingID, update{Node: s.deps.NodeID, Ended: true})
	s.endHere(meetingID)
	return stored(err)
}

// SetSettings brings changed settings to a live room on any node. The highest revision wins; nobody is thrown out.
func (s *Service) SetSettings(_ context.Context, meetingID string, settings grant.Settings) error {
	if !isName(meetingID) {
		return invalid("That is no meeting's id.")
	}
	if r := s.room(meetingID); r != nil {
		r.setSettings(settings)
		return nil
	}
	s.fabric.tell(meetingID, update{Node: s.deps.NodeID, Settings: &settings})
	return nil
}

// endHere sends everybody of this node's room away.
func (s *Service) endHere(meetingID string) {
	if r := s.room(meetingID); r != nil {
		closeAll(r.dismissAll("ended", wire.CloseEnded))
		s.sweep(r)
	}
}

// carryOut does what a host or the REST plane wants with a participant of this node.
func (s *Service) carryOut(ctx context.Context, r *room, c command) error {
	switch c.Op {
	case opAdmit:
		return s.letIn(ctx, r, c.Participant)
	case opMute:
		return r.mute(c.Participant, c.Source)
	case opDeny:
		return s.expel(ctx, r, c.Participant, "denied")
	case opRemove:
		return s.expel(ctx, r, c.Participant, "removed")
	}
	return invalid("There is no such command.")
}

// letIn lets somebody in from the lobby, if there is a seat.
func (s *Service) letIn(ctx context.Context, r *room, id string) error {
	m, err := r.waits(id)
	if err != nil {
		return err
	}
	if _, err := s.askSeat(ctx, r, m, true); err != nil {
		return err
	}
	return r.admit(m)
}

// expel bars a participant, then sends it away: in this order, so that it cannot slip back in between.
func (s *Service) expel(ctx context.Context, r *room, id, reason string) error {
	r.mu.Lock()
	m := r.members[id]
	if m == nil || reason == "denied" && m.stage != waiting {
		r.mu.Unlock()
		return notFound("Nobody with that id is there.")
	}
	claims := m.claims
	r.mu.Unlock()
	err := s.deps.Revoked.Participant(ctx, claims.MeetingID, id)
	if claims.Subject != "" {
		if subjectErr := s.deps.Revoked.Subject(ctx, claims.MeetingID, claims.Subject); err == nil {
			err = subjectErr
		}
	}
	if peer := r.dismiss(id, reason, wire.CloseRemoved); peer != nil {
		peer.Close()
	}
	s.sweep(r)
	return stored(err)
}

// stored says that what was done here may not have reached the others yet.
func stored(err error) error {
	if err == nil {
		return nil
	}
	return &node.Error{
		Kind: node.Internal, Code: wire.CodeInternal, Say: "It is done on this node; the others will hear of it later.", Err: err,
	}
}
