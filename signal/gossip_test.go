package signal

import (
	"slices"
	"sync"

	"github.com/parley-sfu/parley/placement"
)

// gossip is one node's view of the cluster, as the test wants it. It implements Cluster.
type gossip struct {
	mu       sync.Mutex
	nodes    []placement.Node
	watchers []func(joined, left []string)
}

func (g *gossip) Nodes() []placement.Node {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.nodes)
}

func (g *gossip) Watch(f func(joined, left []string)) (stop func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.watchers = append(g.watchers, f)
	return func() {}
}

// Answers implements sfu.Cluster.
func (g *gossip) Answers(id string) bool {
	return slices.ContainsFunc(g.Nodes(), func(n placement.Node) bool { return n.ID == id })
}

// change alters a node and tells of it.
func (g *gossip) change(id string, alter func(*placement.Node)) {
	nodes := g.Nodes()
	for i := range nodes {
		if nodes[i].ID == id {
			alter(&nodes[i])
		}
	}
	g.see(nodes...)
}

func (g *gossip) drain(id string, draining bool) {
	g.change(id, func(n *placement.Node) { n.Draining = draining })
}

func (g *gossip) die(id string) {
	g.see(slices.DeleteFunc(g.Nodes(), func(n placement.Node) bool { return n.ID == id })...)
}

// see changes the view and tells of it.
func (g *gossip) see(nodes ...placement.Node) {
	g.mu.Lock()
	known := func(in []placement.Node, n placement.Node) bool {
		return slices.ContainsFunc(in, func(o placement.Node) bool { return o.ID == n.ID && o.Incarnation == n.Incarnation })
	}
	var joined, left []string
	for _, n := range nodes {
		if !known(g.nodes, n) {
			joined = append(joined, n.ID)
		}
	}
	for _, n := range g.nodes {
		if !known(nodes, n) {
			left = append(left, n.ID)
		}
	}
	g.nodes = slices.Clone(nodes)
	watchers := slices.Clone(g.watchers)
	g.mu.Unlock()
	for _, f := range watchers {
		f(joined, left)
	}
}
