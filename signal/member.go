package signal

import (
	"slices"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/sfu"
	"github.com/parley-sfu/parley/signal/wire"
)

// stage is how far a member has come.
type stage int

const (
	arriving stage = iota // connected, has not said hello
	waiting               // in the lobby
	admitted              // has a seat, but the room does not know yet
	seated                // in the room
	gone                  // out of the room; the member is dead
)

// member is a participant of this node: from its first socket until it leaves, over any number of sockets. All fields
// but id are guarded by the room's lock.
type member struct {
	id     string
	claims grant.Claims
	stage  stage
	entry  entry // as the roster has it, once waiting or seated
	grace  *time.Timer

	wantsCamera bool         // its hello says that it comes with one
	camera      *cameraPlace // what was said to that, for its first offer; nil: nothing

	session *session // that serves it now; nil while its socket is lost
	events  *eventLog
	synced  bool   // has had a snapshot: gets the room's events
	upTo    uint64 // of the news, what its last snapshot contained

	peer   Peer   // nil without media
	place  string // the node whose SFU has the peer
	failed string // the node that lost the last peer
	bereft bool   // the last peer was lost, and the client has not said hello since
	media  int    // counts peers: what an older one still tells is not listened to
	slots  []wire.Slot
	wanted map[string]wire.Layers // what is wanted of its tracks
	former []node.Track           // what it published on another node, for when it has media here
}

func (m *member) host() bool { return m.claims.Role == grant.Host }

// emitLocked numbers an event, keeps it for resuming and sends it.
func (m *member) emitLocked(e event) { m.sendLocked(m.events.add(e), e) }

// sendLocked sends a numbered event, unless the session has yet to say from where on it resumes: then it comes with the
// rest.
func (m *member) sendLocked(seq uint64, e event) {
	if m.session != nil && m.session.live {
		m.session.socket.send(outbound{wire.Envelope{Type: e.typ, Seq: seq}, e.body})
	}
}

// attach gives the session its member: the one that is known by that id, whose older session is replaced, or a new one.
// It is false when the room has closed. The older session is returned; wait for it before serving.
func (r *room) attach(s *session, claims grant.Claims) (m *member, older *session, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, nil, false
	}
	m = r.members[claims.ParticipantID]
	if m == nil {
		m = &member{id: claims.ParticipantID, events: newEventLog(r.cfg.KeptEvents)}
		r.members[m.id] = m
	}
	older, m.session, m.claims = m.session, s, claims
	s.live = !s.resumed
	if older != nil {
		older.socket.end(wire.CloseReplaced, "a newer connection took over")
		older.quit()
	}
	if m.grace != nil {
		m.grace.Stop()
		m.grace = nil
	}
	if !s.resumed {
		m.events, m.synced = newEventLog(r.cfg.KeptEvents), false
	}
	if m.stage == seated {
		m.entry.State, m.entry.Since = Joined, r.newSinceLocked(m)
		r.putLocked(m)
	}
	return m, older, true
}

// newSinceLocked is a time after every session of the participant that is known, and after the one that gave it its resume
// token, also where that node's clock is ahead and its part of the roster not here yet.
func (r *room) newSinceLocked(m *member) int64 {
	since := time.Now().UnixNano()
	if m.session != nil && m.session.trusted {
		since = max(since, m.claims.IssuedAt.Add(time.Second).UnixNano()) // tokens have whole seconds
	}
	if e, known := r.roster.view[m.id]; known {
		since = max(since, e.Since+1)
	}
	return since
}

// detach ends the session's hold on its member. When the participant may come back its place is kept for the grace
// period; else it has left. The peer to close is returned, if any.
func (r *room) detach(s *session, mayReturn bool) Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := s.member
	if m.session != s {
		return nil // replaced, or removed
	}
	m.session = nil
	if !mayReturn || m.stage != seated || r.elsewhereLocked(m.id) {
		return r.leaveLocked(m)
	}
	m.entry.State = Reconnecting
	r.putLocked(m)
	sweep := s.svc.sweep
	m.grace = time.AfterFunc(r.cfg.Grace, func() { r.giveUp(m, sweep) })
	return nil
}

// giveUp ends a member whose grace is over.
func (r *room) giveUp(m *member, sweep func(*room)) {
	r.mu.Lock()
	var peer Peer
	if m.session == nil && m.grace != nil {
		peer = r.leaveLocked(m)
	}
	r.mu.Unlock()
	if peer != nil {
		peer.Close()
	}
	sweep(r)
}

// leaveLocked takes a member out of the room, and returns its peer for the caller to close without the lock.
func (r *room) leaveLocked(m *member) Peer {
	if m.stage == gone {
		return nil
	}
	if m.stage == admitted {
		r.releaseLocked(m, false)
	}
	m.stage = gone
	if m.grace != nil {
		m.grace.Stop()
		m.grace = nil
	}
	delete(r.members, m.id)
	r.home.Leave(m.id)
	r.dropLocked(m)
	peer := m.peer
	m.peer, m.session, m.synced = nil, nil, false
	r.placesLocked()
	return peer
}

