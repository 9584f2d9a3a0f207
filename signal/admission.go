package signal

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
)

const (
	homeTimeout = time.Second                    // for the home to answer; then this node decides by the roster that it knows
	homeRetry   = 50 * time.Millisecond          // when the home is there, but too busy, or the nodes do not agree who it is
	homeHops    = 3                              // nodes asked without a pause until the home is found
	promiseFor  = handlerTimeout + 5*time.Second // for a roster to show somebody who was let in: a hello may take as long
)

// knocking is what a node asks the home of a room on behalf of one of its participants.
type knocking struct {
	Role     grant.Role      `json:"role,omitempty"`
	Trusted  bool            `json:"trusted,omitempty"`
	Version  uint64          `json:"version"`  // of the asking node's part of the roster
	Node     string          `json:"node"`     // that asks
	Settings *grant.Settings `json:"settings"` // as it knows them
	Lock     *lock           `json:"lock"`
}

// verdict is what the home says. Without a verdict it has not decided.
type verdict struct {
	Wait    string      `json:"wait,omitempty"`  // why somebody has to wait in the lobby
	Fresh   bool        `json:"fresh,omitempty"` // the camera place is a new one
	Refused *replyError `json:"refused,omitempty"`
}

// knock asks for a seat for the session's member. Hold is true when it has to wait in the lobby, which it was told.
func (s *session) knock(ctx context.Context, name string) (hold bool, err error) {
	if sits, err := s.room.name(s.member, name); sits || err != nil {
		if sits {
			s.room.mu.Lock()
			defer s.room.mu.Unlock()
			s.member.entry.Since = s.room.newSinceLocked(s.member)
		}
		return false, err
	}
	reason, err := s.svc.askSeat(ctx, s.room, s.member, s.trusted)
	if err != nil {
		return false, err
	}
	return s.room.knocked(s.member, reason)
}

// mayResume says whether a snapshot may go to the member without a hello: it sits here, or its resume token says that it
// sat somewhere.
func (s *session) mayResume(ctx context.Context) (bool, error) {
	s.room.mu.Lock()
	stage, name := s.member.stage, s.member.claims.DisplayName
	s.room.mu.Unlock()
	if stage == seated || !s.trusted {
		return stage == seated, nil
	}
	hold, err := s.knock(ctx, name)
	return !hold, err
}

// letIn says whether a member whose hello is held is in now: a host has let it in, or nothing holds it any longer.
func (s *session) letIn(ctx context.Context) bool {
	r, m := s.room, s.member
	if _, err := r.waits(m.id); err != nil {
		return true
	}
	reason, err := s.svc.askSeat(ctx, r, m, s.trusted)
	if err != nil || reason != "" {
		return false
	}
	return r.admit(m) == nil
}

// askSeat asks the room's home for a seat for a member. It returns the reason to wait, or the empty string.
func (s *Service) askSeat(ctx context.Context, r *room, m *member, trusted bool) (wait string, err error) {
	r.mu.Lock()
	role := m.claims.Role
	r.mu.Unlock()
	v, asked := s.askHome(ctx, r, opKnock, m.id, role, trusted)
	switch {
	case !asked:
		return r.home.Knock(m.id, role, trusted, promise{})
	case v.Refused != nil:
		return "", v.Refused.asError()
	case v.Wait == "":
		r.home.Seat(m.id, s.deps.NodeID, 0)
	}
	return v.Wait, nil
}

// askCamera asks the room's home for a camera place for a member.
func (s *Service) askCamera(ctx context.Context, r *room, id string) (granted, fresh bool) {
	v, asked := s.askHome(ctx, r, opCamera, id, "", false)
	if !asked {
		return r.home.Camera(id, promise{})
	}
	if v.Refused != nil {
		return false, false
	}
	r.home.CameraOn(id, s.deps.NodeID, 0)
	return true, v.Fresh
}

// askHome asks the home of a room, which may be this node. It is false when this node has to decide by what it knows:
// because there is no other node, or because the home cannot be reached.
func (s *Service) askHome(ctx context.Context, r *room, op, id string, role grant.Role, trusted bool) (verdict, bool) {
	at := s.owners.locate(r.meeting, time.Now())
	if at.alone {
		return verdict{}, false
	}
	r.mu.Lock()
	settings, l := r.home.Meeting(), r.lock
	c := command{Op: op, Meeting: r.meeting, Participant: id, Knock: &knocking{
		Role: role, Trusted: trusted, Version: r.roster.self.Version, Node: s.deps.NodeID, Settings: &settings, Lock: &l,
	}}
	r.mu.Unlock()
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.homeTimeout)
	defer cancel()
	for ctx.Err() == nil {
		answer, here, err := s.toHome(ctx, c, at)
		switch {
		case here:
			if v, decided := s.decideHere(ctx, c); decided {
				s.metrics.admitted("home")
				return v, true
			}
			at = s.owners.locate(r.meeting, time.Now()) // it has just stepped down
			continue
		case err == nil && answer.Verdict != nil:
			s.metrics.knocks.UpdateSince(start)
			s.metrics.admitted("remote")
			return *answer.Verdict, true
		}
		s.log.Warn("a room's home does not answer: this node decides by the roster that it knows", "meeting_id", r.meeting, "error", err)
		break
	}
	s.metrics.admitted("fallback")
	return verdict{}, false
}

