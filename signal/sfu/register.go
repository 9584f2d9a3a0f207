package sfu

import (
	"slices"

	"github.com/parley-sfu/parley/node"
)

// register keeps, for one media node, who told it of which track on another media node. Several signalling nodes use one
// media node, and a track is there for as long as one of them says so; where they differ, who spoke last is right. It is
// pure book-keeping, not safe for concurrent use.
type register struct {
	tracks map[string][]claim // by id, who spoke last at the end
}

// claim is what one signalling node says of a track.
type claim struct {
	by    string
	room  string
	track node.Track
	from  string
	muted bool
}

func (c claim) says(o claim) bool {
	return c.room == o.room && c.from == o.from && c.muted == o.muted
}

// order is what the SFU is to be told.
type order func(Media)

func newRegister() *register { return &register{tracks: map[string][]claim{}} }

// set takes a claim and returns what changes for the SFU.
func (r *register) set(c claim) []order {
	claims := r.tracks[c.track.ID]
	i := slices.IndexFunc(claims, func(o claim) bool { return o.by == c.by })
	if i >= 0 && claims[i].says(c) {
		return nil
	}
	now := slices.DeleteFunc(slices.Clone(claims), func(o claim) bool { return o.by == c.by })
	return r.replace(c.track.ID, append(now, c))
}

// drop takes a claim back.
func (r *register) drop(by, track string) []order {
	return r.replace(track, slices.DeleteFunc(slices.Clone(r.tracks[track]), func(o claim) bool { return o.by == by }))
}

// mute changes what a claim says of muting.
func (r *register) mute(by, track string, muted bool) []order {
	for _, c := range r.tracks[track] {
		if c.by == by {
			c.muted = muted
			return r.set(c)
		}
	}
	return nil
}

// of returns the ids of the tracks that one signalling node has told of, in one room or, with an empty one, in all.
func (r *register) of(by, room string) []string {
	var ids []string
	for id, claims := range r.tracks {
		if slices.ContainsFunc(claims, func(c claim) bool { return c.by == by && (room == "" || c.room == room) }) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (r *register) replace(id string, claims []claim) []order {
	before := r.tracks[id]
	r.tracks[id] = claims
	if len(claims) == 0 {
		delete(r.tracks, id)
		if len(before) == 0 {
			return nil
		}
		return []order{func(m Media) { m.RemoveRemote(id) }}
	}
	now := claims[len(claims)-1]
	if len(before) == 0 {
		orders := []order{func(m Media) { m.AddRemote(now.room, now.track, now.from) }}
		if now.muted {
			orders = append(orders, func(m Media) { m.MuteRemote(id, true) })
		}
		return orders
	}
	was := before[len(before)-1]
	switch {
	case was.room != now.room || was.from != now.from: // it has moved
		return []order{
			func(m Media) { m.AddRemote(now.room, now.track, now.from) },
			func(m Media) { m.MuteRemote(id, now.muted) },
		}
	case was.muted != now.muted:
		return []order{func(m Media) { m.MuteRemote(id, now.muted) }}
	}
	return nil
}
