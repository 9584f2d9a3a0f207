package main

import (
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/placement"
)

// tree says which way tracks come into this node's region. It implements node.Tree.
//
// Every node that has known the same nodes for as long as a room is there gives the same answer. Where the answers differ
// for a while, the nodes themselves see to it that no track goes round in circles.
type tree struct {
	self   string
	lookup func(id string) (placement.Node, bool)
	nodes  func() []placement.Node

	mu       sync.Mutex // guards what follows
	gateways map[string]gateway
	swept    time.Time
}

// gateway is who pulls a room's tracks into this region.
type gateway struct {
	id    string
	asked time.Time // last
}

// forgetGateway is how long after it was last asked for a room's gateway is forgotten.
const forgetGateway = 10 * time.Minute

func newTree(self string, gossip *placement.Cluster) *tree {
	return &tree{self: self, lookup: gossip.Lookup, nodes: gossip.Nodes, gateways: map[string]gateway{}}
}

// Parents implements node.Tree: the room's gateway, the node that would be it next, the origin. A gateway asks the origin
// first. Inside a region everybody asks the origin.
func (t *tree) Parents(room, origin string) []string {
	here, _ := t.lookup(t.self)
	there, known := t.lookup(origin)
	if !known || there.Region == here.Region {
		return []string{origin}
	}
	order := placement.Gateways(room, here.Region, t.nodes())
	if len(order) == 0 {
		return []string{origin}
	}
	first := t.keep(room, order)
	parents := []string{first}
	for _, n := range order {
		if n.ID != first && len(parents) < 2 {
			parents = append(parents, n.ID)
		}
	}
	if first == t.self {
		parents = slices.Insert(parents, 0, origin)
	} else {
		parents = append(parents, origin)
	}
	return slices.DeleteFunc(parents, func(id string) bool { return id == t.self })
}

// keep returns the room's gateway: the one that it had, while that lives and does not drain, whoever has come since.
func (t *tree) keep(room string, order []placement.Node) string {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.swept) > forgetGateway {
		t.swept = now
		for room, g := range t.gateways {
			if now.Sub(g.asked) > forgetGateway {
				delete(t.gateways, room)
			}
		}
	}
	g := t.gateways[room]
	stays := slices.ContainsFunc(order, func(n placement.Node) bool { return n.ID == g.id && (!n.Draining || order[0].Draining) })
	if !stays {
		g.id = order[0].ID
	}
	g.asked = now
	t.gateways[room] = g
	return g.id
}
