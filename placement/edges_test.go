package placement_test

import (
	"testing"

	"github.com/parley-sfu/parley/placement"
)

// Each candidate of a split cluster has another signalling node, as far as there are any, and a client always has two where
// there are two.
func TestCandidatesHaveDifferentSignalEndpoints(t *testing.T) {
	node := func(id, region string, roles ...string) placement.Node {
		n := placement.Node{ID: id, Region: region, Roles: roles}
		if n.Has(placement.RoleSignal) {
			n.SignalEndpoint = "wss://" + id
		}
		return n
	}
	m1, m2, m3 := node("m1", "eu", "media"), node("m2", "eu", "media"), node("m3", "us", "media")
	e1, e2, far := node("e1", "eu", "signal"), node("e2", "eu", "signal"), node("e3", "us", "signal", "api")
	leaving := node("e4", "eu", "signal")
	leaving.Draining = true
	for _, tc := range []struct {
		name      string
		nodes     []placement.Node
		media     string // of the candidates, in any order
		endpoints map[string]int
		first     string // region of the first candidate's signalling
	}{
		{"as many as candidates", []placement.Node{m1, m2, m3, e1, e2, far}, "eu eu us", map[string]int{"wss://e1": 1, "wss://e2": 1, "wss://e3": 1}, "eu"},
		{"one media node, two edges", []placement.Node{m1, e1, e2}, "eu eu", map[string]int{"wss://e1": 1, "wss://e2": 1}, "eu"},
		{"one of each", []placement.Node{m1, e1}, "eu", map[string]int{"wss://e1": 1}, "eu"},
		{"its region before others", []placement.Node{m1, e1, far}, "eu eu", map[string]int{"wss://e1": 1, "wss://e3": 1}, "eu"},
		{"fewer edges than media", []placement.Node{m1, m2, m3, far}, "eu eu us", map[string]int{"wss://e3": 3}, "us"},
		{"a draining edge is not used", []placement.Node{m1, e1, leaving}, "eu", map[string]int{"wss://e1": 1}, "eu"},
		{"unless it is the only one", []placement.Node{m1, leaving}, "eu", map[string]int{"wss://e4": 1}, "eu"},
		{"no edge at all", []placement.Node{m1}, "eu", map[string]int{"": 1}, ""},
		{"whole nodes keep their own", []placement.Node{node("w1", "eu"), node("w2", "us"), e1}, "eu us", map[string]int{"wss://w1": 1, "wss://w2": 1}, "eu"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := locate(t, tc.nodes, placement.LocatorConfig{}).Candidates(t.Context(), placement.Hint{Room: "mtg_1"})
			if err != nil || regions(got) != tc.media {
				t.Fatalf("%s, %v", regions(got), err)
			}
			endpoints := map[string]int{}
			for _, n := range got {
				endpoints[n.SignalEndpoint]++
			}
			for endpoint, times := range tc.endpoints {
				if endpoints[endpoint] != times {
					t.Errorf("signal endpoints %v, want %v", endpoints, tc.endpoints)
				}
			}
			for _, n := range tc.nodes {
				if n.SignalEndpoint == got[0].SignalEndpoint && n.SignalEndpoint != "" && n.Region != tc.first {
					t.Errorf("the first candidate's signalling is in %s", n.Region)
				}
			}
		})
	}
}
