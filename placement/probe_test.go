package placement_test

import (
	"strings"
	"testing"

	"github.com/parley-sfu/parley/placement"
)

func TestProbeTellsAnotherKeyFromNobody(t *testing.T) {
	n := start(t, config("n1"))
	for _, tc := range []struct {
		name, key, address string
		want               string // part of the error; empty: none
	}{
		{"the same key", oneKey, n.Addr().String(), ""},
		{"the new key second", anotherKey + "," + oneKey, n.Addr().String(), "cluster key mismatch"}, // the first encrypts
		{"another key", anotherKey, n.Addr().String(), "cluster key mismatch"},
		{"nobody", oneKey, "127.0.0.1:1", "gossip is not reached at 127.0.0.1:1 over TCP"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := placement.Probe(t.Context(), placement.Config{Region: "eu", Key: tc.key}, tc.address)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error = %v, want %q", err, tc.want)
			}
		})
	}
	if known := n.Nodes(); len(known) != 1 {
		t.Errorf("the cluster knows %d nodes after the probes, want 1", len(known))
	}
}
