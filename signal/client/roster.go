package client

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/parley-sfu/parley/signal/wire"
)

// roster is what the client knows of the room. The socket's reader writes it, everybody may read it.
type roster struct {
	mu           sync.Mutex // protects following
	self         wire.Participant
	settings     wire.Settings
	participants []wire.Participant
	tracks       []wire.Track
	slots        []wire.Slot
	speakers     []wire.Speaker
	waiting      []wire.Identity
}

// apply takes one event of the server into the roster and returns it as the client's user sees it.
func (r *roster) apply(kind string, raw []byte) (Event, error) {
	switch kind {
	case wire.TypeSnapshot:
		return decode(raw, r.snapshot)
	case wire.TypeParticipantJoined:
		return decode(raw, r.joined)
	case wire.TypeParticipantLeft:
		return decode(raw, r.left)
	case wire.TypePresenceChanged:
		return decode(raw, r.presence)
	case wire.TypeTrackPublished:
		return decode(raw, r.published)
	case wire.TypeTrackUnpublished:
		return decode(raw, r.unpublished)
	case wire.TypeSlots:
		return decode(raw, r.assigned)
	case wire.TypeActiveSpeakers:
		return decode(raw, r.spoke)
	case wire.TypeKnock:
		return decode(raw, r.knocked)
	case wire.TypeLayers:
		return decode(raw, func(m wire.Layers) Event { return LayersWanted{m} })
	case wire.TypeChat:
		return decode(raw, func(m wire.Chat) Event { return ChatReceived{m} })
	case wire.TypeWaiting:
		return decode(raw, func(m wire.Waiting) Event { return Waiting(m) })
	case wire.TypeAdmitted:
		return Admitted{}, nil
	case wire.TypeEnded:
		return decode(raw, func(m wire.Ended) Event { return Ended(m) })
	case wire.TypeError:
		return decode(raw, func(m wire.Error) Event { return Refused{&Error{Code: m.Code, Message: m.Message}} })
	default:
		return Unrecognized{Type: kind, Raw: slices.Clone(raw)}, nil
	}
}

func decode[M any](raw []byte, apply func(M) Event) (Event, error) {
	var m M
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("decode %T: %w", m, err)
	}
	return apply(m), nil
}

func (r *roster) snapshot(m wire.Snapshot) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self, r.settings = m.Self, m.Settings
	r.participants, r.tracks = slices.Clone(m.Participants), slices.Clone(m.Tracks)
	r.slots, r.speakers, r.waiting = slices.Clone(m.Slots), slices.Clone(m.Speakers), slices.Clone(m.Waiting)
	return Joined{Snapshot: m}
}

func (r *roster) joined(m wire.ParticipantEvent) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	who := everyone(m)
	for _, p := range who {
		r.participants = slices.DeleteFunc(r.participants, func(q wire.Participant) bool { return q.ID == p.ID })
		r.participants = append(r.participants, wire.Participant{ID: p.ID, DisplayName: p.DisplayName, Role: p.Role})
		r.waiting = without(r.waiting, p.ID)
	}
	return ParticipantsJoined{who}
}

func (r *roster) left(m wire.ParticipantEvent) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	who := everyone(m)
	for _, p := range who {
		r.participants = slices.DeleteFunc(r.participants, func(q wire.Participant) bool { return q.ID == p.ID })
		r.tracks = slices.DeleteFunc(r.tracks, func(t wire.Track) bool { return t.ParticipantID == p.ID })
		r.waiting = without(r.waiting, p.ID)
	}
	return ParticipantsLeft{who}
}

func (r *roster) presence(m wire.PresenceChanged) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.participants {
		if r.participants[i].ID == m.ParticipantID {
			changePresence(&r.participants[i], m)
		}
	}
	if r.self.ID == m.ParticipantID {
		changePresence(&r.self, m)
	}
	return PresenceChanged{m}
}

func changePresence(p *wire.Participant, m wire.PresenceChanged) {
	changes := []struct{ to, from *bool }{
		{&p.AudioMuted, m.AudioMuted},
		{&p.VideoMuted, m.VideoMuted},
		{&p.HandRaised, m.HandRaised},
		{&p.ScreenSharing, m.ScreenSharing},
	}
	for _, c := range changes {
		if c.from != nil {
			*c.to = *c.from
		}
	}
}

