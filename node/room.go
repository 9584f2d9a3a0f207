package node

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/parley-sfu/parley/internal/mailbox"
)

// room is the peers of one meeting on this node. Its worker decides what every slot shows; it runs only while somebody
// may need another decision.
type room struct {
	id   string
	node *Node
	tell mailbox.Mailbox // calls of RoomEvents

	remotes int // tracks of other nodes; guarded by the node's mutex

	mu     sync.Mutex // guards what follows, every slot's wish, and who is attached to which layer
	peers  map[string]*Peer
	groups [reportGroups]map[*Peer]struct{} // the same, by Peer.group
	tracks []*published                     // in the order of publication, each once: the stream that is, or is to be, shown
	others []*published                     // streams that are taken over from, and tracks that are only passed on to other nodes
	order  uint64
	recent []string // participants who spoke, the latest first
	loud   []string // track ids of the microphones forwarded where there are more than fit; nil where there are not

	hearing hearing

	dirtyMu sync.Mutex
	dirty   map[*Peer]struct{}
	all     bool // everyone is dirty
	listens bool // who speaks is to be looked at
	running bool
}

// maxRecent bounds how many past speakers keep a place in front of the others.
const maxRecent = 16

func newRoom(n *Node, id string) *room {
	r := &room{id: id, node: n, peers: map[string]*Peer{}, dirty: map[*Peer]struct{}{}}
	for i := range r.groups {
		r.groups[i] = map[*Peer]struct{}{}
	}
	r.hearing.bar.Store(127)
	return r
}

// add takes a peer in and returns the one it replaces, if any.
func (r *room) add(p *Peer) (old *Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old = r.peers[p.id]; old != nil {
		delete(r.groups[old.group], old)
	}
	r.peers[p.id] = p
	r.groups[p.group][p] = struct{}{}
	return old
}

// remove takes a peer out. Nothing here leads to it any more, nor from it to anybody else.
func (r *room) remove(p *Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.peers[p.id] == p {
		delete(r.peers, p.id)
		delete(r.groups[p.group], p)
	}
	for _, s := range p.slotList() {
		s.drawLocked([len(s.drawn)]*layer{})
		s.leave()
	}
}

func (r *room) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.peers)
}

func (r *room) everyone() []*Peer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.peers))
}

// watched reports whether anybody here receives anything: who speaks decides what is seen, too.
func (r *room) watched() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.peers {
		if len(p.slotList()) > 0 {
			return true
		}
	}
	return false
}

// carried returns all streams of this moment, also those that nobody here is shown.
func (r *room) carried() []*published {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.tracks, r.others)
}

// published returns the tracks of this moment.
func (r *room) published() []*published {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.tracks)
}

// wake has the worker look at one peer's slots again. It never blocks.
func (r *room) wake(p *Peer) {
	r.dirtyMu.Lock()
	defer r.dirtyMu.Unlock()
	r.dirty[p] = struct{}{}
	r.startLocked()
}

// wakeAll has the worker look at everyone's slots again. It never blocks.
func (r *room) wakeAll() {
	r.dirtyMu.Lock()
	defer r.dirtyMu.Unlock()
	r.all = true
	r.startLocked()
}

// attend has the worker look at who speaks. It never blocks.
func (r *room) attend() {
	r.dirtyMu.Lock()
	defer r.dirtyMu.Unlock()
	r.listens = true
	r.startLocked()
}

func (r *room) startLocked() {
	if !r.running {
		r.running = true
		go r.work()
	}
}

// work is the room's worker.
func (r *room) work() {
	for {
		peers, listens, ok := r.takeDirty()
		if !ok {
			return
		}
		now := r.node.endpoint.Now()
		if listens {
			r.listen(now)
		}
		for _, p := range peers {
			r.assign(p, now)
		}
		r.tellWanted(now)
	}
}

func (r *room) takeDirty() (peers []*Peer, listens, ok bool) {
	r.dirtyMu.Lock()
	all, some, listens := r.all, r.dirty, r.listens
	r.all, r.dirty, r.listens = false, map[*Peer]struct{}{}, false
	if !all && len(some) == 0 && !listens {
		r.running = false
		r.dirtyMu.Unlock()
		return nil, false, false
	}
	r.dirtyMu.Unlock()
	if all {
		return r.everyone(), listens, true
	}
	return slices.Collect(maps.Keys(some)), listens, true
}

// spoke moves participants to the front of those who spoke of late. It reports whether the order changed.
func (r *room) spoke(speakers []Speaker) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	recent := make([]string, 0, maxRecent)
	for _, s := range speakers {
		recent = append(recent, s.ParticipantID)
	}
	for _, id := range r.recent {
		if len(recent) < maxRecent && !slices.Contains(recent, id) {
			recent = append(recent, id)
		}
	}
	changed := !slices.Equal(recent, r.recent)
	r.recent = recent
	return changed
}

// candidatesLocked lists the tracks of one kind that a peer may be shown, the most important first. A peer's own tracks are never among
// them.
func (r *room) candidatesLocked(p *Peer, kind Kind) []*published {
	var tracks []*published
	for _, t := range r.tracks {
		if t.Kind == kind && t.ParticipantID != p.id && !t.voice.hushed.Load() {
			tracks = append(tracks, t)
		}
	}
	slices.SortStableFunc(tracks, func(a, b *published) int { return r.rankLocked(a).compare(r.rankLocked(b)) })
	return tracks
}

// standing is a track's place among those of its room.
type standing struct {
	importance int
	order      uint64 // among equals
}

func (t *published) standing() standing {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	return t.room.rankLocked(t)
}

func (r *room) rankLocked(t *published) standing { return standing{r.importanceLocked(t), t.order} }

func (s standing) compare(o standing) int {
	return cmp.Or(cmp.Compare(s.importance, o.importance), cmp.Compare(s.order, o.order))
}

// importanceLocked ranks tracks: what is shared comes first, then who speaks or spoke, then the others, and muted ones last.
func (r *room) importanceLocked(t *published) int {
	const last = 1 << 20
	switch {
	case t.muted.Load():
		return last
	case t.Source == Screen:
		return 0
	case t.Source == ScreenAudio && t.layers[0].live(r.node.endpoint.Now()):
		return 0
	case t.Source == ScreenAudio: // between two shares it takes no place
		return last - 1
	case t.Kind == Audio:
		if i := slices.Index(r.loud, t.ID); i >= 0 {
			return 1 + i
		}
		return last - 1
	}
	if i := slices.Index(r.recent, t.ParticipantID); i >= 0 {
		return 1 + i
	}
	return last - 1
}
