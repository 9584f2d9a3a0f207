package node

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/cascade"
)

// feed is how a track of another node comes here: from whom it is pulled, over which link, and whom else it is passed on to.
// Through any parent the packets are the same, so that a feed can change it while the track goes on. It implements
// publisher.
type feed struct {
	node   *Node
	track  *published
	origin string

	wanted atomic.Uint32        // layers, as bits
	sizes  atomic.Uint32        // likewise spatial layers of a single stream; 0 for all
	urgent atomic.Uint32        // the highest priority that a viewer has given the track
	active atomic.Pointer[pull] // that missing packets and keyframes are asked of

	mu     sync.Mutex // held while pulls are sent, so that the last to be sent is the last wish; guards what follows
	course course
	now    *pull             // nil while nothing is wanted, or nobody can be asked
	next   *pull             // takes over from now when its packets come
	have   [maxLayers]uint32 // what those have of a layer whom it is passed on to, as in cascade.Stream; for one that begins here
	ready  map[string]int64  // when a node was last asked to be ready, in case that it is needed
	ended  int64             // when the stream was said to be over; 0 before
	closed bool
}

// feedKey tells streams apart: a track whose participant moves to another node is another stream there.
type feedKey struct{ track, origin string }

// pull is a track that is being pulled from one node. The feed's mutex guards what is not atomic.
type pull struct {
	cascade.Pull
	feed    *feed
	relay   *relay
	link    *cascade.Link
	began   int64
	refused bool
	seen    [maxLayers]atomic.Int64 // when a layer's latest packet came; 0 before the first under its SSRC
	sent    atomic.Uint32           // the layers last asked for, as bits
}

const (
	// takeoverFor bounds how long a better parent may take to send its first packet.
	takeoverFor = 2 * time.Second

	// readyFor is how long a node that was asked to be ready is taken to be.
	readyFor = 10 * time.Second

	// staleFor is how long a layer must have been off to begin under new SSRCs: before half of all sequence numbers can have
	// gone by unseen, after which both ends of a link would no longer agree on the rollover counter (RFC 3711).
	staleFor = 30 * time.Second

	// renewAfter is when a layer that does not come any more gets them without being asked for: it may come in place of another.
	renewAfter = staleFor / 2
)

func newFeed(n *Node, r *room, t Track, origin string) *feed {
	f := &feed{node: n, origin: origin, course: course{self: n.id, origin: origin}}
	rids := t.Layers
	if len(rids) == 0 {
		rids = []string{""}
	}
	f.track = &published{Track: t, room: r, sender: f, ids: extensionIDs{linkLevel, linkOrientation, linkDescriptor}}
	f.track.makeLayers(rids[:min(len(rids), maxLayers)])
	for _, l := range f.track.layers {
		l.ssrc.Store(newSSRC())
	}
	return f
}

func (f *feed) key() feedKey { return feedKey{f.track.ID, f.origin} }

// layersWanted implements publisher: whoever the track is pulled from is asked for just these layers.
func (f *feed) layersWanted(_ *published, w wanted) {
	f.wanted.Store(uint32(w.layers))
	f.sizes.Store(uint32(w.sizes))
	f.urgent.Store(uint32(w.priority))
	f.review(f.node.endpoint.Now())
}

// refreshLayer implements publisher.
func (f *feed) refreshLayer(l *layer) {
	f.mu.Lock()
	p := f.now
	ssrc := uint32(0)
	if p != nil {
		ssrc = p.Streams[l.rank].Media
	}
	f.mu.Unlock()
	if p != nil {
		p.relay.in.sendPLI(ssrc)
	}
}

// asked reports whether missing packets are to be asked of this pull.
func (p *pull) asked() bool { return p.feed.active.Load() == p }

// review makes what is pulled what it should be. It is called whenever something may have changed, and never blocks.
func (f *feed) review(now int64) {
	parents, relays := f.node.parents(f.track.room.id, f.origin)
	f.mu.Lock()
	before := f.now
	wanted := f.reviewLocked(parents, relays, now)
	stranded := f.course.stranded(func(id string) reach { return relays[id].reach(now) }, now)
	moved := before != nil && f.now != nil && f.now != before
	f.mu.Unlock()
	if moved && f.track.scales() != nil {
		f.track.layers[0].requestKeyframe(now) // the new parent may carry sizes that the old one did not
	}
	if wanted {
		for _, id := range parents {
			relays[id].need(now) // the others as well: who is needed when this one dies must be there by then
		}
	}
	if stranded {
		f.node.turnAway(f.track, cascade.Unreachable)
		f.review(now) // for those here, another parent will do
	}
}

