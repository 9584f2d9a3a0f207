package signal

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/wire"
)

// migration is the pace at which a draining node moves its participants.
type migration struct {
	moveEvery time.Duration // between two of them, so that they do not arrive elsewhere all at once
	lookEvery time.Duration // for newcomers, and for those who are due again
	askAgain  time.Duration // who has not moved
	overlap   time.Duration // that the old path stays after the new one has been seen
}

func defaultMigration() migration {
	return migration{moveEvery: 20 * time.Millisecond, lookEvery: time.Second, askAgain: 10 * time.Second, overlap: 10 * time.Second}
}

// migrateProtocol is what a node must speak so that participants can be moved to it: it knows the seat in a join token. On
// an older one they would have to knock like strangers. See placement.Protocol.
const migrateProtocol = 1

// move is what became of the wish that a session's participant go to another node. The room's lock guards it.
type move struct {
	asked   time.Time   // last
	times   int         // how often
	overlap *time.Timer // runs out when the old path must go; nil before the new one has been seen
}

// migrate moves everybody away whenever this node drains, and whenever another does whoever has media there, until ctx ends.
func (s *Service) migrate(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	stop := s.deps.Cluster.Watch(func(_, _ []string) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer stop()
	var since time.Time // that this node drains; zero: it does not
	for {
		draining := s.draining()
		var look <-chan time.Time
		switch here := draining[s.deps.NodeID]; {
		case here && since.IsZero():
			since = time.Now()
			s.log.Info("the node drains: its participants are moved", "participants", s.seated())
		case !here && !since.IsZero():
			since = time.Time{}
			s.log.Info("the node no longer drains: who is here stays", "participants", s.seated())
		}
		if len(draining) > 0 {
			s.moveAll(ctx, draining)
			look = time.After(s.cfg.migration.lookEvery)
		}
		if !since.IsZero() {
			s.cutOff(since)
		}
		select {
		case <-changed:
		case <-look:
		case <-ctx.Done():
			return nil
		}
	}
}

// draining returns the ids of the nodes that drain.
func (s *Service) draining() map[string]bool {
	ids := map[string]bool{}
	for _, n := range s.deps.Cluster.Nodes() {
		if n.Draining {
			ids[n.ID] = true
		}
	}
	return ids
}

// self is this node as the cluster knows it.
func (s *Service) self() placement.Node {
	nodes := s.deps.Cluster.Nodes()
	if i := slices.IndexFunc(nodes, func(n placement.Node) bool { return n.ID == s.deps.NodeID }); i >= 0 {
		return nodes[i]
	}
	return placement.Node{}
}

// moveAll asks all who are due to move, one after the other, for as long as the same nodes drain.
func (s *Service) moveAll(ctx context.Context, draining map[string]bool) {
	pace := time.NewTicker(s.cfg.migration.moveEvery)
	defer pace.Stop()
	for _, session := range s.due(draining) {
		if !maps.Equal(draining, s.draining()) || !s.ask(ctx, session, s.self()) {
			return
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return
		}
	}
}

// due returns the sessions whose participants are to be asked now: their socket or their media is on a draining node.
func (s *Service) due(draining map[string]bool) []*session {
	before := time.Now().Add(-s.cfg.migration.askAgain)
	var due []*session
	for _, r := range s.allRooms() {
		r.mu.Lock()
		for _, m := range r.members {
			leaves := draining[s.deps.NodeID] || m.peer != nil && draining[m.place]
			if leaves && m.movable() && m.session.move.overlap == nil && m.session.move.asked.Before(before) {
				due = append(due, m.session)
			}
		}
		r.mu.Unlock()
	}
	return due
}

// movable says whether the member can be told to move: it sits or waits, and its socket is there.
func (m *member) movable() bool {
	return m.session != nil && (m.stage == waiting || m.stage == seated && m.synced && m.session.live)
}

// ask asks one participant to move. It is false when there is no node to move to.
func (s *Service) ask(ctx context.Context, session *session, self placement.Node) (possible bool) {
	r := session.room
	targets := s.targets(ctx, self, r.meeting)
	if len(targets) == 0 {
		return false
	}
	claims, ok := r.moveClaims(session, targets)
	if !ok {
		return true // it is gone
	}
	to := claims.Nodes[0]
	token, _, err := s.deps.Keys.IssueJoin(claims)
	if err != nil {
		session.log.Error("a participant cannot be moved", "error", err)
		return true
	}
	var servers []wire.ICEServer
	if s.deps.ICEServers != nil {
		servers = s.deps.ICEServers(claims.ParticipantID, claims.Nodes)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := session.member; m.session == session && m.movable() {
		session.move.asked = time.Now()
		session.move.times++
		session.socket.send(outbound{wire.Envelope{Type: wire.TypeMigrate}, wire.Migrate{
			SignalEndpoint: to.SignalEndpoint, SFUEndpoint: to.SFUEndpoint, JoinToken: token, ICEServers: servers,
		}})
	}
	return true
}

// targets are the nodes that somebody of a room can be moved to, chosen as for a join, best first.
func (s *Service) targets(ctx context.Context, self placement.Node, meeting string) []grant.Candidate {
	nodes, err := s.deps.Locator.Candidates(ctx, placement.Hint{Region: self.Region, Room: meeting})
	if err != nil {
		s.log.Warn("there is no node to move participants to", "error", err)
		return nil
	}
	var targets []grant.Candidate
	for _, n := range nodes {
		if n.ID == self.ID || n.Draining || n.Protocol < migrateProtocol || n.SignalEndpoint == self.SignalEndpoint {
			continue
		}
		targets = append(targets, grant.Candidate{
			Node: n.ID, Region: n.Region, SFUEndpoint: n.SFUEndpoint, SignalEndpoint: n.SignalEndpoint,
		})
	}
	return targets
}

// moveClaims are what the join token of a move says: who the participant is, where it goes, and what it has here. Who still
// waits for a seat will wait there. Who could not reach one node is sent to the next one the next time.
func (r *room) moveClaims(s *session, targets []grant.Candidate) (claims grant.Claims, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := s.member
	if m.session != s || !m.movable() {
		return claims, false
	}
	first := s.move.times % len(targets)
	claims = m.claims
	claims.Nodes = slices.Concat(targets[first:], targets[:first])
	claims.DisplayName, claims.Region, claims.Settings = m.entry.DisplayName, claims.Nodes[0].Region, r.home.Meeting()
	claims.Tracks, claims.Seat = grantTracks(m.entry.Tracks), nil
	if m.stage == seated {
		claims.Seat = seatOf(&m.entry)
	}
	return claims, true
}

// cutOff closes the sockets of those who should have moved long ago. They resume through their candidates.
func (s *Service) cutOff(since time.Time) {
	latest := time.Now().Add(-s.cfg.DrainDeadline)
	if latest.Before(since) {
		return
	}
	for _, r := range s.allRooms() {
		r.mu.Lock()
		for _, m := range r.members {
			if m.session == nil || m.session.began.After(latest) {
				continue // whoever comes to a draining node is as welcome as before, and has as long
			}
			if m.session.socket.end(wire.CloseGoingAway, "the node drains") && m.session.move.overlap == nil {
				s.metrics.migrations.cut.Inc()
			}
		}
		r.mu.Unlock()
	}
}

// overlapsLocked says whether a member who has a newer session on another node may go on here for a while: it was asked to
// move, and loses nothing while both paths are up. The client ends it, or time does.
func (r *room) overlapsLocked(m *member) bool {
	s := m.session
	if s == nil || s.move.asked.IsZero() {
		return false
	}
	if s.move.overlap == nil {
		s.svc.metrics.migrations.moved.Inc()
		s.move.overlap = time.AfterFunc(r.cfg.migration.overlap, func() { r.endOverlap(s) })
	}
	return true
}

// endOverlap ends the old session of somebody who has moved, unless it has come back meanwhile. The close code lets a client
// resume that does not know where it is.
func (r *room) endOverlap(s *session) {
	r.mu.Lock()
	m := s.member
	s.move.overlap = nil
	var peer Peer
	if m.session == s && r.elsewhereLocked(m.id) {
		s.socket.end(wire.CloseGoingAway, "connected to another node")
		peer = r.leaveLocked(m)
	}
	r.mu.Unlock()
	if peer != nil {
		peer.Close()
	}
	s.svc.sweep(r)
}

// elsewhereLocked says whether a participant's newest session is on another node.
func (r *room) elsewhereLocked(id string) bool {
	owner, known := r.roster.ownerOf(id)
	return known && owner != r.roster.self.Node
}

// inheritLocked gives a newcomer the presence that it has in the room already: as the roster has it, else as its token says.
func (r *room) inheritLocked(m *member) {
	if e, known := r.roster.view[m.id]; known && e.seated() {
		m.entry.AudioMuted, m.entry.VideoMuted = e.AudioMuted, e.VideoMuted
		m.entry.HandRaised, m.entry.ScreenSharing = e.HandRaised, e.ScreenSharing
	} else if seat := m.claims.Seat; seat != nil {
		m.entry.AudioMuted, m.entry.VideoMuted = seat.AudioMuted, seat.VideoMuted
		m.entry.HandRaised, m.entry.ScreenSharing = seat.HandRaised, seat.ScreenSharing
	}
}

// joinedAtLocked is when a newcomer came to the room, on whichever node.
func (r *room) joinedAtLocked(m *member) time.Time {
	if e, known := r.roster.view[m.id]; known && e.seated() {
		return e.JoinedAt
	}
	if m.claims.Seat != nil {
		return time.UnixMilli(m.claims.Seat.JoinedAt).UTC()
	}
	return time.Now().UTC()
}

func seatOf(e *entry) *grant.Seat {
	return &grant.Seat{
		JoinedAt: e.JoinedAt.UnixMilli(), AudioMuted: e.AudioMuted, VideoMuted: e.VideoMuted,
		HandRaised: e.HandRaised, ScreenSharing: e.ScreenSharing,
	}
}

// grantTracks is what a token says of tracks; of very many, the first.
func grantTracks(tracks []wire.Track) []grant.Track {
	var short []grant.Track
	for _, t := range tracks[:min(len(tracks), grant.MaxTracks)] {
		short = append(short, grant.Track{ID: t.ID, Source: t.Source})
	}
	return short
}

// former returns what a newcomer has published elsewhere: it goes on under the same ids.
func (r *room) former(m *member) []node.Track {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.hereLocked(m.id) {
		return r.formerLocked(m)
	}
	tracks := m.former
	m.former = nil
	if len(tracks) == 0 { // the media that it had was lost
		for _, t := range r.roster.view[m.id].Tracks {
			tracks = append(tracks, nodeTrack(t))
		}
	}
	return tracks
}

// formerLocked is what a newcomer has published elsewhere. The roster knows best; a node that has opened the room just now
// goes by the newcomer's token.
func (r *room) formerLocked(m *member) []node.Track {
	var tracks []node.Track
	for _, t := range r.roster.view[m.id].Tracks {
		tracks = append(tracks, nodeTrack(t))
	}
	for _, t := range m.claims.Tracks {
		source := node.Source(t.Source)
		known := slices.ContainsFunc(tracks, func(k node.Track) bool { return k.ID == t.ID })
		if !known && source.Kind() != "" {
			tracks = append(tracks, node.Track{ID: t.ID, ParticipantID: m.id, Kind: source.Kind(), Source: source})
		}
	}
	return tracks
}

// hereLocked says whether a participant's newest session is on this node.
func (r *room) hereLocked(id string) bool {
	owner, known := r.roster.ownerOf(id)
	return known && owner == r.roster.self.Node
}
