package node

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"

	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// relay is this node's side of its links with one other node: what it pulls from there and what it serves there. It
// outlives each link; pulls and outlets do not. It implements cascade.Handler.
type relay struct {
	node     *Node
	peer     string
	number   uint64 // of all that packets leave for
	in       *ingress
	sent     atomic.Uint64       // bytes of media over all links
	received atomic.Uint64       // likewise
	way      atomic.Pointer[way] // over the link of this moment, or the last; nil before the first
	share    linkShare
	pacer    pacer
	narrow   atomic.Bool   // the link must be divided at once
	resent   atomic.Uint64 // packets that the other node had lost
	voids    atomic.Uint64 // of those, what was left out on purpose: the other node could not know

	mu      sync.Mutex
	link    *cascade.Link // nil while there is none
	upSince int64         // of the link
	lost    bool          // the last link died, and there is no other yet
	needed  int64         // since when a link is asked for; 0 while nobody does, or there is one
	pulls   map[feedKey]*pull
	outlets map[feedKey]*outlet
	used    [2]map[uint32]struct{}             // the latest SSRCs that something was sent under over the link: none may begin anew under its keys
	sending atomic.Pointer[map[uint32]sending] // by SSRC; copied on write
}

// linkFor is how long a link may take to come up before whoever needs it looks elsewhere.
const linkFor = time.Second

func newRelay(n *Node, peer string) *relay {
	r := &relay{node: n, peer: peer, number: n.remotes.Add(1), in: newIngress(n, n.log), pulls: map[feedKey]*pull{}, outlets: map[feedKey]*outlet{}}
	r.in.link, r.in.payloads, r.in.twcc = true, linkPayloads(), linkNumber
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
	if isWord(b) {
		r.told(b)
		return
	}
	find := func(ssrc uint32) sending {
		s := (*r.sending.Load())[ssrc]
		return s
	}
	w, now := r.way.Load(), r.node.endpoint.Now()
	if w == nil {
		return
	}
	more := w.feedback(b, false, find, now)
	if w.heard(now) {
		r.narrow.Store(true)
	}
	if more {
		r.in.feedback(b, out, find)
	}
}

// Serves implements cascade.Handler.
func (r *relay) Serves(l *cascade.Link) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.outlets {
		if o.link == l && o.asked.Load() != 0 {
			return true
		}
	}
	return false
}

// Up implements cascade.Handler: what waits for the link is pulled.
func (r *relay) Up(l *cascade.Link) {
	now := r.node.endpoint.Now()
	r.mu.Lock()
	r.link, r.upSince, r.lost, r.needed = l, now, false, 0
	r.used = [2]map[uint32]struct{}{{}, {}}
	r.mu.Unlock()
	r.way.Store(newLinkWay(r.node, r.way.Load(), now))
	r.in.restart()
	r.in.transport.Store(l.Transport())
	r.in.rtt.Store(int64(l.Transport().RoundTrip()))
	r.node.log.Info("link up", "peer_node", r.peer)
	r.node.reviewFeeds(true, now)
}

// Down implements cascade.Handler: what was pulled over the link is pulled from others. What was served is kept for a
// while: whoever it was served to may come another way.
func (r *relay) Down(l *cascade.Link) {
	now := r.node.endpoint.Now()
	r.mu.Lock()
	if r.link != l {
		r.mu.Unlock()
		return
	}
	r.link, r.lost = nil, true
	served := slices.Collect(maps.Values(r.outlets))
	cut := slices.Collect(maps.Values(r.pulls))
	r.mu.Unlock()
	r.in.transport.Store(nil)
	r.node.log.Info("link down", "peer_node", r.peer)
	for _, p := range cut {
		p.feed.review(now)
	}
	for _, o := range served {
		o.track.hold(o.wants(o.track), now+int64(brokenFor))
		r.drop(o)
	}
}

// current returns the link of this moment, or nil.
func (r *relay) current() *cascade.Link {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.link
}

// reach is how the other node can be reached.
func (r *relay) reach(now int64) reach {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.link != nil:
		return reached
	case r.lost, r.needed != 0 && now-r.needed > int64(linkFor):
		return cut
	}
	return coming
}

// steady reports whether the link has been there for some time.
func (r *relay) steady(now int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.link != nil && now-r.upSince >= int64(steadyFor)
}

// need has a link made where there is none.
func (r *relay) need(now int64) {
	r.mu.Lock()
	down := r.link == nil
	if down && r.needed == 0 {
		r.needed = now
	}
	r.mu.Unlock()
	if down {
		r.node.links.Need(r.peer)
	}
}

func (r *relay) add(p *pull) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pulls[p.feed.key()] = p
}

func (r *relay) remove(p *pull) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if key := p.feed.key(); r.pulls[key] == p {
		delete(r.pulls, key)
	}
}

// send tells the other node what is wanted of a track. The feed's mutex is held.
func (r *relay) send(p *pull) {
	p.sent.Store(uint32(p.Layers))
	if err := p.link.Send(p.Pull); err != nil {
		r.node.log.Debug("pull", "peer_node", r.peer, "error", err)
	}
}

// Gone implements cascade.Handler.
func (r *relay) Gone(l *cascade.Link, g cascade.Gone) {
	for _, p := range r.refused(g) {
		why := g.Reason
		if g.Origin == "" && p.feed.origin != r.peer {
			why = cascade.Unreachable // an older node: it has only tracks of its own
		}
		if p.link == l {
			r.node.log.Debug("a pull is not served", "peer_node", r.peer, "track", g.Track, "reason", why)
			p.feed.turnedDown(p, why, r.node.endpoint.Now())
		}
	}
}

// refused returns the pulls that a Gone means.
func (r *relay) refused(g cascade.Gone) (pulls []*pull) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, p := range r.pulls {
		if key.track == g.Track && (g.Origin == "" || g.Origin == key.origin) {
			pulls = append(pulls, p)
		}
	}
	return pulls
}

// tick asks for what was lost on the link and passes clocks on.
func (r *relay) tick(count uint64, now int64) {
	r.in.tick(count, now)
	if r.narrow.Swap(false) || count%divideEvery == 0 {
		r.divide(now)
	}
	if count%reportTicks != 0 {
		return
	}
	var reports []rtcp.Packet
	for _, o := range r.served() {
		reports = append(reports, o.senderReports(now)...)
	}
	for some := range slices.Chunk(reports, maxReports) {
		r.in.sendRTCP(some...)
	}
}
