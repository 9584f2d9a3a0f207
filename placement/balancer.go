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
	s.house()
	s.feed()
	s.relieve()
	s.house()
	return s.assigned()
}

// spread is one assignment under way.
type spread struct {
	desks    []*desk // by node id
	homeless []uint64
	names    map[uint64]string // of rooms by digest
	extra    int               // rooms that are left when each node has its fair number
	slack    float64
}

// desk is a node with the rooms it carries, each by its digest.
type desk struct {
	node  Node
	hash  uint64
	share float64
	rooms []uint64
}

// fair is what a node has at least when all is even.
func (d *desk) fair() int { return int(d.share + 1e-9) }

// most is what a node may have before rooms move away. Few rooms are never worth moving.
func (d *desk) most(slack float64) int { return max(d.fair()+2, int((1+slack)*d.share)) }

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
	s.extra = rooms
	for _, d := range s.desks {
		s.extra -= d.fair()
	}
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
			s.take(d, room)
		} else {
			s.homeless = append(s.homeless, room)
		}
	}
}

// take gives a node a room.
func (s *spread) take(d *desk, room uint64) {
	if len(d.rooms) >= d.fair() {
		s.extra--
	}
	d.rooms = append(d.rooms, room)
}

// drop takes the room from a node that fits it worst, by what a function says of it.
func (s *spread) drop(d *desk, fit func(room uint64) float64) (room uint64) {
	worst := 0
	for i, room := range d.rooms {
		if fit(room) < fit(d.rooms[worst]) {
			worst = i
		}
	}
	room = d.rooms[worst]
	d.rooms = slices.Delete(d.rooms, worst, worst+1)
	if len(d.rooms) >= d.fair() {
		s.extra++
	}
	return room
}

// even says that one more room on a node leaves all even.
func (s *spread) even(d *desk) bool {
	return len(d.rooms) < d.fair() || len(d.rooms) == d.fair() && s.extra > 0
}

// house finds nodes for the rooms that have none, in the order of their digests.
func (s *spread) house() {
	slices.Sort(s.homeless)
	for _, room := range s.homeless {
		s.take(s.pick(room), room)
	}
	s.homeless = nil
}

// relieve takes from nodes that are out of bounds what exceeds their share, the rooms that belong there least first.
func (s *spread) relieve() {
	for _, d := range s.desks {
		if len(d.rooms) <= d.most(s.slack) {
			continue
		}
		for len(d.rooms) > d.fair() {
			s.homeless = append(s.homeless, s.drop(d, d.bid))
		}
	}
}

// pick returns the best-ranked node that has room: a free one that leaves all even, then a free one within bounds, then
// any that leaves all even, of which there is always one.
func (s *spread) pick(room uint64) *desk {
	var best *desk
	tier, top := math.MaxInt, 0.0
	for _, d := range s.desks {
		t := 3
		switch free := d.node.Pressure == Free; {
		case free && s.even(d):
			t = 0
		case free && len(d.rooms) < d.most(s.slack):
			t = 1
		case s.even(d):
			t = 2
		}
		if t > tier {
			continue
		}
		if bid := d.bid(room); t < tier || bid > top {
			best, tier, top = d, t, bid
		}
	}
	return best
}

// feed moves rooms to nodes that have far too little, such as one that has just come: from the fullest, those that rank
// it highest.
func (s *spread) feed() {
	for _, d := range s.desks {
		if !d.hungry() {
			continue
		}
		for len(d.rooms) < d.meal() {
			donor := slices.MaxFunc(s.desks, func(a, b *desk) int {
				return cmp.Compare(float64(len(a.rooms))-a.share, float64(len(b.rooms))-b.share)
			})
			s.take(d, s.drop(donor, func(room uint64) float64 { return -d.bid(room) }))
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
