package signal

import (
	"cmp"
	"encoding/json"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

// entry is everything that a room knows of one participant. It is a value: whoever changes it copies the slice too.
type entry struct {
	wire.Participant
	State    State        `json:"state"`
	JoinedAt time.Time    `json:"joined_at"`
	Since    int64        `json:"since"` // grows with each session; where two nodes claim a participant, the newer has it
	Tracks   []wire.Track `json:"tracks,omitempty"`
	Media    string       `json:"media,omitempty"` // the node whose SFU it is on; empty: the one that writes the entry
}

// seated says whether the participant is in the room, and not in the lobby.
func (e *entry) seated() bool { return e != nil && e.State != Waiting }

func (e *entry) identity() wire.Identity {
	return wire.Identity{ID: e.ID, DisplayName: e.DisplayName, Role: e.Role}
}

// lock is the room's lock. Any node may write it; the newer write wins, the higher node name among equals.
type lock struct {
	Locked   bool   `json:"locked"`
	Revision uint64 `json:"revision"`
	Node     string `json:"node"`
}

func (l lock) newer(than lock) bool {
	return l.Revision > than.Revision || l.Revision == than.Revision && l.Node > than.Node
}

// update is one step of a node's part of a room's roster, or says where the part stands. A node is the only writer of its
// part: the versions of its steps have no holes, so a reader knows when it missed one.
type update struct {
	Node        string          `json:"node"`
	Incarnation int64           `json:"incarnation"` // grows each time the node opens the room
	Version     uint64          `json:"version"`
	Step        bool            `json:"step,omitempty"` // this update made the version; else it only tells it
	Set         *entry          `json:"set,omitempty"`
	Gone        string          `json:"gone,omitempty"`
	Chat        *wire.Chat      `json:"chat,omitempty"`
	Digest      uint64          `json:"digest,omitempty"` // of the whole part; not in steps
	Ask         bool            `json:"ask,omitempty"`    // asks the others to tell where their parts stand
	Lock        *lock           `json:"lock,omitempty"`
	Settings    *grant.Settings `json:"settings,omitempty"`
	Ended       bool            `json:"ended,omitempty"`
	Closed      bool            `json:"closed,omitempty"` // the node has nobody in the room any more; its part is void
}

// part is one node's part of a room's roster.
type part struct {
	Node        string           `json:"node"`
	Incarnation int64            `json:"incarnation"`
	Version     uint64           `json:"version"`
	Entries     map[string]entry `json:"entries"`
	Chats       []numberedChat   `json:"chats,omitempty"` // the newest, for readers who missed their steps

	heard  time.Time
	sum    uint64 // the digest, while summed
	summed bool
}

// numberedChat is a chat message with the version of its step.
type numberedChat struct {
	Version uint64    `json:"version"`
	Chat    wire.Chat `json:"chat"`
}

// keptChats is how many chat messages a part has for readers who missed some.
const keptChats = 32

// change is what became of one participant in the eyes of the room. Before or after is nil when it was or is not there.
type change struct {
	before, after *entry
}

func (c change) id() string {
	if c.after != nil {
		return c.after.ID
	}
	return c.before.ID
}

// roster is who is in a room, on all nodes: the parts of the nodes and the view that follows from them. It is pure
// book-keeping, not safe for concurrent use.
type roster struct {
	self  *part
	parts map[string]*part // of the other nodes
	view  map[string]entry // of each participant, what its newest session says
}

func newRoster(node string, incarnation int64) *roster {
	return &roster{
		self:  &part{Node: node, Incarnation: incarnation, Entries: map[string]entry{}},
		parts: map[string]*part{},
		view:  map[string]entry{},
	}
}

// put writes one of this node's own participants.
func (r *roster) put(e entry) (update, []change) {
	r.self.Entries[e.ID] = e
	r.self.summed = false
	step := r.step()
	step.Set = &e
	return step, r.merge(e.ID)
}

// drop forgets one of this node's own participants.
func (r *roster) drop(id string) (update, []change) {
	delete(r.self.Entries, id)
	r.self.summed = false
	step := r.step()
	step.Gone = id
	return step, r.merge(id)
}

// say makes a step of a chat message.
func (r *roster) say(chat wire.Chat) update {
	step := r.step()
	step.Chat = &chat
	r.self.Chats = append(r.self.Chats, numberedChat{Version: step.Version, Chat: chat})
	if len(r.self.Chats) > keptChats {
		r.self.Chats = slices.Clone(r.self.Chats[1:])
	}
	return step
}

func (r *roster) step() update {
	r.self.Version++
	return update{Node: r.self.Node, Incarnation: r.self.Incarnation, Version: r.self.Version, Step: true}
}

// standing tells where this node's part stands.
func (r *roster) standing() update {
	return update{
		Node: r.self.Node, Incarnation: r.self.Incarnation, Version: r.self.Version, Digest: r.self.digest(),
	}
}

// apply takes another node's update over. It is false when the update does not follow on what is known: then the whole
// part must be pulled.
func (r *roster) apply(u update, now time.Time) (changes []change, chats []wire.Chat, inStep bool) {
	p := r.parts[u.Node]
	if p == nil || u.Incarnation > p.Incarnation {
		first := u.Step && u.Version == 1 || !u.Step && u.Version == 0
		if !first {
			return nil, nil, false
		}
		changes = r.forget(u.Node)
		p = &part{Node: u.Node, Incarnation: u.Incarnation, Entries: map[string]entry{}}
		r.parts[u.Node] = p
	}
	if u.Incarnation < p.Incarnation {
		return nil, nil, true
	}
	p.heard = now
	switch {
	case !u.Step:
		return changes, nil, u.Version < p.Version || u.Version == p.Version && u.Digest == p.digest()
	case u.Version <= p.Version:
		return changes, nil, true
	case u.Version > p.Version+1:
		return changes, nil, false
	}
	p.Version = u.Version
	more, chats := r.take(p, u)
	return append(changes, more...), chats, true
}

func (r *roster) take(p *part, u update) ([]change, []wire.Chat) {
	p.summed = p.summed && u.Set == nil && u.Gone == ""
	switch {
	case u.Set != nil:
		p.Entries[u.Set.ID] = *u.Set
		return r.merge(u.Set.ID), nil
	case u.Gone != "":
		delete(p.Entries, u.Gone)
		return r.merge(u.Gone), nil
	case u.Chat != nil:
		return nil, []wire.Chat{*u.Chat}
	}
	return nil, nil
}

// replace takes another node's whole part over, unless a newer one is known. It returns also the chat messages whose
// steps were missed.
func (r *roster) replace(p part, now time.Time) ([]change, []wire.Chat) {
	old := r.parts[p.Node]
	if old != nil && (p.Incarnation < old.Incarnation || p.Incarnation == old.Incarnation && p.Version < old.Version) {
		return nil, nil
	}
	var missed []wire.Chat
	if old != nil && old.Incarnation == p.Incarnation {
		for _, c := range p.Chats {
			if c.Version > old.Version {
				missed = append(missed, c.Chat)
			}
		}
	}
	if p.Entries == nil {
		p.Entries = map[string]entry{}
	}
	p.heard, p.Chats = now, nil
	r.parts[p.Node] = &p
	ids := maps.Clone(p.Entries)
	if old != nil {
		maps.Copy(ids, old.Entries)
	}
	return r.mergeAll(ids), missed
}

// forget drops another node's part.
func (r *roster) forget(node string) []change {
	p := r.parts[node]
	if p == nil {
		return nil
	}
	delete(r.parts, node)
	return r.mergeAll(p.Entries)
}

// closed drops another node's part of which the node says that it is void.
func (r *roster) closed(u update) []change {
	if p := r.parts[u.Node]; p == nil || p.Incarnation > u.Incarnation {
		return nil
	}
	return r.forget(u.Node)
}

// silent returns the nodes that were not heard since.
func (r *roster) silent(since time.Time) []string {
	var nodes []string
	for name, p := range r.parts {
		if p.heard.Before(since) {
			nodes = append(nodes, name)
		}
	}
	return nodes
}

// ownerOf returns the node whose part has the newest session of a participant.
func (r *roster) ownerOf(id string) (node string, ok bool) {
	best, found := r.self.Entries[id]
	node = r.self.Node
	for name, p := range r.parts {
		e, has := p.Entries[id]
		if has && (!found || e.Since > best.Since || e.Since == best.Since && name > node) {
			best, found, node = e, true, name
		}
	}
	return node, found
}

// writer returns the node of which the view of a participant is, and the version of its part.
func (r *roster) writer(id string) (node string, version uint64) {
	node, _ = r.ownerOf(id)
	if p := r.parts[node]; p != nil {
		return node, p.Version
	}
	return node, r.self.Version
}

func (r *roster) mergeAll(ids map[string]entry) []change {
	var changes []change
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		changes = append(changes, r.merge(id)...)
	}
	return changes
}

