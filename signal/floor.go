package signal

import (
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// name gives a newcomer its name, and notes whether it comes with a camera. Sits says that it has a seat already.
func (r *room) name(m *member, name string, camera bool) (sits bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch m.stage {
	case gone:
		return false, errGone
	case seated:
		return true, nil
	case arriving, waiting, admitted:
	}
	name, err = displayName(m.claims, name)
	if err != nil {
		return false, err
	}
	m.entry.Participant = wire.Participant{ID: m.id, DisplayName: name, Role: string(m.claims.Role)}
	m.wantsCamera, m.camera = camera, nil
	r.inheritLocked(m)
	return false, nil
}

// knocked notes what the home said to a newcomer. Hold is true when it has to wait in the lobby, which it was told now.
func (r *room) knocked(m *member, reason string) (hold bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.stage == gone {
		r.home.Leave(m.id)
		r.releaseLocked(m, false)
		return false, errGone
	}
	if reason == "" {
		if m.stage < admitted {
			m.stage = admitted
		}
		m.entry.Since = r.newSinceLocked(m)
		return false, nil
	}
	m.emitLocked(event{wire.TypeWaiting, wire.Waiting{Reason: reason}})
	if m.stage != waiting {
		m.stage, m.entry.State, m.entry.Since = waiting, Waiting, r.newSinceLocked(m)
		m.entry.JoinedAt = time.Now().UTC()
		r.putLocked(m)
	}
	return true, nil
}

// replay sends the events after last to the session again. It is false when that cannot be done.
func (r *room) replay(s *session, last uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := s.member
	if m.stage != seated || !m.synced || m.session != s {
		return false
	}
	events, ok := m.events.after(last)
	if !ok {
		return false
	}
	s.live = true
	for _, e := range events {
		last++
		m.sendLocked(last, e)
	}
	return true
}

// present changes a member's presence, tells everybody, and lets the SFU know what is muted.
func (r *room) present(m *member, alter func(*entry) error) error {
	r.mu.Lock()
	if m.stage != seated {
		r.mu.Unlock()
		return errGone
	}
	before := m.entry.Participant
	err := alter(&m.entry)
	if err == nil && m.entry.Participant != before {
		r.putLocked(m)
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	r.applyMutes(m)
	return nil
}

// applyMutes makes the SFU's mutes follow the presence. The SFU is told without the lock; when two do it at once the last
// of them sees the newest presence, because each looks again afterwards.
func (r *room) applyMutes(m *member) {
	for {
		audio, video, peer := r.mutes(m)
		if peer == nil {
			return
		}
		peer.SetMuted(node.Microphone, audio)
		peer.SetMuted(node.Camera, video)
		if a, v, p := r.mutes(m); a == audio && v == video && p == peer {
			return
		}
	}
}

func (r *room) mutes(m *member) (audio, video bool, peer Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return m.entry.AudioMuted, m.entry.VideoMuted, m.peer
}

// say sends a chat message on its way, here and on the other nodes.
func (r *room) say(m *member, chat wire.Chat) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.stage != seated {
		return errGone
	}
	if to, known := r.roster.view[chat.To]; chat.Private && (!known || !to.seated()) {
		return notFound("Nobody with that id is in the room.")
	}
	r.tell(r.meeting, r.roster.say(chat))
	r.deliverLocked(chat)
	return nil
}

// deliverLocked hands a chat message to the members of this node whom it is for.
func (r *room) deliverLocked(chat wire.Chat) {
	if !chat.Private {
		r.aboutLocked(chat.From, wire.TypeChat, chat)
		return
	}
	if r.news.mentions(chat.From) {
		r.flushLocked()
	}
	for _, id := range []string{chat.From, chat.To} {
		if m := r.members[id]; m != nil && m.synced {
			m.emitLocked(event{wire.TypeChat, chat})
		}
		if chat.From == chat.To {
			return
		}
	}
}

// admit lets a member in from the lobby, for whom there is a seat now.
func (r *room) admit(m *member) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.stage == gone {
		r.home.Leave(m.id)
		r.releaseLocked(m, false)
		return notFound("Nobody with that id is waiting.")
	}
	if m.stage == waiting {
		r.admittedLocked(m)
	}
	return nil
}

// waits returns a member who waits in the lobby.
func (r *room) waits(id string) (*member, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.members[id]; m != nil && m.stage == waiting {
		return m, nil
	}
	return nil, notFound("Nobody with that id is waiting.")
}

// admittedLocked tells a member that it is in and wakes its session, which goes on with the held hello.
func (r *room) admittedLocked(m *member) {
	m.stage = admitted
	m.emitLocked(event{wire.TypeAdmitted, wire.Empty{}})
	m.wakeLocked()
}

// wakeLocked makes the session look again at the hello that it holds.
func (m *member) wakeLocked() {
	if m.session != nil {
		m.session.look()
	}
}

// mute mutes one of a member's sources.
func (r *room) mute(id, source string) error {
	r.mu.Lock()
	m := r.members[id]
	r.mu.Unlock()
	if m == nil {
		return notFound("Nobody with that id is in the room.")
	}
	return r.present(m, func(e *entry) error {
		switch node.Source(source) {
		case node.Microphone, "":
			e.AudioMuted = true
		case node.Camera:
			e.VideoMuted = true
		default:
			return invalid(`Field "source" is "microphone" or "camera".`)
		}
		return nil
	})
}

// dismiss sends a member away for good, and returns its peer to close.
func (r *room) dismiss(id, reason string, code int) Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.members[id]; m != nil {
		return r.dismissLocked(m, reason, code)
	}
	return nil
}

// dismissAll sends everybody away, and returns the peers to close.
func (r *room) dismissAll(reason string, code int) []Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members { // all are told before anybody is seen to leave
		m.synced = false
	}
	var peers []Peer
	for _, m := range r.members {
		if peer := r.dismissLocked(m, reason, code); peer != nil {
			peers = append(peers, peer)
		}
	}
	return peers
}

// setLocked locks or unlocks the room, and says so on the other nodes.
func (r *room) setLocked(locked bool, nodeName string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lock.Locked == locked {
		return
	}
	r.adoptLocked(&lock{Locked: locked, Revision: r.lock.Revision + 1, Node: nodeName}, nil)
	r.tellLocked(update{})
}

// setSettings takes changed settings over, and says so on the other nodes.
func (r *room) setSettings(settings grant.Settings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.adoptLocked(nil, &settings) {
		r.tellLocked(update{})
	}
}

// adoptLocked takes over what is newer than what is known, tells the members, and makes those who wait knock again.
func (r *room) adoptLocked(l *lock, settings *grant.Settings) bool {
	changed := settings != nil && r.home.SetSettings(*settings)
	if l != nil && l.newer(r.lock) {
		r.lock = *l
		changed = r.home.SetLocked(l.Locked) || changed
	}
	if !changed {
		return false
	}
	if r.kept && r.recall != nil && r.home.lent() != (places{}) {
		r.recall(r)
	}
	r.toAllLocked(wire.TypeSettingsChanged, wire.SettingsChanged{Settings: r.home.Settings()})
	for _, m := range r.members {
		if m.stage == waiting {
			m.wakeLocked()
		}
	}
	return true
}

// tellLocked tells the other nodes where this node's part stands, and the room's lock and settings.
func (r *room) tellLocked(u update) {
	stand := r.roster.standing()
	settings, l := r.home.Meeting(), r.lock
	stand.Ask, stand.Lock, stand.Settings = u.Ask, &l, &settings
	r.tell(r.meeting, stand)
}