// toHome sends a command to the home of its room, wherever that is. Here is true when it is this node. While the nodes do
// not agree it asks again, until ctx ends.
func (s *Service) toHome(ctx context.Context, c command, at whereabouts) (answer reply, here bool, err error) {
	c.ToHome = true
	for hop := 0; ; hop++ {
		if hop >= homeHops || errors.Is(err, bus.ErrRemote) {
			select {
			case <-time.After(homeRetry):
			case <-ctx.Done():
				return reply{}, false, errors.Join(errNoHome, err)
			}
		}
		switch at.node {
		case s.deps.NodeID:
			return reply{}, true, nil
		case "":
			return reply{}, false, errNoHome
		}
		answer, err = s.fabric.ask(ctx, at.node, c)
		switch {
		case errors.Is(err, bus.ErrRemote): // it is too busy
			continue
		case err != nil || answer.Home == "":
			return answer, false, err
		}
		if at = (whereabouts{node: answer.Home, decided: answer.Decided}); at.decided {
			s.owners.learn(c.Meeting, at.node, time.Now())
		}
		c.Appointed = at.decided
	}
}

// errNoHome says that the nodes do not agree yet on who is a room's home.
var errNoHome = errors.New("signal: no home found")

// atHome answers what the home of a room is asked, or says who is to be asked.
func (s *Service) atHome(ctx context.Context, c command) reply {
	if !isName(c.Meeting) {
		return reply{}
	}
	at := s.owners.accept(c.Meeting, c.Appointed, time.Now())
	switch {
	case at.node != s.deps.NodeID:
		return reply{Home: at.node, Decided: at.decided}
	case c.Op == opHome:
		s.keep(c.Meeting, grant.Settings{})
		return reply{}
	case c.Knock == nil || c.Knock.Settings == nil:
		return reply{}
	}
	if v, decided := s.decideHere(ctx, c); decided {
		return reply{Verdict: &v}
	}
	at = s.owners.peek(c.Meeting, time.Now()) // it has just stepped down
	return reply{Home: at.node, Decided: at.decided}
}

// decideHere decides as the home, once it knows whom the others have. It is false when this node is the home no longer.
func (s *Service) decideHere(ctx context.Context, c command) (v verdict, ok bool) {
	r := s.keep(c.Meeting, *c.Knock.Settings)
	s.gather(ctx, r)
	now := time.Now()
	return r.decide(c, now, func() bool {
		at := s.owners.peek(c.Meeting, now)
		return at.decided && at.node == s.deps.NodeID
	})
}

// decide gives a participant of any node a place, or refuses it. It is false when this node is the home no longer, which
// mine says; whoever takes over asks for the promises, under the same lock, after that.
func (r *room) decide(c command, now time.Time, mine func() bool) (v verdict, ok bool) {
	k := c.Knock
	p := promise{node: k.Node, version: k.Version, until: now.Add(promiseFor)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.kept || r.closed || !mine() {
		return v, false
	}
	r.idle = time.Time{}
	r.adoptLocked(k.Lock, k.Settings)
	if c.Op == opCamera {
		granted, fresh := r.home.Camera(c.Participant, p)
		if v.Fresh = fresh; !granted {
			v.Refused = &replyError{Kind: node.Full}
		}
		return v, true
	}
	wait, err := r.home.Knock(c.Participant, k.Role, k.Trusted, p)
	if v.Wait = wait; err != nil {
		e := asError(err)
		v.Refused = &replyError{e.Kind, e.Code, e.Say}
	}
	return v, true
}

// releaseLocked tells the home that a place that it promised a member is free again: nothing came of it.
func (r *room) releaseLocked(m *member, camera bool) {
	r.home.Release(m.id, r.roster.self.Node, camera)
	if r.release != nil {
		r.release(r.meeting, m.id, camera)
	}
}

// release tells the home of a room that a promise is void. It never blocks; if it is lost the promise lapses.
func (s *Service) release(meetingID, id string, camera bool) {
	at := s.owners.peek(meetingID, time.Now())
	if at.alone || !at.decided || at.node == s.deps.NodeID {
		return
	}
	s.fabric.send(at.node, command{
		Op: opRelease, Meeting: meetingID, Participant: id, Camera: camera, Knock: &knocking{Node: s.deps.NodeID},
	})
}

// promisedLocked says who was given a place that no roster shows yet, for a new home: members of this node, and those of
// others to whom this node has promised one while it was the home.
func (r *room) promisedLocked(answer *reply) {
	answer.Seats, answer.Cameras = r.home.promised()
	for id, m := range r.members {
		own := promised{ID: id, Node: r.roster.self.Node, Version: r.roster.self.Version}
		if m.stage == admitted {
			answer.Seats = append(answer.Seats, own)
		}
		if r.home.HasCamera(id) && !hasCamera(&m.entry) {
			answer.Cameras = append(answer.Cameras, own)
		}
	}
}

// promiseLocked gives people the places that an earlier home has promised them.
func (r *room) promiseLocked(answer reply) {
	until := time.Now().Add(promiseFor)
	for _, p := range answer.Seats {
		_, _ = r.home.Knock(p.ID, grant.Host, true, promise{p.Node, p.Version, until}) // full: it is in all the same, and will be shown
	}
	for _, p := range answer.Cameras {
		r.home.Camera(p.ID, promise{p.Node, p.Version, until})
	}
}

// cede steps down as a room's home when a newer one says so itself, which may be before the watch does: what it is told
// then of promises is all that there are.
func (s *Service) cede(c command) {
	if c.Lease == nil || c.Lease.Node == s.deps.NodeID {
		return
	}
	if known, _ := s.owners.lease(c.Meeting); known.epoch >= c.Epoch {
		return
	}
	value, err := json.Marshal(c.Lease)
	if err != nil {
		return
	}
	s.owners.hear(bus.Entry{Key: c.Meeting, Value: value, Revision: c.Epoch}, false, time.Now())
	if r := s.room(c.Meeting); r != nil {
		r.mu.Lock()
		r.keeping = keeping{}
		r.mu.Unlock() // it is swept when the watch tells of the lease, after it has answered
	}
}