// merge works out the view of one participant anew.
func (r *roster) merge(id string) []change {
	var c change
	if before, was := r.view[id]; was {
		c.before = &before
	}
	owner, is := r.ownerOf(id)
	if !is {
		delete(r.view, id)
		if c.before == nil {
			return nil
		}
		return []change{c}
	}
	after := r.self.Entries[id]
	if owner != r.self.Node {
		after = r.parts[owner].Entries[id]
	}
	r.view[id] = after
	c.after = &after
	return []change{c}
}

// everybody returns the view, longest in the room first.
func (r *roster) everybody() []entry {
	return slices.SortedFunc(maps.Values(r.view), func(a, b entry) int {
		return cmp.Or(a.JoinedAt.Compare(b.JoinedAt), cmp.Compare(a.ID, b.ID))
	})
}

// digest is a short fingerprint of the part's entries. It is worked out once for each change: at rest digests cost nothing.
func (p *part) digest() uint64 {
	if !p.summed {
		p.sum, p.summed = p.fingerprint(), true
	}
	return p.sum
}

func (p *part) fingerprint() uint64 {
	sum := fnv.New64a()
	for _, id := range slices.Sorted(maps.Keys(p.Entries)) {
		line, err := json.Marshal(p.Entries[id])
		if err != nil {
			return 0
		}
		_, _ = sum.Write(line) // a hash never fails
	}
	return sum.Sum64()
}
