package placement

import (
	"cmp"
	"math"
	"slices"
)

// Rank orders nodes for a room by weighted rendezvous hashing: each node's chance to be first is its share of the
// capacity; a node that comes or goes changes nothing in the order of the others; everybody who knows the same nodes gets
// the same order. Draining nodes come last. Load plays no part.
//
// Thaler, Ravishankar: Using Name-Based Mappings to Increase Hit Rates (1998); the weights are those of
// draft-ietf-bess-weighted-hrw.
func Rank(room string, nodes []Node) []Node {
	type scored struct {
		at    int
		score float64
	}
	hash := digest(room)
	order := make([]scored, len(nodes))
	for i, n := range nodes {
		order[i] = scored{i, score(hash, digest(n.ID), n.weight())}
	}
	slices.SortFunc(order, func(a, b scored) int {
		one, other := nodes[a.at], nodes[b.at]
		if one.Draining != other.Draining {
			if one.Draining {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(one.ID, other.ID))
	})
	ranked := make([]Node, len(order))
	for i, s := range order {
		ranked[i] = nodes[s.at]
	}
	return ranked
}

// Home returns the node that ought to hold a room's lease. Without any node that may, its ID is empty.
func Home(room string, nodes []Node) Node {
	home, _ := first(room, with(RoleSignal, nodes))
	return home
}

// Gateway returns the node that pulls a room's tracks into a region. It is also the one that the region's first
// participants are sent to, so that a small room costs no hop inside the region.
func Gateway(room, region string, nodes []Node) (Node, bool) {
	return first(room, with(RoleMedia, in(region, nodes)))
}

// Gateways returns the nodes of a region that can be a room's gateway, the one that is to be first.
func Gateways(room, region string, nodes []Node) []Node {
	return Rank(room, with(RoleMedia, in(region, nodes)))
}

func first(room string, nodes []Node) (Node, bool) {
	if len(nodes) == 0 {
		return Node{}, false
	}
	return Rank(room, nodes)[0], true
}

// score is what a node bids for a room: -weight / ln(u) with u even in (0, 1).
func score(room, node uint64, weight float64) float64 {
	u := (float64(mix(room^mix(node))>>11) + 0.5) / (1 << 53)
	return -weight / math.Log(u)
}

// digest is FNV-1a, mixed: strings that differ in their last letter only must lie far apart.
func digest(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finalizer of SplitMix64: each bit of the input changes half of the output.
func mix(h uint64) uint64 {
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
