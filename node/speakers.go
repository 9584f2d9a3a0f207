package node

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/parley-sfu/parley/internal/packet"
)

// maxSpeakers is how many of those who speak at once are named.
const maxSpeakers = 8

// attendEvery is how often at most, in nanoseconds, packets have the room look at who speaks; the ticker has it do so anyway.
const attendEvery = 20e6

// hearing is what a room knows of its microphones.
type hearing struct {
	bar      atomic.Uint32 // the level, in -dBov, that one which is not heard must reach; see packet.Speakers.Bar
	attended atomic.Int64

	mu       sync.Mutex // guards what follows
	speakers packet.Speakers
	known    map[string]struct{} // tracks that speakers knows
	told     []Speaker           // to the room's owner, last
	words    map[string]*heardWord
	own      conducting
}

// noticed says that a microphone which is not heard has just been loud enough to be.
func (r *room) noticed(now int64) {
	if last := r.hearing.attended.Load(); now-last >= attendEvery && r.hearing.attended.CompareAndSwap(last, now) {
		r.attend()
	}
}

// listen decides who speaks in the room and, where there are more microphones than are forwarded, whose are; or takes that from
// whoever conducts the room.
func (r *room) listen(now int64) {
	h := &r.hearing
	watched, tracks := r.watched(), r.published()
	h.mu.Lock()
	defer h.mu.Unlock()
	microphones, own := r.levels(tracks, now)
	able := own && watched && r.node.links != nil
	var s stage
	if w := h.conducts(r.node.id, able, now); w != nil {
		s = stage{w.Speakers, w.Heard}
		if !w.taken {
			w.taken = true
			h.follow(s, now)
		}
		r.cede(false, now)
	} else {
		_, s.Speakers = h.speakers.Order(now)
		// One more than a slot count, since nobody hears themselves.
		if want := r.node.cfg.AudioForward + 1; microphones > want {
			s.Heard = h.speakers.Loudest(want, now)
			s.Speakers = among(s.Speakers, s.Heard)
		}
		if able {
			r.conduct(s, now)
		} else {
			r.cede(true, now)
		}
	}
	h.bar.Store(uint32(h.speakers.Bar()))
	r.hush(tracks, s.Heard, now)
	r.speaking(tracks, s.Speakers)
}

// among returns those speakers who are heard. The others' packets come so rarely that they would seem to begin and to end all the time.
func among(speakers []packet.Speaker, heard []string) []packet.Speaker {
	return slices.DeleteFunc(slices.Clone(speakers), func(s packet.Speaker) bool { return !slices.Contains(heard, s.ID) })
}

// levels takes what was heard of the open microphones since the last time. It returns how many there are, and whether any is of a
// participant of this node. The hearing's mutex is held.
func (r *room) levels(tracks []*published, now int64) (microphones int, own bool) {
	h := &r.hearing
	open := make(map[string]struct{}, len(h.known))
	for _, t := range tracks {
		if t.Source != Microphone || t.muted.Load() {
			continue
		}
		own = own || !t.remote()
		open[t.ID] = struct{}{}
		level, voice, ok := t.voice.take()
		if !ok {
			if before := r.predecessor(t); before != nil {
				level, voice, ok = before.voice.take()
			}
		}
		if ok {
			h.speakers.Update(t.ID, level, voice, now)
		}
	}
	for id := range h.known {
		if _, ok := open[id]; !ok {
			h.speakers.Remove(id)
		}
	}
	h.known = open
	return len(open), own
}

// follow takes over another node's decisions, as far as they are about microphones that are known here. mu is held.
func (h *hearing) follow(s stage, now int64) {
	order := slices.DeleteFunc(slices.Clone(s.Speakers), func(o packet.Speaker) bool {
		_, ok := h.known[o.ID]
		return !ok
	})
	heard := slices.Clone(s.Heard)
	for i, id := range heard {
		if _, ok := h.known[id]; !ok {
			heard[i] = ""
		}
	}
	h.speakers.Follow(order, heard, now)
}

// hush notes which microphones are forwarded: those heard, or all where heard is nil; and those that tell no levels, which
// nobody can choose among.
func (r *room) hush(tracks []*published, heard []string, now int64) {
	changed := false
	for _, t := range tracks {
		if t.Source != Microphone {
			continue
		}
		hushed := heard != nil && t.voice.tells.Load() && !slices.Contains(heard, t.ID)
		if t.voice.hushed.Swap(hushed) != hushed {
			changed = true
			if !hushed {
				t.voice.chosen.Store(now)
			}
		}
		if before := r.predecessor(t); before != nil {
			before.voice.hushed.Store(hushed)
		}
	}
	r.mu.Lock()
	if !slices.Equal(heard, r.loud) {
		r.loud, changed = slices.Clone(heard), true
	}
	r.mu.Unlock()
	if changed {
		r.wakeAll()
	}
}

// speaking tells the room's owner who speaks when others do than before, or in another order, and the room's worker, since it
// changes who is shown first. The hearing's mutex is held.
func (r *room) speaking(tracks []*published, order []packet.Speaker) {
	speakers := make([]Speaker, 0, maxSpeakers)
	for _, s := range order {
		i := slices.IndexFunc(tracks, func(t *published) bool { return t.ID == s.ID })
		if i >= 0 && len(speakers) < maxSpeakers {
			speakers = append(speakers, Speaker{ParticipantID: tracks[i].ParticipantID, Level: s.Level})
		}
	}
	if slices.EqualFunc(speakers, r.hearing.told, func(a, b Speaker) bool { return a.ParticipantID == b.ParticipantID }) {
		return
	}
	r.hearing.told = speakers
	if r.spoke(speakers) {
		r.wakeAll()
	}
	r.tell.Post(func() { r.node.events.SpeakersChanged(r.id, speakers) })
}
