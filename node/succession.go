package node

import (
	"slices"
	"time"
)

// A participant who moves to another node, or comes back after its node has died, goes on under the same track ids: what
// it publishes there is another stream (other sequence numbers, timestamps, maybe layers) of the same track. The new
// stream takes the old one's place in the room at once. Slots are bound to it and go on showing the old one until the new
// one has a place where a decoder can start; nobody sees an empty slot or a pause.

// succeedFor bounds how long the old stream is kept: after the new one has begun to come, and after its owner has given
// it up.
const succeedFor = 5 * time.Second

// publish adds a track and lets the worker show it, or lets it take over from the stream that the room has of the track.
func (r *room) publish(t *published) {
	r.mu.Lock()
	r.publishLocked(t)
	r.mu.Unlock()
	r.wakeAll()
}

func (r *room) publishLocked(t *published) {
	r.others = slices.DeleteFunc(r.others, func(o *published) bool { return o == t })
	t.orphaned, t.liveFrom = 0, 0
	i := r.indexLocked(t.ID)
	if i < 0 {
		r.order++
		t.order = r.order
		r.tracks = append(r.tracks, t)
		return
	}
	old := r.tracks[i]
	if old == t {
		return
	}
	r.tracks[i] = t
	if old.before != nil && old.before != t {
		r.dismissLocked(old.before)
	}
	old.before, t.before, t.order = nil, old, old.order
	if t.remote() {
		t.muted.Store(old.muted.Load()) // until MuteRemote says otherwise
	}
	r.others = append(r.others, old)
}

func (r *room) indexLocked(track string) int {
	return slices.IndexFunc(r.tracks, func(t *published) bool { return t.ID == track })
}

// carry takes in a track that is only passed on to other nodes: nobody here is shown it before publish.
func (r *room) carry(t *published) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.others = append(r.others, t)
}

// unpublish takes a stream away that its owner has given up. What it took over from comes back, if that still goes on. A
// stream that another one is taking over from is kept for as long as it is needed and comes.
func (r *room) unpublish(t *published) {
	now := r.node.endpoint.Now()
	r.mu.Lock()
	i := slices.Index(r.tracks, t)
	switch {
	case i < 0:
		t.orphaned = now
		if !t.remote() {
			r.dismissLocked(t)
		}
	case t.before != nil && t.before.orphaned == 0:
		r.tracks[i] = t.before
		r.others = slices.DeleteFunc(r.others, func(o *published) bool { return o == t.before })
		t.before = nil
	default:
		if t.before != nil {
			r.dismissLocked(t.before)
		}
		t.before = nil
		r.tracks = slices.Delete(r.tracks, i, i+1)
	}
	if t.remote() && i >= 0 {
		r.others = append(r.others, t) // it may still be passed on
	}
	r.mu.Unlock()
	r.wakeAll()
}

// dismissLocked lets go of a stream that another has taken over from. Of a participant of this node nothing more is
// shown; what comes from another node is ended once nobody wants it (Node.reviewFeeds).
func (r *room) dismissLocked(old *published) {
	for _, t := range r.tracks {
		if t.before == old {
			t.before = nil
		}
	}
	if !old.remote() {
		r.others = slices.DeleteFunc(r.others, func(o *published) bool { return o == old })
	}
}

// keeps reports whether a stream of another node is shown here, or may be.
func (r *room) keeps(t *published) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.tracks, func(o *published) bool { return o == t || o.before == t })
}

// forget takes a track of another node out for good.
func (r *room) forget(t *published) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, list := range []*[]*published{&r.tracks, &r.others} {
		*list = slices.DeleteFunc(*list, func(o *published) bool { return o == t })
	}
	for _, o := range r.tracks {
		if o.before == t {
			o.before = nil
		}
	}
}

// settle ends successions: when every slot shows the new stream, or after a time.
func (r *room) settle(now int64) {
	r.mu.Lock()
	settled := false
	for _, t := range r.tracks {
		old := t.before
		if old == nil {
			continue
		}
		if t.liveFrom == 0 && t.live(now) {
			t.liveFrom = now
		}
		over := t.liveFrom != 0 && (!old.needed() || now-t.liveFrom > int64(succeedFor)) ||
			old.orphaned != 0 && (!old.live(now) || now-old.orphaned > int64(succeedFor))
		if over {
			r.dismissLocked(old)
			settled = true
		}
	}
	r.mu.Unlock()
	if settled {
		r.wakeAll()
	}
}

// predecessor is the stream that a track is taking over from, or nil.
func (r *room) predecessor(t *published) *published {
	r.mu.Lock()
	defer r.mu.Unlock()
	return t.before
}
