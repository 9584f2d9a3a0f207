package signal

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/placement"
)

const (
	// leaseSettles is how long a new lease is believed although gossip does not know its holder: gossip may be slower, and
	// where it is cut but the store is not, the two sides do not take a room from each other all the time.
	leaseSettles = 3 * time.Second
	// leaseStale is how long a lease may be without a living holder before it is deleted: its cluster has died altogether,
	// and nobody has asked for its room since.
	leaseStale = time.Minute
)

// Leases keeps who is home of which room, by the meeting's id. *bus.Bucket is one, and says what the methods promise.
type Leases interface {
	Create(ctx context.Context, key string, value []byte) (revision uint64, err error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (next uint64, err error)
	DeleteAt(ctx context.Context, key string, revision uint64) error
	Watch(ctx context.Context, f func(e bus.Entry, deleted bool), caughtUp func()) error
}

// lease says which process is a room's home. Its revision in the store is the epoch: the higher one is right.
type lease struct {
	Node        string `json:"node"`
	Incarnation uint64 `json:"incarnation"`

	epoch  uint64
	heard  time.Time // when this node heard of it; zero for one that was there when this node started
	proven bool      // its holder has been alive in this node's time: if it is gone, it has died
}

// choice is a home that has no lease yet.
type choice struct {
	lease
	mine  bool // chosen by this node, which writes the lease
	used  time.Time
	tried time.Time // when the lease was written last
}

// owners knows every room's home in memory: from the leases that it watches and, before there is one, from what the one
// node chose that chooses for the room. Nothing here waits. It is safe for concurrent use.
type owners struct {
	self  string
	nodes func() []placement.Node
	wake  func() // there is something due; never blocks

	mu      sync.Mutex
	leases  map[string]lease
	chosen  map[string]choice
	settled bool // all leases that there were are known
}

func newOwners(self string, nodes func() []placement.Node, wake func()) *owners {
	return &owners{self: self, nodes: nodes, wake: wake, leases: map[string]lease{}, chosen: map[string]choice{}}
}

// electorate is the nodes that may be homes.
type electorate []placement.Node

func (o *owners) electorate() electorate {
	return slices.DeleteFunc(o.nodes(), func(n placement.Node) bool { return !n.Has(placement.RoleSignal) })
}

// alone says that a node is the only one.
func (e electorate) alone(self string) bool { return len(e) == 0 || len(e) == 1 && e[0].ID == self }

// alive says whether a lease's holder lives; known that some process of that name does.
func (e electorate) alive(l lease) (alive, known bool) {
	i := slices.IndexFunc(e, func(n placement.Node) bool { return n.ID == l.Node })
	return i >= 0 && e[i].Incarnation == l.Incarnation, i >= 0
}

// leaving says that a lease's holder drains while others stay.
func (e electorate) leaving(l lease) bool {
	drains, others := false, false
	for _, n := range e {
		drains = drains || n.ID == l.Node && n.Draining
		others = others || n.ID != l.Node && !n.Draining
	}
	return drains && others
}

// valid says whether a lease counts.
func (e electorate) valid(l lease, now time.Time) bool {
	alive, known := e.alive(l)
	return alive || !known && now.Sub(l.heard) < leaseSettles
}

// of returns the lease that a node would have.
func (e electorate) of(id string) lease {
	i := slices.IndexFunc(e, func(n placement.Node) bool { return n.ID == id })
	if i < 0 {
		return lease{Node: id}
	}
	return lease{Node: id, Incarnation: e[i].Incarnation}
}

// whereabouts says where a room's home is.
type whereabouts struct {
	node    string // the home, or who chooses it
	decided bool   // it is the home
	alone   bool   // there is no other node
}

// locate returns the room's home, which is chosen if it is this node that chooses. Otherwise ask who does.
func (o *owners) locate(room string, now time.Time) whereabouts { return o.find(room, now, true) }

// peek is locate that chooses nothing: it is not decided where nobody has needed a home yet.
func (o *owners) peek(room string, now time.Time) whereabouts { return o.find(room, now, false) }

func (o *owners) find(room string, now time.Time, choose bool) whereabouts {
	able := o.electorate()
	if able.alone(o.self) {
		return whereabouts{node: o.self, decided: true, alone: true}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if l, is := o.leases[room]; is && able.valid(l, now) {
		return whereabouts{node: l.Node, decided: true}
	}
	if c, is := o.chosen[room]; is {
		if alive, _ := able.alive(c.lease); alive {
			c.used = now
			o.chosen[room] = c
			return whereabouts{node: c.Node, decided: true}
		}
		delete(o.chosen, room)
	}
	chooser := placement.Home(room, able).ID
	if chooser != o.self || !choose {
		return whereabouts{node: chooser}
	}
	return whereabouts{node: o.chooseLocked(room, able, now), decided: true}
}

// chooseLocked elects a home.
func (o *owners) chooseLocked(room string, able electorate, now time.Time) string {
	homes := map[string]int{}
	for name, l := range o.leases {
		if _, is := o.chosen[name]; !is && name != room {
			homes[l.Node]++
		}
	}
	for _, c := range o.chosen {
		homes[c.Node]++
	}
	elected := placement.Elect(room, homes, able)
	o.chosen[room] = choice{lease: able.of(elected.ID), mine: true, used: now}
	o.wake()
	return elected.ID
}

// learn notes which node the one that chooses has chosen for a room.
func (o *owners) learn(room, node string, now time.Time) {
	able := o.electorate()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.chosen[room] = choice{lease: able.of(node), mine: node == o.self, used: now}
}

// accept is locate at a node that is asked. Appointed says that this node was chosen by the one that chooses.
func (o *owners) accept(room string, appointed bool, now time.Time) whereabouts {
	at := o.peek(room, now)
	if !appointed || at.node == o.self && at.decided {
		return o.locate(room, now)
	}
	if l, is := o.lease(room); is && at.decided && l.Node == at.node {
		return at
	}
	o.learn(room, o.self, now)
	return whereabouts{node: o.self, decided: true}
}

func (o *owners) lease(room string) (lease, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l, is := o.leases[room]
	return l, is
}

// own returns the rooms whose leases this process has, unless it is alone.
func (o *owners) own() (rooms []string) {
	able := o.electorate()
	if able.alone(o.self) {
		return nil
	}
	self := able.of(o.self)
	o.mu.Lock()
	defer o.mu.Unlock()
	for room, l := range o.leases {
		if l.Node == self.Node && l.Incarnation == self.Incarnation {
			rooms = append(rooms, room)
		}
	}
	return rooms
}

// deleted notes that this node has deleted a lease.
func (o *owners) deleted(room string, epoch uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.leases[room].epoch == epoch {
		delete(o.leases, room)
	}
}

// hear takes over what the store tells of a room.
func (o *owners) hear(e bus.Entry, deleted bool, now time.Time) {
	var l lease
	if !deleted && json.Unmarshal(e.Value, &l) != nil {
		l = lease{} // a holder that never lives: whoever needs the room takes it over
	}
	able := o.electorate()
	l.epoch = e.Revision
	o.mu.Lock()
	defer o.mu.Unlock()
	l.proven, _ = able.alive(l)
	if o.settled {
		l.heard, l.proven = now, true // just written for a node that was alive
	}
	if deleted {
		delete(o.leases, e.Key)
		return
	}
	o.leases[e.Key] = l
	if able.valid(l, now) {
		delete(o.chosen, e.Key)
	}
}

// caughtUp notes that all leases that there were have been heard.
func (o *owners) caughtUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settled = true
}

// errand is a write to the store.
type errand struct {
	room   string
	holder lease  // the zero lease: delete
	epoch  uint64 // of the lease that it takes the place of; 0: there is none
}

// due returns what this node has to write now: leases of homes that it has chosen or that it is, also in the place of
// holders that have died or drain; and leases that nobody needs any more. A room that is open here is not stale.
func (o *owners) due(now time.Time, again time.Duration, open func(room string) bool) []errand {
	able := o.electorate()
	o.mu.Lock()
	defer o.mu.Unlock()
	var errands []errand
	if able.alone(o.self) {
		return nil
	}
	for room, l := range o.leases {
		switch alive, known := able.alive(l); {
		case alive:
			l.proven = true
			o.leases[room] = l
			if able.leaving(l) {
				o.replaceLocked(room, able, now)
			}
		case !known && now.Sub(l.heard) < leaseSettles:
		case l.proven:
			o.replaceLocked(room, able, now)
		case o.stale(&l, now) && !open(room) && placement.Home(room, able).ID == o.self:
			errands = append(errands, errand{room: room, epoch: l.epoch})
		default:
			o.leases[room] = l
		}
	}
	for room, c := range o.chosen {
		alive, _ := able.alive(c.lease)
		l, is := o.leases[room]
		switch {
		case is && able.valid(l, now) && !able.leaving(l):
			delete(o.chosen, room)
		case !alive || !c.mine && now.Sub(c.used) > leaseStale:
			delete(o.chosen, room)
		case c.mine && now.Sub(c.tried) >= again:
			c.tried = now
			o.chosen[room] = c
			errands = append(errands, errand{room: room, holder: c.lease, epoch: l.epoch})
		}
	}
	return errands
}

// stale says that a lease has been without a holder for long. The first look starts the time.
func (o *owners) stale(l *lease, now time.Time) bool {
	if l.heard.IsZero() {
		l.heard = now.Add(-leaseSettles)
	}
	return now.Sub(l.heard) > leaseStale
}

// replaceLocked chooses another home for a room whose holder is gone or drains, if it is for this node to do.
func (o *owners) replaceLocked(room string, able electorate, now time.Time) {
	if c, is := o.chosen[room]; is {
		if alive, _ := able.alive(c.lease); alive && !able.leaving(c.lease) {
			return
		}
	}
	if placement.Home(room, able).ID == o.self {
		o.chooseLocked(room, able, now)
	}
}

// drop forgets that this node was to be the home of a room.
func (o *owners) drop(room string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.chosen[room].Node == o.self {
		delete(o.chosen, room)
	}
}
