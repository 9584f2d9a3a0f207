package signal

import (
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/mailbox"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// burst is how long joins and leaves may wait to share a message.
const burst = 50 * time.Millisecond

// room is a meeting while somebody is connected to it on this node. Its state changes under one lock, in which nothing
// waits: events are encoded once and put into the members' queues, updates into the fabric's. The SFU is called
// without the lock, by the member's own session.
type room struct {
	meeting string
	home    *Home
	cfg     Config
	log     *slog.Logger
	tell    func(meeting string, u update)        // hands an update to the fabric; never blocks
	media   func(node string) Media               // of a node; nil where there is none
	errands mailbox.Mailbox                       // calls of media that are made without the lock
	release func(meeting, id string, camera bool) // tells the home that a place is free again; nil: there is no other node. Never blocks
	recall  func(r *room)                         // calls in the lots that nodes have, as the home. Never blocks

	mu       sync.Mutex
	closed   bool               // nobody is here any more, and nobody may come
	members  map[string]*member // connected to this node or expected back
	roster   *roster
	lock     lock
	speakers []wire.Speaker
	news     bulletin
	follow   func() // ends the subscription to other nodes' updates; nil until there is one
	pulling  map[string]bool
	missed   map[string]bool // nodes whose parts were dropped because nothing was heard of them
	away     *away
	keeping  // as the room's home
}

func newRoom(meeting, nodeName string, settings grant.Settings, cfg Config, media func(string) Media, tell func(string, update), log *slog.Logger) *room {
	r := &room{
		meeting: meeting,
		home:    NewHome(settings, cfg.MaxWaiting),
		cfg:     cfg,
		log:     log.With("meeting_id", meeting),
		tell:    tell,
		media:   media,
		members: map[string]*member{},
		roster:  newRoster(nodeName, time.Now().UnixNano()),
		pulling: map[string]bool{}, missed: map[string]bool{},
		away: newAway(),
	}
	r.placesLocked() // nobody else has it yet
	return r
}

// putLocked writes a member's entry to the roster, here and on the other nodes, and tells everybody what changed.
func (r *room) putLocked(m *member) {
	e := m.entry
	e.Tracks = slices.Clone(e.Tracks)
	step, changes := r.roster.put(e)
	r.tell(r.meeting, step)
	r.changedLocked(changes)
}

// dropLocked takes a member's entry out of the roster.
func (r *room) dropLocked(m *member) {
	if _, is := r.roster.self.Entries[m.id]; !is {
		return
	}
	step, changes := r.roster.drop(m.id)
	r.tell(r.meeting, step)
	r.changedLocked(changes)
}

// changedLocked keeps the home's books and tells the members of this node what became of participants anywhere.
func (r *room) changedLocked(changes []change) {
	for _, c := range changes {
		r.bookLocked(c)
		r.awayLocked(c.id())
		switch {
		case c.before.seated() && c.after.seated():
			r.alteredLocked(c.before, c.after)
		case c.after.seated():
			r.newsLocked(wire.TypeParticipantJoined, c.after.identity())
			r.alteredLocked(&entry{}, c.after) // who comes back from beyond a cut may have raised a hand there
		case c.before.seated():
			r.tracksLocked(c.before.Tracks, nil)
			r.newsLocked(wire.TypeParticipantLeft, c.before.identity())
		case c.before == nil && c.after != nil:
			r.toHostsLocked(wire.TypeKnock, wire.ParticipantEvent{Participant: c.after.identity()})
		case c.after == nil:
			r.toHostsLocked(wire.TypeParticipantLeft, wire.ParticipantEvent{Participant: c.before.identity()})
		}
	}
	r.unlockEmptyLocked()
}

// bookLocked keeps seats and camera places in step with the roster, for participants of other nodes too.
func (r *room) bookLocked(c change) {
	if c.after == nil {
		if r.members[c.before.ID] == nil {
			r.home.Leave(c.before.ID)
		}
		return
	}
	writer, version := r.roster.writer(c.after.ID)
	if c.after.seated() {
		r.home.Seat(c.after.ID, writer, version)
	} else {
		r.home.Waits(c.after.ID, writer, version)
	}
	switch {
	case hasCamera(c.after):
		r.home.CameraOn(c.after.ID, writer, version)
	case hasCamera(c.before):
		r.home.CameraOff(c.after.ID)
	}
}

func hasCamera(e *entry) bool {
	return e != nil && slices.ContainsFunc(e.Tracks, func(t wire.Track) bool { return t.Source == string(node.Camera) })
}

// alteredLocked tells what changed of somebody who is in the room.
func (r *room) alteredLocked(before, after *entry) {
	r.tracksLocked(before.Tracks, after.Tracks)
	diff := wire.PresenceChanged{
		ParticipantID: after.ID,
		AudioMuted:    changed(before.AudioMuted, after.AudioMuted),
		VideoMuted:    changed(before.VideoMuted, after.VideoMuted),
		HandRaised:    changed(before.HandRaised, after.HandRaised),
		ScreenSharing: changed(before.ScreenSharing, after.ScreenSharing),
	}
	if diff != (wire.PresenceChanged{ParticipantID: after.ID}) {
		r.aboutLocked(after.ID, wire.TypePresenceChanged, diff)
	}
}

func changed(before, after bool) *bool {
	if before == after {
		return nil
	}
	return &after
}

func (r *room) tracksLocked(before, after []wire.Track) {
	for _, t := range before {
		if !hasTrack(after, t.ID) {
			r.aboutLocked(t.ParticipantID, wire.TypeTrackUnpublished, wire.TrackEvent{Track: t})
		}
	}
	for _, t := range after {
		if !hasTrack(before, t.ID) {
			r.aboutLocked(t.ParticipantID, wire.TypeTrackPublished, wire.TrackEvent{Track: t})
		}
	}
}

func hasTrack(tracks []wire.Track, id string) bool {
	return slices.ContainsFunc(tracks, func(t wire.Track) bool { return t.ID == id })
}

// aboutLocked sends everybody an event about one participant, after the news of its coming.
func (r *room) aboutLocked(id, typ string, body any) {
	if r.news.mentions(id) {
		r.flushLocked()
	}
	r.toAllLocked(typ, body)
}

func (r *room) toAllLocked(typ string, body any) {
	e, ok := r.encode(typ, body)
	if !ok {
		return
	}
	for _, m := range r.members {
		if m.synced {
			m.emitLocked(e)
		}
	}
}

func (r *room) toHostsLocked(typ string, body any) {
	e, ok := r.encode(typ, body)
	if !ok {
		return
	}
	for _, m := range r.members {
		if m.synced && m.host() {
			m.emitLocked(e)
		}
	}
}

// encode makes an event for many.
func (r *room) encode(typ string, body any) (event, bool) {
	raw, err := json.Marshal(body)
	if err != nil {
		r.log.Error("an event could not be encoded", "type", typ, "error", err)
		return event{}, false
	}
	return event{typ, json.RawMessage(raw)}, true
}

// snapshotLocked sends a member the whole state. From here on it gets every event.
func (r *room) snapshotLocked(m *member, resumeToken string) {
	s := wire.Snapshot{
		Self: m.entry.Participant, Settings: r.home.Settings(), Participants: []wire.Participant{}, Tracks: []wire.Track{},
		Slots: slices.Clone(m.slots), Speakers: r.speakers, ResumeToken: resumeToken,
	}
	for _, e := range r.roster.everybody() {
		if e.seated() {
			s.Participants = append(s.Participants, e.Participant)
			s.Tracks = append(s.Tracks, e.Tracks...)
		} else if m.host() {
			s.Waiting = append(s.Waiting, e.identity())
		}
	}
	if s.Slots == nil {
		s.Slots = []wire.Slot{}
	}
	if s.Speakers == nil {
		s.Speakers = []wire.Speaker{}
	}
	m.synced, m.upTo = true, r.news.last
	if m.session != nil {
		m.session.live = true
	}
	m.sendLocked(m.events.restart(), event{wire.TypeSnapshot, s})
	for _, layers := range m.wanted {
		m.emitLocked(event{wire.TypeLayers, layers})
	}
}

// speakersChanged passes an SFU's speaker order on.
func (r *room) speakersChanged(from string, speakers []node.Speaker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.hearsLocked(from) {
		return
	}
	r.speakers = make([]wire.Speaker, 0, len(speakers))
	for _, s := range speakers {
		r.speakers = append(r.speakers, wire.Speaker{ParticipantID: s.ParticipantID, Level: s.Level})
	}
	r.toAllLocked(wire.TypeActiveSpeakers, wire.ActiveSpeakers{Speakers: r.speakers})
}
