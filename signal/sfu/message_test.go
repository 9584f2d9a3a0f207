package sfu

import (
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/parley-sfu/parley/node"
)

func TestRequestsAreChecked(t *testing.T) {
	for _, tc := range []struct {
		name, request string
		good          bool
	}{
		{"an offer", `{"op":"offer","from":"s1","session":1,"room":"r","participant":"p","peer":1,"number":1,"offer":{"sdp":"v=0"}}`, true},
		{"of a newer release", `{"op":"close","from":"s1","session":1,"room":"r","participant":"p","peer":1,"later":{"x":1}}`, true},
		{"an unknown operation", `{"op":"dance","from":"s1"}`, false},
		{"no offer in it", `{"op":"offer","from":"s1","room":"r","participant":"p","peer":1}`, false},
		{"from nobody", `{"op":"sync","sync":{}}`, false},
		{"no comparison in it", `{"op":"sync","from":"s1"}`, false},
		{"no JSON", `offer`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := decodeRequest([]byte(tc.request)); (err == nil) != tc.good {
				t.Error(err)
			}
		})
	}
}

// Whatever comes over the bus, a media node answers or refuses, and goes on.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"op":"offer","from":"s1","session":1,"room":"mtg_1","participant":"pt_a","peer":1,"number":1,"offer":{"sdp":"mc","can_publish":true}}`,
		`{"op":"subscribe","from":"s1","session":1,"room":"mtg_1","participant":"pt_0","peer":7,"number":9,"wish":{"slots":[{"mid":"1"}]}}`,
		`{"op":"mute","from":"s1","session":1,"room":"mtg_1","participant":"pt_0","peer":7,"number":9,"muted":["microphone","x"]}`,
		`{"op":"adopt","from":"s2","session":1,"room":"mtg_1","participant":"pt_0","peer":8,"number":1}`,
		`{"op":"tracks","from":"s1","session":1,"room":"mtg_1","tracks":{"version":2,"after":1,"set":[{"track":{"id":"t"},"from":"m2"}],"gone":["u"]}}`,
		`{"op":"sync","from":"s1","session":1,"sync":{"up_to":9,"peers":[{"peer":7}],"rooms":{"mtg_1":3},"steps":4}}`,
		`{"op":"state","from":"s1","session":0}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := NewServer(newFakeSFU(), &end{medium: newMedium()}, &gossip{nodes: map[string]uint64{}}, "m1", slog.New(slog.DiscardHandler))
		first := `{"op":"offer","from":"s1","session":1,"room":"mtg_1","participant":"pt_0","peer":7,"number":1,"offer":{"sdp":"m"}}`
		if _, err := s.serve(t.Context(), []byte(first)); err != nil {
			t.Fatal(err)
		}
		if answer, err := s.serve(t.Context(), data); err != nil || !json.Valid(answer) {
			t.Errorf("answered %q, %v", answer, err)
		}
	})
}

// Whatever a media node tells, a signalling node goes on.
func FuzzEvent(f *testing.F) {
	for _, seed := range []string{
		`{"kind":"slots","node":"m1","session":1,"peer":1,"number":1,"slots":[{"mid":"1"}]}`,
		`{"kind":"unpublished","node":"m1","session":1,"peer":1,"number":1}`,
		`{"kind":"speakers","node":"m1","session":1,"room":"mtg_1","who":[{"participant_id":"p","level":3}]}`,
		`{"kind":"layers","node":"m1","session":1,"peer":1,"number":1,"layers":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		nodes := &gossip{nodes: map[string]uint64{"s1": 1, "m1": 1}}
		fleet := NewFleet(&end{medium: newMedium()}, nodes, "s1", slog.New(slog.DiscardHandler))
		p := fleet.On("m1").join(config("pt_a", &diary{}))
		p.answered(&answer{Tracks: tracksOut([]node.Track{track1("tr_1")})})
		fleet.hear(t.Context(), data)
	})
}
