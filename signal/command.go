package signal

import (
	"context"
	"encoding/json"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// The operations of a command. The first ones are for the node that a participant is connected to, the rest for any that
// knows the room.
const (
	opRoster  = "roster" // asks for the node's part of the room's roster
	opAdmit   = "admit"
	opDeny    = "deny"
	opMute    = "mute"
	opRemove  = "remove"
	opLock    = "lock"
	opUnlock  = "unlock"
	opView    = "view"    // asks who is in the room
	opHome    = "home"    // asks for there to be a home
	opKnock   = "knock"   // asks the home for a seat
	opCamera  = "camera"  // asks the home for a place for a camera
	opAllow   = "allow"   // asks the home for places in advance
	opExpect  = "expect"  // tells a node that somebody will come to it
	opRelease = "release" // gives the home back what it promised, or handed out in advance
)

// command is what one node asks of another.
type command struct {
	Op          string `json:"op"`
	Meeting     string `json:"meeting"`
	Participant string `json:"participant,omitempty"`
	Source      string `json:"source,omitempty"`

	ToHome    bool      `json:"to_home,omitempty"`   // for whoever knows the room; another node says who is to be asked
	Appointed bool      `json:"appointed,omitempty"` // the node that asks was told that this one is the home
	Knock     *knocking `json:"knock,omitempty"`     // of opKnock, opCamera and opRelease
	Camera    bool      `json:"camera,omitempty"`    // of opRelease: the place for a camera alone
	Lease     *lease    `json:"lease,omitempty"`     // of opRoster: the one that asks is the home now, by this lease
	Epoch     uint64    `json:"epoch,omitempty"`     // of the lease

	Recall *recalling `json:"recall,omitempty"` // of opRoster: the one that asks is the home, and wants its lots back
}

// reply answers a command.
type reply struct {
	Error *replyError `json:"error,omitempty"`

	// Of opRoster. Part is nil when the node has no such room.
	Part     *part           `json:"part,omitempty"`
	Settings *grant.Settings `json:"settings,omitempty"`
	Lock     *lock           `json:"lock,omitempty"`
	Seats    []promised      `json:"seats,omitempty"`   // let in, but not in a part yet
	Cameras  []promised      `json:"cameras,omitempty"` // allowed a camera
	Back     []uint64        `json:"back,omitempty"`    // lots that the node had and uses no more
	Lots     []lentOut       `json:"lots,omitempty"`    // that the node has handed out as the home

	Home    string   `json:"home,omitempty"`    // ask this node instead
	Decided bool     `json:"decided,omitempty"` // it is the home; else it is for it to say who is
	Verdict *verdict `json:"verdict,omitempty"` // of opKnock, opCamera and opAllow
	View    *view    `json:"view,omitempty"`    // of opView
}

// promised is a place that somebody on a node was given, whose part did not show it at a version.
type promised struct {
	ID      string `json:"id"`
	Node    string `json:"node"`
	Version uint64 `json:"version"`
}

// view is a room as a moderator sees it.
type view struct {
	Entries []entry `json:"entries"`
	Locked  bool    `json:"locked"`
}

// replyError is a node.Error on its way between nodes.
type replyError struct {
	Kind node.ErrorKind `json:"kind"`
	Code string         `json:"code"`
	Say  string         `json:"say"`
}

func (a *reply) refuse(err error) {
	if err != nil {
		e := asError(err)
		a.Error = &replyError{e.Kind, e.Code, e.Say}
	}
}

func (e *replyError) asError() error { return &node.Error{Kind: e.Kind, Code: e.Code, Say: e.Say} }

// obey answers another node's command.
func (s *Service) obey(ctx context.Context, data []byte) ([]byte, error) {
	var c command
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, err
	}
	return json.Marshal(s.answer(ctx, c))
}

