package signal

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/sfu"
	"github.com/parley-sfu/parley/signal/wire"
)

const (
	tiersProtocol = 1 // what a node must speak so that its media can be used from others; see placement.Protocol

	adoptTimeout = time.Second // for media nodes to say whether they have somebody's peer
	maxTries     = 3           // media nodes asked for one offer
	maxLastSeq   = 1 << 53     // of an event that a client says it has seen
)

// tier says where media can be, seen from one signalling node.
type tier struct {
	self  string           // the signalling node
	media bool             // it carries media too
	far   bool             // it can use the media of other nodes
	nodes []placement.Node // that live
}

// choose returns the node for a participant's media, or "" when there is none. The rule:
//
//  1. A token's candidates count in their order, but first those whose socket is this node's: who fell over to this node has
//     come for its candidates, not for those that could not be reached.
//  2. The first of them counts that lives, carries media and has not just failed the participant.
//  3. Where none does, this node's own SFU; and where it has none, the best one for the room, if possible of this region.
func (t tier) choose(room string, candidates []grant.Candidate, failed string) string {
	var own placement.Node
	byID := map[string]placement.Node{}
	for _, n := range t.nodes {
		byID[n.ID] = n
	}
	own = byID[t.self]
	for _, here := range []bool{true, false} {
		for _, c := range candidates {
			if (c.Node == t.self || c.SignalEndpoint != "" && c.SignalEndpoint == own.SignalEndpoint) != here {
				continue
			}
			n, lives := byID[c.Node]
			if c.Node != failed && t.carries(c.Node, n, lives) {
				return c.Node
			}
		}
	}
	if t.media {
		return t.self
	}
	return t.best(room, own.Region, failed)
}

// carries says whether a node can carry media for this one.
func (t tier) carries(id string, n placement.Node, lives bool) bool {
	if id == t.self {
		return t.media
	}
	return t.far && lives && n.Has(placement.RoleMedia) && n.Protocol >= tiersProtocol
}

// best picks among all nodes.
func (t tier) best(room, region, failed string) string {
	var near, far []placement.Node
	for _, n := range t.nodes {
		switch {
		case n.ID == failed || !t.carries(n.ID, n, true) || n.Draining:
		case n.Region == region:
			near = append(near, n)
		default:
			far = append(far, n)
		}
	}
	last := slices.DeleteFunc(slices.Clone(t.nodes), func(n placement.Node) bool { return !t.carries(n.ID, n, true) }) // better the one that failed than none
	for _, nodes := range [][]placement.Node{near, far, last} {
		if ranked := placement.Rank(room, nodes); len(ranked) > 0 {
			return ranked[0].ID
		}
	}
	return ""
}

// tier is where media can be now.
func (s *Service) tier() tier {
	return tier{self: s.deps.NodeID, media: s.deps.Media != nil, far: s.deps.Fleet != nil, nodes: s.deps.Cluster.Nodes()}
}

// media is the SFU of a node, or nil where there is none to be used.
func (s *Service) media(id string) Media {
	switch {
	case id == s.deps.NodeID:
		return s.deps.Media
	case s.deps.Fleet == nil || id == "":
		return nil
	}
	return s.deps.Fleet.On(id)
}

// mediaNode is the node whose SFU a participant is on, whose entry the owner writes.
func (e *entry) mediaNode(owner string) string {
	if e.Media != "" {
		return e.Media
	}
	return owner
}

// placeLocked notes where the member's media is. An empty Media in the entry stands for the node that writes it.
func (r *room) placeLocked(m *member, peer Peer, place string) {
	m.peer, m.place = peer, place
	if m.entry.Media = place; place == r.roster.self.Node {
		m.entry.Media = ""
	}
	r.placesLocked()
}

// Lost implements sfu.Losable: the member's media node is gone. The participant is sent to connect anew and to bring new
// media; until then nobody sees its tracks end, for they go on under the same ids.
func (l *listener) Lost(err error) {
	l.with(func(r *room, m *member) {
		r.log.Info("media lost", "participant_id", m.id, "media_node", m.place, "error", err)
		r.bereaveLocked(m)
	})
}

// bereaveLocked lets go of media that is lost, and has the client start anew.
func (r *room) bereaveLocked(m *member) {
	m.failed, m.bereft = m.place, true
	m.peer, m.slots, m.wanted = nil, nil, nil
	m.media++
	r.placesLocked()
	m.events, m.synced = newEventLog(r.cfg.KeptEvents), false // numbers from the beginning tell the client
	if m.session != nil {
		m.session.socket.end(wire.CloseGoingAway, "the media node is gone")
	}
}