// dismissLocked sends a member away with a reason.
func (r *room) dismissLocked(m *member, reason string, code int) Peer {
	if m.session != nil {
		m.session.live = true
	}
	m.emitLocked(event{wire.TypeEnded, wire.Ended{Reason: reason}})
	if m.session != nil {
		m.session.socket.end(code, reason)
	}
	return r.leaveLocked(m)
}

// listener hears what one peer tells. It implements node.PeerEvents.
type listener struct {
	room   *room
	member *member
	media  int
}

// with calls f under the room's lock if the peer is still the member's.
func (l *listener) with(f func(r *room, m *member)) {
	l.room.mu.Lock()
	defer l.room.mu.Unlock()
	if l.member.media == l.media && l.member.stage != gone {
		f(l.room, l.member)
	}
}

// TrackUnpublished implements node.PeerEvents.
func (l *listener) TrackUnpublished(t node.Track) {
	l.with(func(r *room, m *member) {
		m.entry.Tracks = slices.DeleteFunc(slices.Clone(m.entry.Tracks), func(w wire.Track) bool { return w.ID == t.ID })
		delete(m.wanted, t.ID)
		if t.Source == node.Camera && !hasCamera(&m.entry) {
			r.home.CameraOff(m.id)
		}
		r.retrackedLocked(m)
	})
}

// SlotsChanged implements node.PeerEvents.
func (l *listener) SlotsChanged(slots []node.Slot) {
	l.with(func(_ *room, m *member) {
		m.slots = wireSlots(slots)
		if m.synced {
			m.emitLocked(event{wire.TypeSlots, wire.Slots{Slots: m.slots, Downlink: downlinkTo(m.peer)}})
		}
	})
}

// LayersWanted implements node.PeerEvents.
func (l *listener) LayersWanted(trackID string, layers []string, spatial int) {
	l.with(func(_ *room, m *member) {
		if m.wanted == nil {
			m.wanted = map[string]wire.Layers{}
		}
		m.wanted[trackID] = wire.Layers{TrackID: trackID, Wanted: append([]string{}, layers...), SpatialLayers: spatial}
		if m.synced {
			m.emitLocked(event{wire.TypeLayers, m.wanted[trackID]})
		}
	})
}

// Connected implements node.PeerEvents.
func (l *listener) Connected() {
	l.room.log.Debug("media connected", "participant_id", l.member.id)
}

// Disconnected implements node.PeerEvents. The client notices by itself and offers an ICE restart.
func (l *listener) Disconnected(err error) {
	l.room.log.Info("media disconnected", "participant_id", l.member.id, "error", err)
}

// retrackedLocked tells of changed tracks, unless the member has not entered yet: then its entry has them when it does.
func (r *room) retrackedLocked(m *member) {
	if _, is := r.roster.self.Entries[m.id]; is && m.stage == seated {
		r.putLocked(m)
	}
}

// publishes notes what an answered offer publishes over the member's peer. What is new is in the member's entry when it
// enters: nobody ever sees it without its tracks.
func (r *room) publishes(m *member, peer Peer, tracks []node.Track) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.peer != peer {
		return
	}
	m.failed = ""
	now := make([]wire.Track, 0, len(tracks))
	for _, t := range tracks {
		now = append(now, wireTrack(t))
	}
	moved := r.roster.self.Entries[m.id].Media != m.entry.Media
	if moved || !slices.EqualFunc(now, m.entry.Tracks, func(a, b wire.Track) bool { return a.ID == b.ID }) {
		m.entry.Tracks = now
		r.retrackedLocked(m)
	}
}

func wireTrack(t node.Track) wire.Track {
	return wire.Track{
		ID: t.ID, ParticipantID: t.ParticipantID, Kind: string(t.Kind), Source: string(t.Source),
		Layers: append([]string{}, t.Layers...),
	}
}

func wireSlots(slots []node.Slot) []wire.Slot {
	out := make([]wire.Slot, 0, len(slots))
	for _, s := range slots {
		out = append(out, wire.Slot{
			MID: s.MID, TrackID: s.TrackID, ParticipantID: s.ParticipantID, Kind: string(s.Kind), Source: string(s.Source),
			Layer: s.Layer, State: string(s.State), Reason: s.Reason,
		})
	}
	return out
}

// downlinkTo is what is known of the way to a peer; nil for nothing.
func downlinkTo(peer Peer) *wire.Downlink {
	measured, ok := peer.(sfu.Measured)
	if !ok {
		return nil
	}
	b, ok := measured.Bandwidth()
	if !ok || b.Estimate == 0 {
		return nil
	}
	return &wire.Downlink{Estimate: b.Estimate, Wanted: b.Wanted, Allocated: b.Allocated, Limit: b.Limit, QueueMS: b.Queue, Lost: b.Lost}
}
