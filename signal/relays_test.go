package signal

import (
	"slices"
	"testing"

	"github.com/parley-sfu/parley/node/grant"
)

func TestHereFirst(t *testing.T) {
	node := func(id string) grant.Candidate {
		return grant.Candidate{Node: id, Region: "eu", SFUEndpoint: id + ":7881"}
	}
	here := grant.Candidate{Node: "here", Region: "eu"}
	for _, tc := range []struct {
		name        string
		nodes, want []grant.Candidate
	}{
		{"a token without nodes", nil, []grant.Candidate{{Node: "here"}}},
		{"first already", []grant.Candidate{node("here"), node("b")}, []grant.Candidate{node("here"), node("b")}},
		{"an alternate", []grant.Candidate{node("a"), node("here"), node("b")}, []grant.Candidate{node("here"), node("a"), node("b")}},
		{"none of them", []grant.Candidate{node("a")}, []grant.Candidate{here, node("a")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := slices.Clone(tc.nodes)
			if got := hereFirst("here", tc.nodes); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if !slices.Equal(before, tc.nodes) {
				t.Error("the token's own nodes were changed")
			}
		})
	}
}