// console lets the client of a member whose media was lost bring new media, which a hello says that it does. An offer alone
// may be of the old connection, which it tries to save: nothing could come of that on another node.
func (r *room) console(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.bereft = false
}

func (r *room) bereft(m *member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return m.bereft
}

// moveOn decides what becomes of an offer that did not reach the media node. It is true when another node can be asked with
// the same offer; where media is there already, the client has to start anew.
func (s *session) moveOn(err error, made bool) bool {
	if !errors.Is(err, sfu.ErrUnreachable) || !s.svc.deps.Bus.Connected() {
		return false
	}
	r, m := s.room, s.member
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.session != s || m.peer == nil {
		return false
	}
	s.log.Warn("a media node does not answer an offer", "media_node", m.place, "error", err)
	if !made {
		r.bereaveLocked(m)
		return false
	}
	m.failed = m.place
	return true
}

// adopt looks for media that the participant has over another signalling node, which may be dead, and takes it over: it never
// stops. The events go on from the last that the client saw, which tells it that its media is known.
func (s *session) adopt(ctx context.Context, lastSeq uint64) {
	r, m := s.room, s.member
	r.mu.Lock()
	fresh := m.stage != seated && m.peer == nil && m.session == s
	candidates, canPublish := m.claims.Nodes, m.claims.Role != grant.Viewer
	known := r.roster.view[m.id]
	r.mu.Unlock()
	if !fresh || s.svc.deps.Fleet == nil || lastSeq > maxLastSeq {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, adoptTimeout)
	defer cancel()
	for _, place := range s.svc.tier().mayHave(known.Media, candidates) {
		r.mu.Lock()
		m.media++
		cfg := node.PeerConfig{Room: r.meeting, Participant: m.id, CanPublish: canPublish, Events: &listener{r, m, m.media}, Log: s.log}
		r.mu.Unlock()
		peer, had, err := s.svc.deps.Fleet.On(place).Adopt(ctx, cfg)
		if err != nil {
			s.log.Debug("no media to take over", "media_node", place, "error", err)
			continue
		}
		if !s.adopted(peer, place, had, known, lastSeq) {
			peer.Close()
		}
		return
	}
}

// mayHave lists the nodes where a participant's media may be: where the roster has it, or else all that its token names.
func (t tier) mayHave(known string, candidates []grant.Candidate) []string {
	if known != "" {
		candidates = []grant.Candidate{{Node: known}}
	}
	var places []string
	seen := map[string]bool{t.self: true}
	for _, c := range candidates {
		for _, n := range t.nodes {
			if n.ID == c.Node && !seen[c.Node] && t.carries(n.ID, n, true) {
				seen[c.Node] = true
				places = append(places, n.ID)
			}
		}
	}
	return places
}

// adopted makes the peer the member's, with everything that its participant had.
func (s *session) adopted(peer Peer, place string, had sfu.Adopted, known entry, lastSeq uint64) bool {
	r, m := s.room, s.member
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.stage == gone || m.session != s || m.peer != nil {
		return false
	}
	if known.ID == m.id {
		m.entry.Participant, m.entry.JoinedAt = known.Participant, known.JoinedAt
	}
	for _, source := range had.Muted {
		m.entry.AudioMuted = m.entry.AudioMuted || source == node.Microphone
		m.entry.VideoMuted = m.entry.VideoMuted || source == node.Camera
	}
	m.entry.Tracks = nil
	for _, t := range had.Tracks {
		m.entry.Tracks = append(m.entry.Tracks, wireTrack(t))
	}
	m.slots, m.wanted = wireSlots(had.Slots), make(map[string]wire.Layers, len(had.Wanted))
	for track, layers := range had.Wanted {
		m.wanted[track] = wire.Layers{TrackID: track, Wanted: layers, SpatialLayers: had.Spatial[track]}
	}
	m.events.seq = max(m.events.seq, lastSeq)
	r.placeLocked(m, peer, place)
	return true
}

// hears says whether the speaker order of an SFU is the one to pass on. All of them hear the whole room, so the orders are
// nearly the same: it is the first, by name, of those that members of this node are on.
func (r *room) hearsLocked(from string) bool {
	first := ""
	for _, m := range r.members {
		if m.peer != nil && (first == "" || m.place < first) {
			first = m.place
		}
	}
	return first == "" || first == from
}