func (r *roster) published(m wire.TrackEvent) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tracks = slices.DeleteFunc(r.tracks, func(t wire.Track) bool { return t.ID == m.Track.ID })
	r.tracks = append(r.tracks, m.Track)
	return TrackPublished(m)
}

func (r *roster) unpublished(m wire.TrackEvent) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tracks = slices.DeleteFunc(r.tracks, func(t wire.Track) bool { return t.ID == m.Track.ID })
	return TrackUnpublished(m)
}

func (r *roster) assigned(m wire.Slots) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots = slices.Clone(m.Slots)
	return SlotsChanged(m)
}

func (r *roster) spoke(m wire.ActiveSpeakers) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.speakers = slices.Clone(m.Speakers)
	return ActiveSpeakers(m)
}

func (r *roster) knocked(m wire.ParticipantEvent) Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	who := everyone(m)
	for _, p := range who {
		r.waiting = append(without(r.waiting, p.ID), p)
	}
	return Knocked{who}
}

// carried is what the slots carry.
func (r *roster) carried() []wire.Slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.slots)
}

// state is all of it, as a snapshot has it.
func (r *roster) state() wire.Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	return wire.Snapshot{
		Self: r.self, Settings: r.settings, Participants: slices.Clone(r.participants), Tracks: slices.Clone(r.tracks),
		Slots: slices.Clone(r.slots), Speakers: slices.Clone(r.speakers), Waiting: slices.Clone(r.waiting),
	}
}

// become takes the state of another roster over.
func (r *roster) become(other *roster) {
	s := other.state()
	r.snapshot(s)
}

// covers says whether everybody in another roster, and every track, is in this one too.
func (r *roster) covers(other *roster) bool {
	mine, theirs := r.state(), other.state()
	for _, p := range theirs.Participants {
		if !slices.ContainsFunc(mine.Participants, func(q wire.Participant) bool { return q.ID == p.ID }) {
			return false
		}
	}
	for _, t := range theirs.Tracks {
		if !slices.ContainsFunc(mine.Tracks, func(u wire.Track) bool { return u.ID == t.ID }) {
			return false
		}
	}
	return true
}

// ownTrack finds the client's own track by what it shows.
func (r *roster) ownTrack(source string) (wire.Track, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.tracks, func(t wire.Track) bool {
		return t.ParticipantID == r.self.ID && t.Source == source
	})
	if i < 0 {
		return wire.Track{}, false
	}
	return r.tracks[i], true
}

func everyone(m wire.ParticipantEvent) []wire.Identity {
	if len(m.Participants) > 0 {
		return m.Participants
	}
	return []wire.Identity{m.Participant}
}

func without(list []wire.Identity, id string) []wire.Identity {
	return slices.DeleteFunc(list, func(p wire.Identity) bool { return p.ID == id })
}

// Self returns the client's own entry in the roster.
func (c *Client) Self() wire.Participant {
	c.roster.mu.Lock()
	defer c.roster.mu.Unlock()
	return c.roster.self
}

// Settings returns the meeting's settings as of the last snapshot.
func (c *Client) Settings() wire.Settings {
	c.roster.mu.Lock()
	defer c.roster.mu.Unlock()
	return c.roster.settings
}

// Participants returns everyone in the room, the client itself included.
func (c *Client) Participants() []wire.Participant {
	c.roster.mu.Lock()
	defer c.roster.mu.Unlock()
	return slices.Clone(c.roster.participants)
}

// Tracks returns every track that is published in the room.
func (c *Client) Tracks() []wire.Track {
	c.roster.mu.Lock()
	defer c.roster.mu.Unlock()
	return slices.Clone(c.roster.tracks)
}

// Slots returns what each receiving slot carries now.
func (c *Client) Slots() []wire.Slot {
	c.roster.mu.Lock()
	defer c.roster.mu.Unlock()
	return slices.Clone(c.roster.slots)
}

// Speakers returns who speaks now, loudest first.
func (c *Client) Speakers() []wire.Speaker {
	c.roster.mu.Lock()
	defer c.roster.mu.Unlock()
	return slices.Clone(c.roster.speakers)
}

// InLobby returns who waits to be admitted. Hosts only.
func (c *Client) InLobby() []wire.Identity {
	c.roster.mu.Lock()
	defer c.roster.mu.Unlock()
	return slices.Clone(c.roster.waiting)
}
