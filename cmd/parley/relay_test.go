package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/api"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/turn"
)

// fixedNodes is a cluster that does not change.
type fixedNodes []placement.Node

func (f fixedNodes) Nodes() []placement.Node { return f }

func (fixedNodes) Watch(func(joined, left []string)) (stop func()) { return func() {} }

func TestTheNearestRelayIsNamed(t *testing.T) {
	cfg := turn.Defaults()
	cfg.Secrets = []string{"a-secret-of-the-test"}
	credentials, err := turn.NewCredentials(cfg, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{credentials: credentials, nodes: fixedNodes{
		{ID: "a", Region: "eu", Relay: []string{"192.0.2.1:3478"}},
		{ID: "b", Region: "eu"}, // of a release without relays, or without media
		{ID: "c", Region: "us"},
		{ID: "e", Region: "sa", Relay: []string{"192.0.2.5:3478", "k:AAAAAAAA"}},
		{ID: "d", Region: "ap", Relay: []string{"192.0.2.4:3478", "s:turn.example.org:5349"}},
	}}
	for _, tc := range []struct {
		name       string
		candidates []grant.Candidate
		want       string // a part of the first TURN URL; empty: there is none
	}{
		{"the node's own", []grant.Candidate{{Node: "d", Region: "ap"}, {Node: "a", Region: "eu"}}, "192.0.2.4"},
		{"one of its region", []grant.Candidate{{Node: "b", Region: "eu"}, {Node: "d", Region: "ap"}}, "192.0.2.1"},
		{"that of the next candidate", []grant.Candidate{{Node: "c", Region: "us"}, {Node: "d", Region: "ap"}}, "192.0.2.4"},
		{"one with another secret", []grant.Candidate{{Node: "e", Region: "sa"}}, ""},
		{"none", []grant.Candidate{{Node: "c", Region: "us"}}, ""},
		{"nobody", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			servers := r.ICEServers("pt_1", tc.candidates)
			if tc.want == "" {
				if len(servers) > 0 {
					t.Errorf("%+v", servers)
				}
				return
			}
			if len(servers) != 2 || !strings.Contains(servers[1].URLs[0], tc.want) || !strings.HasSuffix(servers[1].Username, ":pt_1") {
				t.Errorf("%+v, want %s", servers, tc.want)
			}
			if moved := r.forSession("pt_1", tc.candidates); len(moved) != 2 || !slices.Equal(moved[1].URLs, servers[1].URLs) {
				t.Errorf("for a session: %+v", moved)
			}
		})
	}
}

// parley dev has a relay, tells of it in the join call with a credential of that participant alone, and listens where it says.
func TestDevTellsOfItsRelay(t *testing.T) {
	w, stop := startDev(t, t.TempDir())
	defer stop()
	type joined struct {
		ParticipantID string          `json:"participant_id"`
		ICEServers    []api.ICEServer `json:"ice_servers"`
	}
	join := func() (got joined) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+"/v1/meetings/"+w.MeetingID+"/join", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	one, other := join(), join()
	if len(one.ICEServers) != 2 || len(other.ICEServers) != 2 {
		t.Fatalf("%+v", one)
	}
	relay := one.ICEServers[1]
	if !strings.HasPrefix(relay.URLs[0], "turn:127.0.0.1:") || !strings.HasSuffix(relay.Username, ":"+one.ParticipantID) || relay.Credential == other.ICEServers[1].Credential {
		t.Errorf("%+v", relay)
	}
}
