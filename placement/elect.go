package placement

import "math"

// Elect returns the home of a room that has none, by rendezvous hashing with bounded load: of the nodes that have fewer
// than their share of all homes, the one that ranks first for the room, free ones before those under pressure. homes says
// of how many rooms each node is the home now; none of them ever moves because of it. Without any node that may, the ID is
// empty.
//
// Homes are counted a little differently everywhere while rooms come and go. So let one node choose: the one that Home
// returns.
//
// Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads (2016), here without tolerance.
func Elect(room string, homes map[string]int, nodes []Node) Node {
	able := serving(with(RoleSignal, nodes))
	weights, rooms := 0.0, 1 // this one
	for _, n := range able {
		weights += n.weight()
		rooms += homes[n.ID]
	}
	var elected Node
	tier, top := 0, 0.0
	hash := digest(room)
	for _, n := range able {
		share := float64(rooms) * n.weight() / weights
		if float64(homes[n.ID]) >= math.Ceil(share-1e-9) {
			continue // somebody has less than its share, for the rooms are one more than the homes
		}
		t, bid := 1, score(hash, digest(n.ID), n.weight())
		if n.Pressure == Free {
			t = 2
		}
		if t > tier || t == tier && (bid > top || bid == top && n.ID < elected.ID) {
			elected, tier, top = n, t, bid
		}
	}
	return elected
}
