package signal

import (
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/signal/wire"
)

// awayTrack is a track of a participant on another node, as the SFU of this node was told.
type awayTrack struct {
	participant string
	node        string
	muted       bool
}

// awayLocked tells this node's SFU which tracks a participant of another node publishes, where, and what is muted. The SFU
// is told without the room's lock, in order.
func (r *room) awayLocked(id string) {
	want := map[string]awayTrack{}
	tracks := map[string]wire.Track{}
	if owner, known := r.roster.ownerOf(id); known && owner != r.roster.self.Node {
		if e := r.roster.view[id]; e.seated() {
			for _, t := range e.Tracks {
				want[t.ID] = awayTrack{id, owner, mutedTrack(&e, t)}
				tracks[t.ID] = t
			}
		}
	}
	for track, now := range r.away {
		if _, stays := want[track]; now.participant == id && !stays {
			delete(r.away, track)
			r.errands.Post(func() { r.media.RemoveRemote(track) })
		}
	}
	for track, w := range want {
		now, known := r.away[track]
		r.away[track] = w
		if known && w.node != now.node { // its participant has moved
			r.errands.Post(func() { r.media.RemoveRemote(track) })
			known, now.muted = false, false
		}
		if !known {
			r.errands.Post(func() { r.media.AddRemote(r.meeting, nodeTrack(tracks[track]), w.node) })
		}
		if w.muted != now.muted {
			r.errands.Post(func() { r.media.MuteRemote(track, w.muted) })
		}
	}
}

// forgetAwayLocked takes back everything that the SFU was told.
func (r *room) forgetAwayLocked() {
	for track := range r.away {
		r.errands.Post(func() { r.media.RemoveRemote(track) })
	}
	clear(r.away)
}

func mutedTrack(e *entry, t wire.Track) bool {
	switch node.Source(t.Source) {
	case node.Microphone:
		return e.AudioMuted
	case node.Camera:
		return e.VideoMuted
	case node.Screen, node.ScreenAudio:
	}
	return false
}

func nodeTrack(t wire.Track) node.Track {
	return node.Track{
		ID: t.ID, ParticipantID: t.ParticipantID, Kind: node.Kind(t.Kind), Source: node.Source(t.Source), Layers: t.Layers,
	}
}
