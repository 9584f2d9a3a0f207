package signal

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
)

// recalling calls lots back: the node that asks is the room's home, and what it knows of is up to a number.
type recalling struct {
	Node string `json:"node"`
	UpTo uint64 `json:"up_to"`
}

// spendSeat gives a newcomer a seat, and a camera place if it wants one, out of what the home has handed this node, and tells
// the home. Whoever might have to wait in the lobby is not let in by it: lock and waiting room hold as soon as this node has
// heard of them.
func (s *Service) spendSeat(r *room, m *member) bool {
	home, far := s.farHome(r.meeting)
	if !far {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	camera := m.wantsCamera && m.claims.Role != grant.Viewer
	full := camera && r.home.camerasFull(m.id)
	camera = camera && !full
	if r.closed || m.stage != arriving {
		return false
	}
	used, ok := s.takeLocked(r, home, true, camera)
	if !ok {
		return false
	}
	m.stage = admitted // whoever calls the lots back from now on is told of it
	r.home.Seat(m.id, s.deps.NodeID, 0)
	if full {
		m.camera = &cameraPlace{}
	}
	if camera {
		m.camera = &cameraPlace{granted: true, fresh: !r.home.HasCamera(m.id)}
		r.home.CameraOn(m.id, s.deps.NodeID, 0)
	}
	s.report(r, m, opKnock, knocking{Role: m.claims.Role, Trusted: true, Camera: camera, Version: r.roster.self.Version, Used: &used})
	return true
}

// spendCamera gives a member a place for a camera in the same way.
func (s *Service) spendCamera(r *room, m *member) (granted, fresh bool) {
	home, far := s.farHome(r.meeting)
	if !far {
		return false, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || m.stage != admitted && m.stage != seated {
		return false, false
	}
	used, ok := s.takeLocked(r, home, false, true)
	if !ok {
		return false, false
	}
	fresh = !r.home.HasCamera(m.id)
	r.home.CameraOn(m.id, s.deps.NodeID, 0)
	s.report(r, m, opCamera, knocking{Version: r.roster.self.Version, Used: &used})
	return true, fresh
}

// farHome returns the room's home, if it is known and another node.
func (s *Service) farHome(meeting string) (home process, far bool) {
	at := s.owners.peek(meeting, time.Now())
	if at.alone || !at.decided || at.node == s.deps.NodeID {
		return home, false
	}
	return s.owners.electorate().process(at.node), true
}

func (s *Service) takeLocked(r *room, home process, seat, camera bool) (spent, bool) {
	revision := r.home.Meeting().Revision
	if !r.home.open(revision) {
		return spent{}, false
	}
	return s.purses.take(r.meeting, home, revision, seat, camera, time.Now())
}

// report tells the home whom places were used for, and gets others for them. Nobody waits for it.
func (s *Service) report(r *room, m *member, op string, k knocking) {
	settings, l := r.home.Meeting(), r.lock
	k.Settings, k.Lock = &settings, &l
	s.asides.start(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, s.cfg.homeTimeout)
		defer cancel()
		if _, by, err := s.question(ctx, command{Op: op, Meeting: r.meeting, Participant: m.id, Knock: &k}); by == "" {
			s.log.Debug("the home was not told of a place that was used", "meeting_id", r.meeting, "error", err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		switch { // what was given back meanwhile was perhaps given back too early
		case m.stage == gone:
			r.releaseLocked(m, false)
		case k.Used.Camera != 0 && !r.home.HasCamera(m.id):
			r.releaseLocked(m, true)
		}
	})
}

// Expect says that somebody with a join token for the meeting was sent to a node's socket, which may be this node's. That node
// gets places from the meeting's home meanwhile, so that whoever comes need not wait for them. Expect never blocks, and
// nothing depends on it.
func (s *Service) Expect(meetingID string, settings grant.Settings, signalEndpoint string) {
	nodes := s.owners.electorate()
	i := slices.IndexFunc(nodes, func(n placement.Node) bool { return n.SignalEndpoint == signalEndpoint })
	switch {
	case i < 0 || !isName(meetingID) || nodes.alone(s.deps.NodeID):
	case nodes[i].ID == s.deps.NodeID:
		s.askAhead(meetingID, settings)
	default:
		s.fabric.send(nodes[i].ID, command{Op: opExpect, Meeting: meetingID, Knock: &knocking{Node: s.deps.NodeID, Settings: &settings}})
	}
}

// askAhead asks the home of a room for places for those who will come. It never blocks.
func (s *Service) askAhead(meetingID string, settings grant.Settings) {
	now := time.Now()
	if s.owners.peek(meetingID, now).alone || !s.deps.Bus.Connected() || !s.purses.begin(meetingID, now) {
		return
	}
	started := s.asides.start(func(ctx context.Context) {
		defer s.purses.end(meetingID)
		ctx, cancel := context.WithTimeout(ctx, purseTimeout)
		defer cancel()
		if _, _, err := s.question(ctx, command{Op: opAllow, Meeting: meetingID, Knock: &knocking{Settings: &settings, Lock: &lock{}}}); err != nil {
			s.log.Debug("no places were handed out ahead", "meeting_id", meetingID, "error", err)
		}
	})
	if !started {
		s.purses.end(meetingID)
	}
}

// renew asks ahead for the rooms in which somebody is, so that the places that this node has do not lapse.
func (s *Service) renew(now time.Time) {
	s.purses.tidy(now)
	for _, r := range s.allRooms() {
		r.mu.Lock()
		empty, settings := len(r.members) == 0, r.home.Meeting()
		r.mu.Unlock()
		if _, far := s.farHome(r.meeting); far && !empty && r.home.open(settings.Revision) {
			s.askAhead(r.meeting, settings)
		}
	}
}

// recall calls in the lots that are out of a room whose home this node is: nothing else is left, or they must not be used any
// more. It waits for a short time only: the lots of a node that does not answer count until they are over. Several who want it
// at the same time share one, which is the own of the first.
func (s *Service) recall(ctx context.Context, r *room) (own bool) {
	r.mu.Lock()
	done, first := r.recalled, r.recalled == nil
	if first {
		done = make(chan struct{})
		r.recalled = done
	}
	r.mu.Unlock()
	if !first {
		select {
		case <-done:
		case <-ctx.Done():
		}
		return false
	}
	defer func() {
		r.mu.Lock()
		r.recalled = nil
		r.mu.Unlock()
		close(done)
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.homeTimeout*recallShare/10) // others wait for it too
	defer cancel()
	now := time.Now()
	upTo, nodes := r.home.Mark(now), map[string]bool{}
	for _, l := range r.home.lentOut(now) {
		nodes[l.Node] = true
	}
	var wg sync.WaitGroup
	for id := range nodes {
		wg.Go(func() {
			answer, err := s.fabric.ask(ctx, id, command{Op: opRoster, Meeting: r.meeting, Recall: &recalling{s.deps.NodeID, upTo}})
			if err != nil {
				return
			}
			closeAll(r.gatheredFrom(id, answer)) // first whom they were used for
			r.home.Returned(id, upTo)
		})
	}
	wg.Wait()
	return true
}

// callIn is recall that nobody waits for.
func (s *Service) callIn(r *room) {
	s.asides.start(func(ctx context.Context) {
		for own := false; !own && ctx.Err() == nil && r.home.lent() != (places{}); { // another's may have begun too early
			own = s.recall(ctx, r)
		}
	})
}

// surrender gives back the lots that a home calls for, and says whom they were used for.
func (s *Service) surrender(c command) reply {
	now := time.Now()
	back := s.purses.void(c.Meeting, s.owners.electorate().process(c.Recall.Node), c.Recall.UpTo, now)
	r := s.room(c.Meeting) // after that: whoever used one has opened it before
	if r == nil {
		return reply{Back: back}
	}
	answer := r.state()
	answer.Back, answer.Lots = back, r.home.lentOut(now)
	return answer
}

// giveBack gives back the lots of a room that this node has closed. If the word is lost they lapse.
func (s *Service) giveBack(meetingID string) {
	home, named := s.purses.back(meetingID)
	if len(named) > 0 {
		s.fabric.send(home.node, command{Op: opRelease, Meeting: meetingID, Knock: &knocking{Node: s.deps.NodeID, Lots: &named}})
	}
}

// lent counts the places in the lots of rooms whose home this node is.
func (s *Service) lent() (all places) {
	for _, r := range s.allRooms() {
		r.mu.Lock()
		kept := r.kept
		r.mu.Unlock()
		if kept {
			n := r.home.lent()
			all.seats, all.cameras = all.seats+n.seats, all.cameras+n.cameras
		}
	}
	return all
}
