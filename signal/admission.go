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
	Camera   bool            `json:"camera,omitempty"` // a place for a camera is wanted with the seat

	Lots *[]uint64 `json:"lots,omitempty"` // that the node has. nil: it does not know lots
	Used *spent    `json:"used,omitempty"` // the participant is in already: this is what its places were taken of
}

// verdict is what the home says. Without a verdict it has not decided.
type verdict struct {
	Wait    string      `json:"wait,omitempty"`  // why somebody has to wait in the lobby
	Fresh   bool        `json:"fresh,omitempty"` // the camera place is a new one
	Refused *replyError `json:"refused,omitempty"`
	Camera  *bool       `json:"camera,omitempty"` // whether there is a camera place, of a knock that asked for one. nil: nobody decided

	Allowance *allowance `json:"allowance,omitempty"` // for further participants
}

// cameraPlace is what the home said of a member's camera ahead of the offer that starts it.
type cameraPlace struct{ granted, fresh bool }

// knock asks for a seat for the session's member, and for a camera place where it will have a camera at once. Hold is true
// when it has to wait in the lobby, which it was told.
func (s *session) knock(ctx context.Context, name string, camera bool) (hold bool, err error) {
	if sits, err := s.room.name(s.member, name, camera); sits || err != nil {
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
	hold, err := s.knock(ctx, name, false)
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

// askSeat asks the room's home for a seat for a member, and for a camera place if it wants one. It returns the reason to wait,
// or the empty string. What the home has handed this node in advance is used without asking.
func (s *Service) askSeat(ctx context.Context, r *room, m *member, trusted bool) (wait string, err error) {
	if s.spendSeat(r, m) {
		s.metrics.admitted("allowance")
		return "", nil
	}
	r.mu.Lock()
	k := knocking{Role: m.claims.Role, Trusted: trusted, Camera: m.wantsCamera && m.claims.Role != grant.Viewer}
	r.mu.Unlock()
	v, asked := s.askHome(ctx, r, opKnock, m.id, k)
	if !asked {
		v = r.home.decide(m.id, &k, promise{})
	}
	switch {
	case v.Refused != nil:
		return "", v.Refused.asError()
	case v.Wait != "":
		return v.Wait, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.home.Seat(m.id, s.deps.NodeID, 0)
	if v.Camera != nil {
		earlier := m.camera != nil && m.camera.fresh // somebody has asked for it twice
		m.camera = &cameraPlace{*v.Camera, v.Fresh || earlier}
		if *v.Camera {
			r.home.CameraOn(m.id, s.deps.NodeID, 0)
		}
	}
	return "", nil
}

// askCamera asks the room's home for a camera place for a member.
func (s *Service) askCamera(ctx context.Context, r *room, m *member) (granted, fresh bool) {
	if granted, fresh = s.spendCamera(r, m); granted {
		s.metrics.admitted("allowance")
		return granted, fresh
	}
	v, asked := s.askHome(ctx, r, opCamera, m.id, knocking{})
	if !asked {
		return r.home.Camera(m.id, promise{})
	}
	if v.Refused != nil {
		return false, false
	}
	r.home.CameraOn(m.id, s.deps.NodeID, 0)
	return true, v.Fresh
}

// askHome asks the home of a room, which may be this node. It is false when this node has to decide by what it knows:
// because there is no other node, or because the home cannot be reached.
func (s *Service) askHome(ctx context.Context, r *room, op, id string, k knocking) (verdict, bool) {
	r.mu.Lock()
	settings, l := r.home.Meeting(), r.lock
	k.Version, k.Settings, k.Lock = r.roster.self.Version, &settings, &l
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.homeTimeout)
	defer cancel()
	v, by, err := s.question(ctx, command{Op: op, Meeting: r.meeting, Participant: id, Knock: &k})
	switch {
	case by != "":
		s.metrics.admitted(by)
	case err != nil:
		s.log.Warn("a room's home does not answer: this node decides by the roster that it knows", "meeting_id", r.meeting, "error", err)
		s.metrics.admitted("fallback")
	}
	return v, by != ""
}

// question puts a question to the home of a room until ctx ends, and puts away what the home hands out with its verdict. By
// says who has decided, "home" for this node and "remote" for another; it is empty when nobody has: without an error because
// there is no other node.
func (s *Service) question(ctx context.Context, c command) (v verdict, by string, err error) {
	at := s.owners.locate(c.Meeting, time.Now())
	if at.alone {
		return v, "", nil
	}
	for ctx.Err() == nil {
		start := time.Now()
		lots := s.purses.ask(c.Meeting, start)
		c.Knock.Node, c.Knock.Lots = s.deps.NodeID, &lots
		answer, here, err := s.toHome(ctx, c, at)
		switch {
		case here:
			if v, decided := s.decideHere(ctx, c); decided {
				return v, "home", nil
			}
			at = s.owners.locate(c.Meeting, time.Now()) // it has just stepped down
			continue
		case err != nil || answer.Verdict == nil:
			return v, "", errors.Join(errNoHome, err)
		}
		if a := answer.Verdict.Allowance; a != nil {
			s.purses.put(c.Meeting, s.owners.electorate().process(a.Home), *a, start, time.Now())
		}
		s.metrics.knocks.UpdateSince(start)
		return *answer.Verdict, "remote", nil
	}
	return v, "", ctx.Err()
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
	mine := func() bool {
		at := s.owners.peek(c.Meeting, time.Now())
		return at.decided && at.node == s.deps.NodeID
	}
	v, ok = r.decide(c, time.Now(), mine)
	for own := false; ok && !own && v.short(c.Op, r.home.lent()); { // another's recall may have begun too early
		own = s.recall(ctx, r)
		v, ok = r.decide(c, time.Now(), mine)
	}
	return v, ok
}

// short says that there was no place for somebody who asked, while nodes have such places in lots.
func (v verdict) short(op string, lent places) bool {
	seat := op == opKnock && v.Refused != nil
	camera := op == opCamera && v.Refused != nil || v.Camera != nil && !*v.Camera
	return seat && lent.seats > 0 || camera && lent.cameras > 0
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
	switch {
	case c.Op == opAllow:
	case k.Used != nil:
		r.usedLocked(c.Participant, k, p)
	case c.Op == opCamera:
		granted, fresh := r.home.Camera(c.Participant, p)
		if v.Fresh = fresh; !granted {
			v.Refused = &replyError{Kind: node.Full}
		}
	default:
		v = r.home.decide(c.Participant, k, p)
	}
	if k.Lots != nil && k.Node != r.roster.self.Node && v.Refused == nil {
		a := r.home.lend(k.Node, *k.Lots, now)
		a.Home = r.roster.self.Node
		v.Allowance = &a
	}
	return v, true
}

// decide answers a knock: a seat, and a camera place if that is wanted too.
func (h *Home) decide(id string, k *knocking, p promise) (v verdict) {
	var err error
	v.Wait, err = h.Knock(id, k.Role, k.Trusted, p)
	switch {
	case err != nil:
		e := asError(err)
		v.Refused = &replyError{e.Kind, e.Code, e.Say}
	case k.Camera && v.Wait == "":
		granted, fresh := h.Camera(id, p)
		v.Camera, v.Fresh = &granted, fresh
	}
	return v
}

// usedLocked notes whom a node has given places of its lots to.
func (r *room) usedLocked(id string, k *knocking, p promise) {
	var shown entry
	if part := r.roster.parts[k.Node]; part != nil && part.Version > k.Version {
		shown = part.Entries[id] // the roster was faster: it needs no promise
	}
	if k.Used.Seat != 0 && shown.ID == "" {
		r.home.LetIn(id, p)
	}
	if k.Used.Camera != 0 && !hasCamera(&shown) {
		r.home.CameraLetIn(id, p)
	}
	r.home.Used(k.Node, k.Used.Seat, k.Used.Camera)
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
		r.home.LetIn(p.ID, promise{p.Node, p.Version, until})
	}
	for _, p := range answer.Cameras {
		r.home.CameraLetIn(p.ID, promise{p.Node, p.Version, until})
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