// reviewLocked reports whether anything is wanted.
func (f *feed) reviewLocked(parents []string, relays map[string]*relay, now int64) bool {
	layers := uint8(f.wanted.Load())
	if layers == 0 || f.closed || f.ended != 0 {
		f.now, f.next = f.end(f.now), f.end(f.next)
		f.active.Store(nil)
		return false
	}
	if f.now != nil && f.now.over() {
		f.now = f.end(f.now)
	}
	if f.next != nil && f.next.over() {
		f.next = f.end(f.next)
	}
	f.takeOverLocked(now)
	switch {
	case !f.track.needed(): // what is only kept is not begun anew
	case f.now == nil:
		to := func(id string) reach { return relays[id].reach(now) }
		f.now = f.beginLocked(relays[f.course.choose(parents, to, now)], layers, now)
	case f.next == nil:
		steady := func(id string) bool { return relays[id].steady(now) }
		f.next = f.beginLocked(relays[f.course.better(f.now.relay.peer, parents, steady, now)], layers, now)
	}
	f.active.Store(f.now)
	f.wishLocked(f.now, layers, now)
	f.wishLocked(f.next, layers, now)
	f.readyLocked(parents, relays, now)
	return true
}

// readyLocked asks the parents that would be next to have a link to the origin: a pull of nothing.
func (f *feed) readyLocked(parents []string, relays map[string]*relay, now int64) {
	for _, id := range parents {
		link := relays[id].current()
		if id == f.origin || link == nil || relays[id].in == f.source() || f.ready[id] != 0 && now-f.ready[id] < int64(readyFor) {
			continue
		}
		if f.ready == nil {
			f.ready = map[string]int64{}
		}
		f.ready[id] = now
		relays[id].send(&pull{link: link, Pull: cascade.Pull{Group: f.track.room.id, Track: f.track.ID, Origin: f.origin}})
	}
}

// source is where packets come in now, or nil. mu is held.
func (f *feed) source() *ingress {
	if f.now == nil {
		return nil
	}
	return f.now.relay.in
}

// over reports whether nothing more will come of a pull.
func (p *pull) over() bool { return p.refused || p.relay.current() != p.link }

// takeOverLocked lets the better parent replace the present one once its packets come: until then both send, and nothing
// is missed. Where nobody sends anything, time decides.
func (f *feed) takeOverLocked(now int64) {
	next := f.next
	if next == nil {
		return
	}
	waited := now - next.began
	silent := f.now == nil || now-max(f.now.latest(), f.now.began) > int64(takeoverFor/2)
	switch {
	case f.now == nil, next.latest() != 0, silent && waited > int64(takeoverFor/2):
		f.end(f.now)
		f.course.served(next.relay.peer)
		f.now, f.next = next, nil
	case waited > int64(takeoverFor):
		f.course.refused(next.relay.peer, cascade.Unreachable, now)
		f.next = f.end(next)
	}
}

// beginLocked pulls the track from a node.
func (f *feed) beginLocked(r *relay, layers uint8, now int64) *pull {
	if r == nil {
		return nil
	}
	link := r.current()
	if link == nil {
		return nil
	}
	p := &pull{feed: f, relay: r, link: link, began: now}
	p.Pull = cascade.Pull{
		Group: f.track.room.id, Track: f.track.ID, Layers: layers,
		Origin: f.origin, Participant: f.track.ParticipantID, Source: string(f.track.Source), RIDs: f.track.Layers,
		Path: f.course.path(), Priority: uint8(f.urgent.Load()), Sizes: uint8(f.sizes.Load()),
	}
	r.in.expect(p, f.track.layers)
	for rank, l := range f.track.layers {
		p.Streams[rank].Have = l.newest(f.have[rank])
	}
	f.have = [maxLayers]uint32{}
	r.add(p)
	r.send(p)
	return p
}

