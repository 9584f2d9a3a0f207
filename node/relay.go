package node

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// relay is this node's side of its links with one other node: what it pulls from there and what it serves there. It
// outlives each link, and pulls everything again over the next. It implements cascade.Handler, and publisher for the
// tracks that it pulls.
type relay struct {
	node      *Node
	peer      string
	in        *ingress
	sentBytes counter

	mu      sync.Mutex
	link    *cascade.Link // nil while there is none
	pulls   map[string]*pull
	outlets map[string]*outlet
	sending atomic.Pointer[map[uint32]sending] // by SSRC; copied on write
}

// pull is a track of the other node that this one shows.
type pull struct {
	cascade.Pull
	track   *published
	refused int64 // when the other node last said that it does not have the track; 0 otherwise
}

// counter counts bytes of a link; ours alone, since links come and go.
type counter struct{ atomic.Uint64 }

// Add adds n, which is not negative.
func (c *counter) Add(n int) { c.Uint64.Add(uint64(n)) }

// pullAgain is how long after a refusal a pull is sent again: the track may have been announced before it was there.
const pullAgain = 200 * time.Millisecond

func newRelay(n *Node, peer string) *relay {
	r := &relay{node: n, peer: peer, in: newIngress(n, n.log), pulls: map[string]*pull{}, outlets: map[string]*outlet{}}
	r.in.payloads = linkPayloads()
	r.sending.Store(&map[uint32]sending{})
	return r
}

// Wants implements cascade.Handler.
func (r *relay) Wants(h *packet.Header, b []byte) bool { return r.in.wants(h, b) }

// RTP implements cascade.Handler.
func (r *relay) RTP(run []*packet.Packet, out *udp.Batch) { r.in.take(run, out) }

// RTCP implements cascade.Handler.
func (r *relay) RTCP(b []byte, out *udp.Batch) {
	r.in.feedback(b, out, func(ssrc uint32) sending { return (*r.sending.Load())[ssrc] })
}

// Up implements cascade.Handler: everything wanted is pulled.
func (r *relay) Up(l *cascade.Link) {
	r.mu.Lock()
	r.link = l
	r.mu.Unlock()
	r.in.transport.Store(l.Transport())
	r.node.log.Info("link up", "peer_node", r.peer)
	for _, p := range r.wanted() {
		r.send(p)
	}
}

// Down implements cascade.Handler: nothing is served over a dead link, and a new one is made if something is wanted.
func (r *relay) Down(l *cascade.Link) {
	r.mu.Lock()
	if r.link != l {
		r.mu.Unlock()
		return
	}
	r.link = nil
	served := r.outlets
	r.outlets = map[string]*outlet{}
	r.sending.Store(&map[uint32]sending{})
	r.mu.Unlock()
	r.in.transport.Store(nil)
	r.node.log.Info("link down", "peer_node", r.peer)
	for _, o := range served {
		o.ask(0)
	}
	for _, p := range r.wanted() {
		r.send(p)
	}
}

// wanted returns the pulls that somebody wants.
func (r *relay) wanted() []*pull {
	r.mu.Lock()
	defer r.mu.Unlock()
	var wanted []*pull
	for _, p := range r.pulls {
		if p.Layers != 0 {
			wanted = append(wanted, p)
		}
	}
	return wanted
}

// Pulled implements cascade.Handler: the other node wants layers of a track, or none any more.
func (r *relay) Pulled(l *cascade.Link, p cascade.Pull) {
	r.mu.Lock()
	o := r.outlets[p.Track]
	r.mu.Unlock()
	if o == nil || o.link != l || o.streams[0].media.SSRC != p.Streams[0].Media {
		t := r.node.local(p.Group, p.Track)
		if t == nil {
			if p.Layers != 0 {
				if err := l.SendGone(cascade.Gone{Group: p.Group, Track: p.Track}); err != nil {
					r.node.log.Debug("answer a pull", "error", err)
				}
			}
			return
		}
		o = newOutlet(r, l, t, p)
		r.serve(p.Track, o)
	}
	now := r.node.endpoint.Now()
	for _, begun := range o.ask(p.Layers) {
		if begun.track.Kind == Video {
			begun.requestKeyframe(now)
		}
	}
	if p.Layers == 0 {
		r.serve(p.Track, nil)
	}
	o.track.room.wakeAll() // the publisher may have to send other layers
}

