package api

import (
	"reflect"
	"testing"

	"github.com/parley-sfu/parley/node/grant"
)

// oneRelay says what it was asked.
type oneRelay struct{}

func (oneRelay) ICEServers(participantID string, nodes []grant.Candidate) []ICEServer {
	return []ICEServer{
		{URLs: []string{"stun:192.0.2.1:3478"}},
		{URLs: []string{"turn:192.0.2.1:3478?transport=udp"}, Username: "1:" + participantID, Credential: "of " + nodes[0].Node},
	}
}

// The join call tells of relays with a credential of the participant's own.
func TestJoinTellsOfRelays(t *testing.T) {
	r := newRig(t, func(_ *Config, deps *Deps) { deps.Relays = oneRelay{} })
	m := r.create(object{"title": "relays", "settings": object{"guests": true}})
	one, other := r.join(m.ID, object{}), r.join(m.ID, object{})
	node := "of " + mustCandidate(t)
	want := []ICEServer{
		{URLs: []string{"stun:192.0.2.1:3478"}},
		{URLs: []string{"turn:192.0.2.1:3478?transport=udp"}, Username: "1:" + one.ParticipantID, Credential: node},
	}
	if !reflect.DeepEqual(one.ICEServers, want) {
		t.Errorf("%+v, want %+v", one.ICEServers, want)
	}
	if one.ICEServers[1].Username == other.ICEServers[1].Username {
		t.Error("two participants have the same credential")
	}
}

func mustCandidate(t *testing.T) string {
	t.Helper()
	nodes, err := oneNode{}.Candidates(t.Context(), JoinRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return nodes[0].Node
}