func (s *Service) answer(ctx context.Context, c command) (answer reply) {
	r := s.room(c.Meeting)
	switch {
	case c.Op == opKnock || c.Op == opCamera || c.Op == opAllow || c.Op == opHome:
		return s.atHome(ctx, c)
	case c.Op == opExpect:
		if c.Knock != nil && c.Knock.Settings != nil && isName(c.Meeting) {
			s.askAhead(c.Meeting, *c.Knock.Settings)
		}
	case c.Op == opRoster && c.Recall != nil && isName(c.Meeting):
		s.cede(c)
		return s.surrender(c)
	case r == nil && c.ToHome:
		if at := s.owners.peek(c.Meeting, time.Now()); at.node != s.deps.NodeID {
			return reply{Home: at.node, Decided: at.decided}
		}
		answer.refuse(roomGone())
	case r == nil && c.Op == opRoster, c.Op == opRelease && c.Knock == nil:
	case r == nil:
		answer.refuse(roomGone())
	case c.Op == opRoster:
		s.cede(c)
		return r.state()
	case c.Op == opRelease:
		r.home.Release(c.Participant, c.Knock.Node, c.Camera)
		r.home.Return(c.Knock.Node, c.Knock.Lots)
	case c.ToHome:
		s.inRoom(ctx, r, c, &answer)
	default:
		answer.refuse(s.carryOut(ctx, r, c))
	}
	return answer
}

// inRoom does what a moderator wants with a room that this node knows.
func (s *Service) inRoom(ctx context.Context, r *room, c command, answer *reply) {
	r.mu.Lock()
	kept := r.kept
	r.mu.Unlock()
	if kept {
		s.gather(ctx, r)
	}
	switch c.Op {
	case opView:
		answer.View = &view{Entries: r.everybody(), Locked: r.home.Locked()}
	case opLock, opUnlock:
		r.setLocked(c.Op == opLock, s.deps.NodeID)
	default:
		answer.refuse(s.toOwner(ctx, r, c))
	}
}

// toOwner has a command carried out by the node that the participant is connected to.
func (s *Service) toOwner(ctx context.Context, r *room, c command) error {
	r.mu.Lock()
	owner, known := r.roster.ownerOf(c.Participant)
	r.mu.Unlock()
	switch {
	case !known:
		return notFound("Nobody with that id is in the room.")
	case owner != s.deps.NodeID:
		c.ToHome = false
		return s.fabric.command(ctx, owner, c)
	}
	return s.carryOut(ctx, r, c)
}

// direct has a command done where the room is known: here, or by its home.
func (s *Service) direct(ctx context.Context, c command) (answer reply, err error) {
	if r := s.room(c.Meeting); r != nil {
		s.inRoom(ctx, r, c, &answer)
		return answer, nil
	}
	at := s.owners.peek(c.Meeting, time.Now())
	if at.node == s.deps.NodeID {
		return answer, roomGone()
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	answer, here, err := s.toHome(ctx, c, at)
	switch {
	case err != nil:
		return answer, &node.Error{Kind: node.Internal, Code: wire.CodeInternal, Say: "The meeting's home does not answer.", Err: err}
	case here:
		return answer, roomGone()
	}
	return answer, nil
}

// moderate is direct for a command that has no answer but success.
func (s *Service) moderate(ctx context.Context, c command) error {
	answer, err := s.direct(ctx, c)
	if err == nil && answer.Error != nil {
		err = answer.Error.asError()
	}
	return err
}

// Presence lists everybody in the meeting's room, also those who wait, longest there first, and says whether it is locked.
// Where nobody of the room is connected to this node, the room's home is asked.
func (s *Service) Presence(ctx context.Context, meetingID string) (all []Participant, locked bool, err error) {
	answer, err := s.direct(ctx, command{Op: opView, Meeting: meetingID})
	if err == nil && answer.Error != nil {
		err = answer.Error.asError()
	}
	switch {
	case err != nil && asError(err).Kind == node.NotFound:
		return nil, false, nil
	case err != nil || answer.View == nil: // a home that does not know the question yet
		return nil, false, err
	}
	return participants(answer.View.Entries), answer.View.Locked, nil
}

// everybody returns who is in the room, longest there first.
func (r *room) everybody() []entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.roster.everybody()
}