// serve puts an outlet in the place of an older one of the track; nil takes it away.
func (r *relay) serve(track string, o *outlet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := maps.Clone(*r.sending.Load())
	if old := r.outlets[track]; old != nil {
		for rank := range old.track.layers {
			delete(all, old.streams[rank].media.SSRC)
		}
		delete(r.outlets, track)
	}
	if o != nil {
		r.outlets[track] = o
		for rank := range o.track.layers {
			all[o.streams[rank].media.SSRC] = o.streams[rank]
		}
	}
	r.sending.Store(&all)
}

// Gone implements cascade.Handler.
func (r *relay) Gone(_ *cascade.Link, g cascade.Gone) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.pulls[g.Track]; p != nil {
		p.refused = r.node.endpoint.Now()
	}
}

// layersWanted implements publisher: the other node is asked for just these layers.
func (r *relay) layersWanted(t *published, layers uint8) {
	r.mu.Lock()
	p := r.pulls[t.ID]
	if p != nil {
		p.Layers = layers
	}
	r.mu.Unlock()
	if p != nil {
		r.send(p)
	}
}

// send tells the other node what is wanted of a track; without a link it has one made.
func (r *relay) send(p *pull) {
	r.mu.Lock()
	l, wish := r.link, p.Pull
	p.refused = 0
	r.mu.Unlock()
	switch {
	case l != nil:
		if err := l.Send(wish); err != nil {
			r.node.log.Debug("pull", "peer_node", r.peer, "error", err)
		}
	case wish.Layers != 0:
		r.node.links.Need(r.peer)
	}
}

// tick makes sure that there is a link while something is wanted, pulls again what was refused, and passes clocks on.
func (r *relay) tick(count uint64, now int64) {
	if count%reviewTicks != 0 {
		return
	}
	r.mu.Lock()
	down := r.link == nil
	var again []*pull
	for _, p := range r.pulls {
		if p.Layers != 0 && (down || p.refused != 0 && now-p.refused > int64(pullAgain)) {
			again = append(again, p)
		}
	}
	served := slices.Collect(maps.Values(r.outlets))
	r.mu.Unlock()
	for _, p := range again {
		r.send(p)
	}
	if count%reportTicks == 0 {
		for _, o := range served {
			for _, report := range o.senderReports(now) {
				r.in.sendRTCP(report)
			}
		}
	}
}

// add begins to show a track of the other node; nothing is pulled before somebody wants it.
func (r *relay) add(rm *room, t Track) {
	rids := t.Layers
	if len(rids) == 0 {
		rids = []string{""}
	}
	pub := &published{
		Track: t, in: r.in, room: rm, sender: r, ids: extensionIDs{linkLevel, linkOrientation},
	}
	pub.makeLayers(rids[:min(len(rids), maxLayers)])
	p := &pull{track: pub, Pull: cascade.Pull{Group: rm.id, Track: t.ID}}
	for rank := range pub.layers {
		p.Streams[rank] = cascade.Stream{Media: newSSRC(), Repair: newSSRC()}
	}
	r.in.expect(pub, p.Streams)
	r.mu.Lock()
	r.pulls[t.ID] = p
	r.mu.Unlock()
	rm.publish(pub)
}

// remove ends a track of the other node.
func (r *relay) remove(track string) {
	r.mu.Lock()
	p := r.pulls[track]
	delete(r.pulls, track)
	r.mu.Unlock()
	if p == nil {
		return
	}
	p.track.room.unpublish(p.track)
	p.track.close()
	r.in.forget(p.track)
	if p.Layers != 0 {
		p.Layers = 0
		r.send(p)
	}
}
