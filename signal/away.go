package signal

import (
	"maps"
	"slices"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/signal/wire"
)

// awayTrack is a track of a room, and the node whose SFU it is published to.
type awayTrack struct {
	track node.Track
	node  string
	muted bool
}

// away keeps what the SFUs that this node uses for a room are told of the tracks on other SFUs. It is pure book-keeping, not
// safe for concurrent use; what it returns is for the SFUs, in order.
type away struct {
	places map[string]bool                 // nodes whose SFUs are told
	tracks map[string]map[string]awayTrack // of the room, by participant and id
}

// awayOrder is one thing that an SFU is to be told.
type awayOrder struct {
	place string
	do    awayVerb
	track awayTrack
}

type awayVerb int

const (
	awayAdd    awayVerb = iota // or it is on another node now
	awayRemove                 // it is gone, or on this very SFU
	awayMute                   // it is muted, or no longer
)

func newAway() *away {
	return &away{places: map[string]bool{}, tracks: map[string]map[string]awayTrack{}}
}

// publishes says what a participant publishes now.
func (a *away) publishes(participant string, now map[string]awayTrack) []awayOrder {
	before := a.tracks[participant]
	a.tracks[participant] = now
	if len(now) == 0 {
		delete(a.tracks, participant)
	}
	var orders []awayOrder
	for _, place := range slices.Sorted(maps.Keys(a.places)) {
		orders = append(orders, awayDiff(place, before, now)...)
	}
	return orders
}

// use says which SFUs have participants of this node in the room.
func (a *away) use(places map[string]bool) []awayOrder {
	var orders []awayOrder
	for _, place := range slices.Sorted(maps.Keys(a.places)) {
		if !places[place] {
			orders = append(orders, a.all(place, false)...)
		}
	}
	for _, place := range slices.Sorted(maps.Keys(places)) {
		if !a.places[place] {
			orders = append(orders, a.all(place, true)...)
		}
	}
	a.places = maps.Clone(places)
	return orders
}

// all tells an SFU of every track, or takes every track back.
func (a *away) all(place string, come bool) []awayOrder {
	var orders []awayOrder
	for _, participant := range slices.Sorted(maps.Keys(a.tracks)) {
		before, now := map[string]awayTrack(nil), a.tracks[participant]
		if !come {
			before, now = now, nil
		}
		orders = append(orders, awayDiff(place, before, now)...)
	}
	return orders
}

// awayDiff is what an SFU is told when a participant's tracks change. Its own tracks are not away.
func awayDiff(place string, before, now map[string]awayTrack) []awayOrder {
	var orders []awayOrder
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if n, stays := now[id]; before[id].node != place && (!stays || n.node == place) {
			orders = append(orders, awayOrder{place, awayRemove, before[id]})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		n, b := now[id], before[id]
		if n.node == place {
			continue
		}
		known := b.node != "" && b.node != place
		if !known || b.node != n.node {
			orders = append(orders, awayOrder{place, awayAdd, n})
		}
		if known && b.muted != n.muted || n.muted && b.node != n.node {
			orders = append(orders, awayOrder{place, awayMute, n})
		}
	}
	return orders
}

// awayLocked takes note of what a participant publishes, where, and what is muted.
func (r *room) awayLocked(id string) {
	var now map[string]awayTrack
	if owner, known := r.roster.ownerOf(id); known {
		if e := r.roster.view[id]; e.seated() {
			now = map[string]awayTrack{}
			for _, t := range e.Tracks {
				now[t.ID] = awayTrack{nodeTrack(t), e.mediaNode(owner), mutedTrack(&e, t)}
			}
		}
	}
	r.orderLocked(r.away.publishes(id, now))
}

// placesLocked takes note of which SFUs the members of this node are on. This node's own is always told, so that it has the
// tracks when the first member comes.
func (r *room) placesLocked() {
	places := map[string]bool{}
	if r.media(r.roster.self.Node) != nil {
		places[r.roster.self.Node] = true
	}
	for _, m := range r.members {
		if m.peer != nil {
			places[m.place] = true
		}
	}
	if !maps.Equal(places, r.away.places) {
		r.orderLocked(r.away.use(places))
	}
}

// forgetAwayLocked takes back everything that SFUs were told.
func (r *room) forgetAwayLocked() { r.orderLocked(r.away.use(nil)) }

// orderLocked has the SFUs told, without the room's lock and in order.
func (r *room) orderLocked(orders []awayOrder) {
	for _, o := range orders {
		r.errands.Post(func() {
			media := r.media(o.place)
			switch {
			case media == nil:
			case o.do == awayAdd:
				media.AddRemote(r.meeting, o.track.track, o.track.node)
			case o.do == awayRemove:
				media.RemoveRemote(o.track.track.ID)
			default:
				media.MuteRemote(o.track.track.ID, o.track.muted)
			}
		})
	}
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
