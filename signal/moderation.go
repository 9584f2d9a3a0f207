package signal

import (
	"context"
	"encoding/json"
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

// Participants lists everybody in the meeting's room, also those who wait, longest there first. It knows the whole room
// as soon as anybody of it is connected to this node.
func (s *Service) Participants(meetingID string) []Participant {
	r := s.room(meetingID)
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Participant
	for _, e := range r.roster.everybody() {
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
func (s *Service) SetLocked(_ context.Context, meetingID string, locked bool) error {
	r := s.room(meetingID)
	if r == nil {
		return roomGone()
	}
	r.setLocked(locked, s.deps.NodeID)
	return nil
}

// Locked says whether the room is locked.
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

// moderate has a command carried out by the node that the participant is connected to.
func (s *Service) moderate(ctx context.Context, c command) error {
	r := s.room(c.Meeting)
	if r == nil {
		return roomGone()
	}
	r.mu.Lock()
	owner, known := r.roster.ownerOf(c.Participant)
	r.mu.Unlock()
	switch {
	case !known:
		return notFound("Nobody with that id is in the room.")
	case owner != s.deps.NodeID:
		return s.fabric.command(ctx, owner, c)
	}
	return s.carryOut(ctx, r, c)
}

// carryOut does what a host or the REST plane wants with a participant of this node.
func (s *Service) carryOut(ctx context.Context, r *room, c command) error {
	switch c.Op {
	case opAdmit:
		return r.admit(c.Participant)
	case opMute:
		return r.mute(c.Participant, c.Source)
	case opDeny:
		return s.expel(ctx, r, c.Participant, "denied")
	case opRemove:
		return s.expel(ctx, r, c.Participant, "removed")
	}
	return invalid("There is no such command.")
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

// The operations of a command.
const (
	opRoster = "roster" // asks for the node's part of the room's roster
	opAdmit  = "admit"
	opDeny   = "deny"
	opMute   = "mute"
	opRemove = "remove"
)

// command is what one node asks of another.
type command struct {
	Op          string `json:"op"`
	Meeting     string `json:"meeting"`
	Participant string `json:"participant,omitempty"`
	Source      string `json:"source,omitempty"`
}

// reply answers a command.
type reply struct {
	Error *replyError `json:"error,omitempty"`
	Part  *part       `json:"part,omitempty"` // nil: the node has no such room
}

// replyError is a node.Error on its way between nodes.
type replyError struct {
	Kind node.ErrorKind `json:"kind"`
	Code string         `json:"code"`
	Say  string         `json:"say"`
}

// obey answers another node's command.
func (s *Service) obey(ctx context.Context, data []byte) ([]byte, error) {
	var c command
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	var answer reply
	r := s.room(c.Meeting)
	switch {
	case c.Op == opRoster && r != nil:
		answer.Part = r.part()
	case c.Op == opRoster:
	case r == nil:
		answer.refuse(roomGone())
	default:
		answer.refuse(s.carryOut(ctx, r, c))
	}
	return json.Marshal(answer)
}

func (a *reply) refuse(err error) {
	if err != nil {
		e := asError(err)
		a.Error = &replyError{e.Kind, e.Code, e.Say}
	}
}
