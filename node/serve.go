package node

import (
	"cmp"
	"maps"
	"slices"

	"github.com/parley-sfu/parley/cascade"
)

// maxTransit bounds the tracks that are pulled only for other nodes, whatever those ask for.
const maxTransit = 4096

// maxUsed is how many SSRCs a link remembers at least: those of pulls that may still be on their way.
const maxUsed = 4096

// Pulled implements cascade.Handler: the other node wants layers of a track, or none any more.
func (r *relay) Pulled(l *cascade.Link, p cascade.Pull) {
	o := r.outlet(feedKey{p.Track, cmp.Or(p.Origin, r.node.id)})
	if o != nil && (o.link != l || o.track.gone.Load() || o.renamed(&p)) {
		o.track.hold(o.wants(o.track), r.node.endpoint.Now()+int64(brokenFor))
		r.drop(o)
		o = nil
	}
	if o == nil && p.Layers != 0 {
		var why cascade.Reason
		if o, why = r.serve(l, &p); o == nil {
			r.turnDown(l, &p, why)
		}
	}
	if o == nil {
		if p.Layers == 0 && r.node.knows(p.Origin) {
			r.node.relay(p.Origin).need(r.node.endpoint.Now())
		}
		return
	}
	o.show(&p, r.node.endpoint.Now())
	if p.Layers == 0 && o.feed != nil {
		r.drop(o) // a track that is only passed on is given up
	}
}

// turnDown says that a pull is not served.
func (r *relay) turnDown(l *cascade.Link, p *cascade.Pull, why cascade.Reason) {
	if err := l.SendGone(cascade.Gone{Group: p.Group, Track: p.Track, Origin: p.Origin, Reason: why}); err != nil {
		r.node.log.Debug("answer a pull", "error", err)
	}
}

func (r *relay) outlet(key feedKey) *outlet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outlets[key]
}

// serve begins to serve a pull. It returns no outlet, and why, when that cannot be.
func (r *relay) serve(l *cascade.Link, p *cascade.Pull) (*outlet, cascade.Reason) {
	if p.Origin == "" || p.Origin == r.node.id {
		if slices.Contains(p.Path, r.node.id) {
			return nil, cascade.Loop
		}
		t := r.node.own(p.Group, p.Track)
		if t == nil {
			return nil, cascade.Ended
		}
		return r.open(newOutlet(r, l, t, nil, p))
	}
	f, why := r.node.transit(r.peer, p)
	if f == nil {
		return nil, why
	}
	return r.open(newOutlet(r, l, f.track, f, p))
}

// open takes an outlet in. One of an own track stays until the track or the link ends, even while nothing of it is wanted:
// its streams know how far their SSRCs have come under the link's keys. An SSRC that is, or was, another
// stream's is refused.
func (r *relay) open(o *outlet) (*outlet, cascade.Reason) {
	r.mu.Lock()
	fits := r.link == o.link
	for rank := range o.track.layers {
		s := o.streams[rank]
		fits = fits && r.take(s.media.SSRC) && r.take(s.repair.SSRC)
	}
	if fits {
		r.outlets[o.key] = o
		r.relabel()
	}
	r.mu.Unlock()
	if fits {
		return o, ""
	}
	if o.feed != nil {
		o.feed.release(r.peer)
	}
	return nil, cascade.Unreachable
}

// take notes that an SSRC is used, and reports whether it was not before. mu is held.
func (r *relay) take(ssrc uint32) bool {
	_, now := r.used[0][ssrc]
	_, before := r.used[1][ssrc]
	if now || before || (*r.sending.Load())[ssrc] != nil {
		return false
	}
	if len(r.used[0]) >= maxUsed {
		r.used = [2]map[uint32]struct{}{{}, r.used[0]}
	}
	r.used[0][ssrc] = struct{}{}
	return true
}

// drop ends an outlet. Only the first to do so counts.
func (r *relay) drop(o *outlet) {
	r.mu.Lock()
	if r.outlets[o.key] != o {
		r.mu.Unlock()
		return
	}
	delete(r.outlets, o.key)
	r.relabel()
	r.mu.Unlock()
	o.ask(0, 0, r.node.endpoint.Now())
	o.track.room.wakeAll()
	if o.feed != nil {
		o.feed.release(r.peer)
	}
}

// relabel makes the list of what is sent under which SSRC anew. mu is held.
func (r *relay) relabel() {
	all := map[uint32]sending{}
	for _, o := range r.outlets {
		for rank := range o.track.layers {
			s := o.streams[rank]
			all[s.media.SSRC], all[s.repair.SSRC] = s, s
		}
	}
	r.sending.Store(&all)
}

// served returns the outlets of this moment.
func (r *relay) served() []*outlet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.outlets))
}

// turnAway ends all outlets of a track, and says why.
func (n *Node) turnAway(t *published, why cascade.Reason) {
	for _, r := range n.relayList() {
		for _, o := range r.served() {
			if o.track == t {
				r.drop(o)
				r.turnDown(o.link, &cascade.Pull{Group: t.room.id, Track: t.ID, Origin: o.key.origin}, why)
			}
		}
	}
}

// own finds a track that a participant of this node publishes, also one that another node is taking over.
func (n *Node) own(roomID, track string) *published {
	n.mu.Lock()
	r := n.rooms[roomID]
	n.mu.Unlock()
	if r == nil {
		return nil
	}
	for _, t := range r.carried() {
		if !t.remote() && t.ID == track && !t.gone.Load() {
			return t
		}
	}
	return nil
}

// transit finds a track of another node that is to be passed on, or begins to pull it for that.
func (n *Node) transit(peer string, p *cascade.Pull) (*feed, cascade.Reason) {
	known := n.knows(p.Origin)
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.feeds[feedKey{p.Track, p.Origin}]
	switch {
	case n.closed:
		return nil, cascade.Unreachable
	case f == nil:
		t, ok := trackOf(p)
		if !ok || !known || len(n.feeding) >= maxTransit && n.transitsLocked() >= maxTransit {
			return nil, cascade.Unreachable
		}
		f = n.feedLocked(p.Group, t, p.Origin)
		f.track.room.carry(f.track)
	case f.track.room.id != p.Group || len(f.track.layers) != max(1, len(p.RIDs)):
		return nil, cascade.Unreachable
	}
	if why, ok := f.admit(peer, p); !ok {
		return nil, why
	}
	return f, ""
}

// knows reports whether there is another node of a name.
func (n *Node) knows(id string) bool {
	if id == "" || id == n.id {
		return false
	}
	_, ok := n.directory.Lookup(id)
	return ok
}

func (n *Node) transitsLocked() (count int) {
	for f := range n.feeding {
		if n.remote[f.track.ID] != f {
			count++
		}
	}
	return count
}

// trackOf is the track that a pull describes.
func trackOf(p *cascade.Pull) (Track, bool) {
	source := Source(p.Source)
	return Track{ID: p.Track, ParticipantID: p.Participant, Kind: source.Kind(), Source: source, Layers: p.RIDs}, source.Kind() != ""
}