// newest is the number behind the newest packet of a layer that has come of late, else what others have of it.
func (l *layer) newest(others uint32) uint32 {
	_, newest, ok := l.cache.Window()
	now := l.track.room.node.endpoint.Now()
	if ok && (l.live(now) || others == 0 && now-l.lastSeen.Load() < int64(brokenFor)) {
		return uint32(newest) + 1
	}
	return others
}

// latest is when a pull's latest packet came; 0 before the first.
func (p *pull) latest() (at int64) {
	for rank := range p.seen {
		at = max(at, p.seen[rank].Load())
	}
	return at
}

// wishLocked tells a parent when other layers or sizes are wanted than before, or more or less urgently, or are to come under other SSRCs.
func (f *feed) wishLocked(p *pull, layers uint8, now int64) {
	if p == nil {
		return
	}
	renew, priority, sizes := p.stale(f.track.layers, layers, now), uint8(f.urgent.Load()), uint8(f.sizes.Load())
	if p.Layers == layers && p.Priority == priority && p.Sizes == sizes && len(renew) == 0 {
		return
	}
	if len(renew) > 0 {
		p.relay.in.expect(p, renew)
	}
	for _, l := range renew {
		p.seen[l.rank].Store(0)
	}
	for rank, l := range f.track.layers {
		p.Streams[rank].Have = l.newest(0)
	}
	p.Layers, p.Priority, p.Sizes = layers, priority, sizes
	p.relay.send(p)
}

// stale returns the layers that are not asked for and have not come for long, and so need new SSRCs.
func (p *pull) stale(all []*layer, layers uint8, now int64) (stale []*layer) {
	for rank, l := range all {
		bit, seen, after := uint8(1)<<rank, p.seen[rank].Load(), renewAfter
		if layers&bit != 0 {
			after = staleFor
		}
		if p.Layers&bit == 0 && seen != 0 && now-seen > int64(after) {
			stale = append(stale, l)
		}
	}
	return stale
}

// end ends a pull, if there is one. It returns nil.
func (f *feed) end(p *pull) *pull {
	if p == nil {
		return nil
	}
	p.relay.remove(p)
	p.relay.in.forgetPull(p)
	if p.Layers = 0; !p.over() {
		p.relay.send(p)
	}
	return nil
}

// turnedDown notes that a parent does not serve the track.
func (f *feed) turnedDown(p *pull, why cascade.Reason, now int64) {
	f.mu.Lock()
	if p != f.now && p != f.next {
		f.mu.Unlock()
		return
	}
	p.refused = true
	f.course.refused(p.relay.peer, why, now)
	over := why == cascade.Ended
	if over && f.begun() {
		f.ended = now // what comes under the track's name from now on is another stream: see Node.renew
	}
	f.mu.Unlock()
	if over {
		f.node.turnAway(f.track, cascade.Ended)
	}
	f.review(now)
}

// begun reports whether any packet has come.
func (f *feed) begun() bool {
	return slices.ContainsFunc(f.track.layers, func(l *layer) bool { return l.lastSeen.Load() != 0 })
}

// admit takes in one more node that the track is passed on to.
func (f *feed) admit(from string, p *cascade.Pull) (why cascade.Reason, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.ended != 0 {
		return cascade.Ended, false
	}
	present := ""
	if f.now != nil {
		present = f.now.relay.peer
	}
	if why, ok = f.course.admit(present, from, p.Path); !ok {
		return why, false
	}
	if f.next != nil && f.next.relay.peer != f.origin {
		f.next = f.end(f.next)
	}
	for rank := range f.track.layers {
		f.have[rank] = p.Streams[rank].Have
	}
	return "", true
}

// restarts reports whether the stream has been over for long enough to look for one that succeeds it.
func (f *feed) restarts(now int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended != 0 && now-f.ended > int64(endedFor)
}

// waits reports whether something may be about to change.
func (f *feed) waits() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wanted.Load() != 0 && f.ended == 0 && (f.now == nil || f.next != nil)
}

// release ends what admit began.
func (f *feed) release(leaf string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.course.release(leaf)
}

// idle closes a feed that nobody needs, and reports whether it did.
func (f *feed) idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.course.leaves) > 0 || f.wanted.Load() != 0 {
		return false
	}
	f.closed = true
	return true
}
