package placement

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Balancer spreads rooms over nodes by rendezvous hashing with bounded load: no node has more than its share of the rooms
// and Slack on top. What a room has it keeps, unless its node is gone, drains, or is clearly out of bounds. It is a pure
// function of who carries what now and which nodes there are; so everybody who sees the same decides the same, and load,
// which is seen differently for a while, steers new rooms only.
//
// Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads (2016).
type Balancer struct {
	Slack float64 // how far from its share a node may be before rooms move; 0: 0.15
}

// Assign returns which node is to carry each room. rooms has the node that carries it now, or "" for a new one. A node
// that comes takes at most its share, from the others' surplus; one that goes leaves only its own rooms to the others.
// Where there is no node at all, nothing is assigned.
func (b Balancer) Assign(rooms map[string]string, nodes []Node) map[string]string {
	s := b.spread(len(rooms), serving(with(RoleMedia, nodes)))
	if len(s.desks) == 0 {
		return map[string]string{}
	}
	s.seat(rooms)
	s.relieve()
	for _, room := range s.homeless {
		s.desks[s.pick(room)].take(room)
	}
	s.feed()
	return s.assigned()
}

// spread is one assignment under way.
type spread struct {
	desks    []*desk // by node id
	homeless []uint64
	names    map[uint64]string // of rooms by digest
	slack    float64
}

// desk is a node with the rooms it carries, each by its digest.
type desk struct {
	node  Node
	hash  uint64
	share float64
	rooms []uint64
}

func (d *desk) take(room uint64) { d.rooms = append(d.rooms, room) }

// fair is the most that a node has when all is even.
func (d *desk) fair() int { return int(math.Ceil(d.share - 1e-9)) }

// most is what a node may have before rooms move away. Few rooms are never worth moving.
func (d *desk) most(slack float64) int { return max(d.fair()+1, int((1+slack)*d.share)) }

// hungry says that a node has so little that rooms should move to it. Its load plays no part: no load moves a room.
func (d *desk) hungry() bool { return d.share >= 1 && float64(len(d.rooms)) < d.share/4 }

// meal is what a hungry node gets: its share, or just enough to be hungry no more when it has other worries.
func (d *desk) meal() int {
	if d.node.Pressure == Free {
		return int(d.share)
	}
	return int(math.Ceil(d.share / 4))
}

func (d *desk) bid(room uint64) float64 { return score(room, d.hash, d.node.weight()) }

func (b Balancer) spread(rooms int, nodes []Node) *spread {
	s := &spread{names: make(map[uint64]string, rooms), slack: b.Slack}
	if !(s.slack > 0) {
		s.slack = 0.15
	}
	var weights float64
	for _, n := range nodes {
		weights += n.weight()
	}
	for _, n := range nodes {
		s.desks = append(s.desks, &desk{node: n, hash: digest(n.ID), share: float64(rooms) * n.weight() / weights})
	}
	slices.SortFunc(s.desks, func(a, b *desk) int { return cmp.Compare(a.node.ID, b.node.ID) })
	return s
}

// seat leaves every room where it is, if it can. Rooms are taken in the order of their digests, the same everywhere.
func (s *spread) seat(rooms map[string]string) {
	byID := make(map[string]*desk, len(s.desks))
	for _, d := range s.desks {
		byID[d.node.ID] = d
	}
	for name := range rooms {
		s.names[digest(name)] = name
	}
	for _, room := range slices.Sorted(maps.Keys(s.names)) {
		if d := byID[rooms[s.names[room]]]; d != nil {
			d.take(room)
		} else {
			s.homeless = append(s.homeless, room)
		}
	}
}

// relieve takes from nodes that are out of bounds what exceeds their share, the rooms that belong there least first.
func (s *spread) relieve() {
	for _, d := range s.desks {
		if len(d.rooms) <= d.most(s.slack) {
			continue
		}
		slices.SortFunc(d.rooms, func(a, b uint64) int { return cmp.Compare(d.bid(b), d.bid(a)) })
		s.homeless = append(s.homeless, d.rooms[d.fair():]...)
		d.rooms = d.rooms[:d.fair()]
	}
	slices.Sort(s.homeless)
}

// pick returns the best-ranked node that has room: a free one within its share, then a free one within bounds, then any
// within its share, of which there is always one.
func (s *spread) pick(room uint64) int {
	best, tier, top := 0, math.MaxInt, math.Inf(-1)
	for i, d := range s.desks {
		t := 3
		switch free := d.node.Pressure == Free; {
		case free && len(d.rooms) < d.fair():
			t = 0
		case free && len(d.rooms) < d.most(s.slack):
			t = 1
		case len(d.rooms) < d.fair():
			t = 2
		}
		if bid := d.bid(room); t < tier || t == tier && bid > top {
			best, tier, top = i, t, bid
		}
	}
	return best
}

// feed moves rooms to nodes that have far too little, such as one that has just come: those that rank it highest among
// the others' surplus.
func (s *spread) feed() {
	for _, d := range s.desks {
		if d.hungry() {
			s.fill(d, func(donor *desk) int { return donor.fair() })
			s.fill(d, func(donor *desk) int { return int(donor.share) })
		}
	}
}

// fill moves rooms to d until it has its meal. Each donor keeps at least what floor says.
func (s *spread) fill(d *desk, floor func(donor *desk) int) {
	type offer struct {
		donor *desk
		room  uint64
	}
	var offers []offer
	for _, donor := range s.desks {
		if donor == d || len(donor.rooms) <= floor(donor) {
			continue
		}
		for _, room := range donor.rooms {
			offers = append(offers, offer{donor, room})
		}
	}
	slices.SortFunc(offers, func(a, b offer) int { return cmp.Compare(d.bid(b.room), d.bid(a.room)) })
	for _, o := range offers {
		if len(d.rooms) >= d.meal() {
			return
		}
		if len(o.donor.rooms) > floor(o.donor) {
			o.donor.rooms = slices.DeleteFunc(o.donor.rooms, func(r uint64) bool { return r == o.room })
			d.take(o.room)
		}
	}
}

func (s *spread) assigned() map[string]string {
	assigned := make(map[string]string, len(s.names))
	for _, d := range s.desks {
		for _, room := range d.rooms {
			assigned[s.names[room]] = d.node.ID
		}
	}
	return assigned
}
