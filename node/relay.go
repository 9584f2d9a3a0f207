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
	node     *Node
	peer     string
	in       *ingress
	sent     atomic.Uint64 // bytes of media over all links
	received atomic.Uint64 // likewise

	sendMu sync.Mutex // held while a pull is sent, so that the last to be sent is the last wish; before mu

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
func (r *relay) RTP(run []*packet.Packet, out *udp.Batch) {
	bytes := 0
	for _, p := range run {
		bytes += len(p.Buf)
	}
	r.received.Add(uint64(bytes))
	r.in.take(run, out)
}

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
	t := r.node.local(p.Group, p.Track)
	o := r.outlet(p.Track)
	if o != nil && (o.link != l || o.track != t || o.streams[0].media.SSRC != p.Streams[0].Media) {
		r.drop(o)
		o = nil
	}
	if o == nil && t != nil && p.Layers != 0 {
		o = newOutlet(r, l, t, p)
		if !r.serve(o) {
			o = nil
		}
	}
	switch {
	case o != nil:
		o.show(p.Layers, r.node.endpoint.Now())
	case p.Layers != 0:
		if err := l.SendGone(cascade.Gone{Group: p.Group, Track: p.Track}); err != nil {
			r.node.log.Debug("answer a pull", "error", err)
		}
	}
}

func (r *relay) outlet(track string) *outlet {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outlets[track]
}

// serve begins to serve an outlet, which stays until its track or its link ends, even while nothing of it is wanted: its
// streams know how far their SSRCs have come under the link's keys. It returns false when one of the SSRCs is another
// stream's.
func (r *relay) serve(o *outlet) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := maps.Clone(*r.sending.Load())
	for rank := range o.track.layers {
		s := o.streams[rank]
		if all[s.media.SSRC] != nil || all[s.repair.SSRC] != nil {
			return false
		}
		all[s.media.SSRC], all[s.repair.SSRC] = s, s
	}
	r.outlets[o.track.ID] = o
	r.sending.Store(&all)
	return true
}

// drop ends an outlet.
func (r *relay) drop(o *outlet) {
	o.ask(0)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outlets[o.track.ID] != o {
		return
	}
	delete(r.outlets, o.track.ID)
	all := maps.Clone(*r.sending.Load())
	for rank := range o.track.layers {
		delete(all, o.streams[rank].media.SSRC)
		delete(all, o.streams[rank].repair.SSRC)
	}
	r.sending.Store(&all)
}

// served returns the outlets of tracks that are still there, and drops the others.
func (r *relay) served() []*outlet {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.outlets))
	r.mu.Unlock()
	return slices.DeleteFunc(all, func(o *outlet) bool {
		over := r.node.local(o.track.room.id, o.track.ID) != o.track
		if over {
			r.drop(o)
		}
		return over
	})
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
	r.sendMu.Lock()
	defer r.sendMu.Unlock()
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
	r.mu.Unlock()
	for _, p := range again {
		r.send(p)
	}
	if count%reportTicks == 0 {
		for _, o := range r.served() {
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
	p := &pull{track: pub, Pull: cascade.Pull{Group: rm.id, Track: t.ID, Streams: r.in.expect(pub)}}
	r.mu.Lock()
	r.pulls[t.ID] = p
	r.mu.Unlock()
	rm.publish(pub)
}

// shows says whether a track is shown from the other node.
func (r *relay) shows(track string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pulls[track] != nil
}

// remove ends a track of the other node.
func (r *relay) remove(track string) {
	r.mu.Lock()
	p := r.pulls[track]
	if p == nil {
		r.mu.Unlock()
		return
	}
	delete(r.pulls, track)
	pulled := p.Layers != 0
	p.Layers = 0
	r.mu.Unlock()
	p.track.room.unpublish(p.track)
	p.track.close()
	r.in.forget(p.track)
	if pulled {
		r.send(p)
	}
}
