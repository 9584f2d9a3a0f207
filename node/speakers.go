package node

import (
	"slices"

	"github.com/parley-sfu/parley/internal/packet"
)

// maxSpeakers is how many of those who speak at once are named.
const maxSpeakers = 8

// speaking tells the room's owner who speaks, and the room's worker, since it changes who is shown first.
func (r *room) speaking(tracks []*published, order []packet.Speaker) {
	speakers := make([]Speaker, 0, maxSpeakers)
	for _, s := range order {
		i := slices.IndexFunc(tracks, func(t *published) bool { return t.ID == s.ID })
		if i >= 0 && len(speakers) < maxSpeakers {
			speakers = append(speakers, Speaker{ParticipantID: tracks[i].ParticipantID, Level: s.Level})
		}
	}
	if r.spoke(speakers) {
		r.wakeAll()
	}
	r.tell.Post(func() { r.node.events.SpeakersChanged(r.id, speakers) })
}

// setLoud notes which microphones are forwarded.
func (r *room) setLoud(ids []string) {
	r.mu.Lock()
	changed := !slices.Equal(ids, r.loud)
	if changed {
		r.loud = slices.Clone(ids)
	}
	r.mu.Unlock()
	if changed {
		r.wakeAll()
	}
}
