package main

import (
	"slices"
	"testing"

	"github.com/parley-sfu/parley/placement"
)

// grove is a cluster as a tree knows it.
type grove []placement.Node

func (g grove) tree(self string) *tree {
	return &tree{
		self: self, nodes: func() []placement.Node { return g }, gateways: map[string]gateway{},
		lookup: func(id string) (placement.Node, bool) {
			i := slices.IndexFunc(g, func(n placement.Node) bool { return n.ID == id })
			if i < 0 {
				return placement.Node{}, false
			}
			return g[i], true
		},
	}
}

func TestParents(t *testing.T) {
	g := grove{
		{ID: "eu1", Region: "eu"},
		{ID: "us1", Region: "us"},
		{ID: "us2", Region: "us"},
		{ID: "us3", Region: "us"},
		{ID: "us-api", Region: "us", Roles: []string{placement.RoleAPI}},
	}
	order := placement.Gateways("mtg_1", "us", g)
	first, second, third := order[0].ID, order[1].ID, order[2].ID
	for name, tc := range map[string]struct {
		self, origin string
		want         []string
	}{
		"leaf":                   {third, "eu1", []string{first, second, "eu1"}},
		"the next gateway":       {second, "eu1", []string{first, "eu1"}},
		"the gateway":            {first, "eu1", []string{"eu1", second}},
		"same region":            {third, first, []string{first}},
		"origin nobody knows":    {third, "gone", []string{"gone"}},
		"alone in the region":    {"eu1", "us1", []string{"us1"}},
		"without media, watches": {"us-api", "eu1", []string{first, second, "eu1"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := g.tree(tc.self).Parents("mtg_1", tc.origin); !slices.Equal(got, tc.want) {
				t.Errorf("parents %v, want %v", got, tc.want)
			}
		})
	}
}

// TestGatewayIsKept: a node that comes changes nothing for rooms that are there; one that drains or dies does.
func TestGatewayIsKept(t *testing.T) {
	all := grove{{ID: "eu1", Region: "eu"}, {ID: "us1", Region: "us"}, {ID: "us2", Region: "us"}, {ID: "us3", Region: "us"}, {ID: "watcher", Region: "us", Roles: []string{placement.RoleAPI}}}
	order := placement.Gateways("mtg_1", "us", all)
	g := all.tree("watcher")
	without := func(id string) grove {
		return slices.DeleteFunc(slices.Clone(all), func(n placement.Node) bool { return n.ID == id })
	}
	first := func() string { return g.Parents("mtg_1", "eu1")[0] }
	g.nodes = func() []placement.Node { return without(order[0].ID) }
	if got := first(); got != order[1].ID {
		t.Fatalf("gateway %s, want %s", got, order[1].ID)
	}
	g.nodes = func() []placement.Node { return all }
	if got := first(); got != order[1].ID {
		t.Errorf("gateway %s after a better one came, want %s", got, order[1].ID)
	}
	draining := slices.Clone(all)
	for i := range draining {
		draining[i].Draining = draining[i].ID == order[1].ID
	}
	g.nodes = func() []placement.Node { return draining }
	if got := first(); got != order[0].ID {
		t.Errorf("gateway %s while it drains, want %s", got, order[0].ID)
	}
}
