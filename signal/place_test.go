package signal

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal/wire"
)

func TestWhereMediaGoes(t *testing.T) {
	live := func(id, region string, roles ...string) placement.Node {
		return placement.Node{ID: id, Region: region, SignalEndpoint: "wss://" + id, Roles: roles, Protocol: placement.CurrentProtocol}
	}
	over := func(id, edge string) grant.Candidate {
		return grant.Candidate{Node: id, SignalEndpoint: "wss://" + edge}
	}
	edge, other := live("e1", "eu", "api", "signal"), live("e2", "us", "signal")
	m1, m2 := live("m1", "eu", "media"), live("m2", "us", "media")
	old, draining := live("m0", "eu", "media"), live("m3", "eu", "media")
	old.Protocol, draining.Draining = 0, true
	whole1, whole2 := live("w1", "eu"), live("w2", "us")
	for _, tc := range []struct {
		name   string
		self   string
		media  bool
		nodes  []placement.Node
		token  []grant.Candidate
		failed string
		want   string
	}{
		{"a node on its own", "w1", true, []placement.Node{whole1}, nil, "", "w1"},
		{"a token of this node", "w1", true, []placement.Node{whole1, whole2}, []grant.Candidate{over("w1", "w1"), over("w2", "w2")}, "", "w1"},
		{"fallen over from a node that lives", "w2", true, []placement.Node{whole1, whole2}, []grant.Candidate{over("w1", "w1"), over("w2", "w2")}, "", "w2"},
		{"one address for all: the token's first", "w2", true, []placement.Node{
			whole1, {ID: "w2", SignalEndpoint: "wss://w1"},
		}, []grant.Candidate{over("w1", "w1"), over("w2", "w1")}, "", "w1"},
		{"another node's media through this one's socket", "w1", true, []placement.Node{whole1, m1}, []grant.Candidate{over("m1", "w1"), over("w1", "w1")}, "", "m1"},
		{"that node is dead", "w1", true, []placement.Node{whole1}, []grant.Candidate{over("m1", "w1"), over("w1", "w1")}, "", "w1"},
		{"no media here: the first candidate", "e1", false, []placement.Node{edge, m1, m2}, []grant.Candidate{over("m2", "e1"), over("m1", "e1")}, "", "m2"},
		{"the first candidate is dead", "e1", false, []placement.Node{edge, m1}, []grant.Candidate{over("m2", "e1"), over("m1", "e1")}, "", "m1"},
		{"the first candidate has just failed", "e1", false, []placement.Node{edge, m1, m2}, []grant.Candidate{over("m2", "e1"), over("m1", "e1")}, "m2", "m1"},
		{"fallen over to another edge: its own candidates", "e2", false, []placement.Node{edge, other, m1, m2}, []grant.Candidate{over("m1", "e1"), over("m2", "e2")}, "", "m2"},
		{"fallen over, and its own candidate is dead", "e2", false, []placement.Node{other, m1}, []grant.Candidate{over("m1", "e1"), over("m2", "e2")}, "", "m1"},
		{"an older release cannot be used", "e1", false, []placement.Node{edge, old, m2}, []grant.Candidate{over("m0", "e1"), over("m2", "e1")}, "", "m2"},
		{"none of the token's lives: one of the region", "e1", false, []placement.Node{edge, m1, m2, draining}, []grant.Candidate{over("m9", "e1")}, "", "m1"},
		{"none of the region either", "e1", false, []placement.Node{edge, m2}, nil, "", "m2"},
		{"rather the one that failed than none", "e1", false, []placement.Node{edge, m1}, []grant.Candidate{over("m1", "e1")}, "m1", "m1"},
		{"a draining one that the token names", "e1", false, []placement.Node{edge, m1, draining}, []grant.Candidate{over("m3", "e1")}, "", "m3"},
		{"no media anywhere", "e1", false, []placement.Node{edge, old}, []grant.Candidate{over("m0", "e1")}, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := tier{self: tc.self, media: tc.media, far: true, nodes: tc.nodes}.choose("mtg_1", tc.token, tc.failed)
			if got != tc.want {
				t.Errorf("media is on %q, want %q", got, tc.want)
			}
		})
	}
}

// tell carries orders out on what SFUs show, as text by place and track.
func tellAll(shown map[string]map[string]string, orders []awayOrder) (faults []string) {
	for _, o := range orders {
		if shown[o.place] == nil {
			shown[o.place] = map[string]string{}
		}
		on, id := shown[o.place], o.track.track.ID
		before, known := on[id]
		switch o.do {
		case awayAdd:
			on[id] = o.track.node
			if strings.HasSuffix(before, " muted") {
				on[id] += " muted" // an SFU may keep that
			}
			if before == o.track.node {
				faults = append(faults, fmt.Sprintf("%s is told of %s twice", o.place, id))
			}
		case awayRemove:
			if delete(on, id); !known {
				faults = append(faults, fmt.Sprintf("%s is to forget %s, which it does not know", o.place, id))
			}
		case awayMute:
			if on[id] = strings.TrimSuffix(before, " muted"); o.track.muted {
				on[id] += " muted"
			}
			if !known {
				faults = append(faults, fmt.Sprintf("%s is to mute %s, which it does not know", o.place, id))
			}
		}
	}
	return faults
}

// Whatever happens, each SFU in use knows all tracks that are on others, and none of its own.
func TestEachSFUKnowsWhatIsElsewhere(t *testing.T) {
	nodes, ids := []string{"m1", "m2", "m3"}, []string{"pt_a", "pt_b"}
	rapid.Check(t, func(t *rapid.T) {
		a, shown := newAway(), map[string]map[string]string{}
		places, tracks := map[string]bool{}, map[string]awayTrack{}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			var orders []awayOrder
			if rapid.IntRange(0, 3).Draw(t, "what") == 0 {
				places = map[string]bool{}
				for _, n := range nodes {
					if rapid.Bool().Draw(t, "used") {
						places[n] = true
					}
				}
				orders = a.use(places)
			} else {
				who, now := rapid.SampledFrom(ids).Draw(t, "who"), map[string]awayTrack{}
				for i := range 2 {
					id := fmt.Sprint("tr_", who, i)
					delete(tracks, id)
					if rapid.IntRange(0, 2).Draw(t, "there") > 0 {
						now[id] = awayTrack{node.Track{ID: id}, rapid.SampledFrom(nodes).Draw(t, "node"), rapid.Bool().Draw(t, "muted")}
						tracks[id] = now[id]
					}
				}
				orders = a.publishes(who, now)
			}
			if faults := tellAll(shown, orders); len(faults) > 0 {
				t.Fatal(faults)
			}
			for _, place := range nodes {
				want := map[string]string{}
				for id, tr := range tracks {
					if places[place] && tr.node != place {
						want[id] = tr.node + map[bool]string{true: " muted"}[tr.muted]
					}
				}
				if fmt.Sprint(shown[place]) != fmt.Sprint(want) && len(shown[place])+len(want) > 0 {
					t.Fatalf("%s shows %v, want %v", place, shown[place], want)
				}
			}
		}
	})
}

func TestTheSpeakerOrderOfOneSFUIsPassedOn(t *testing.T) {
	for _, tc := range []struct {
		name   string
		places []string // of the members
		heard  []string
	}{
		{"nobody has media", nil, []string{"n1", "m1"}},
		{"all on this node", []string{"n1", "n1"}, []string{"n1"}},
		{"on two", []string{"m2", "m1"}, []string{"m1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.join("pt_a", grant.Attendee)
			room := r.svc.room("mtg_1")
			room.mu.Lock()
			defer room.mu.Unlock()
			for i, place := range tc.places {
				room.members[fmt.Sprint(i)] = &member{peer: &fakePeer{}, place: place}
			}
			for _, from := range []string{"n1", "m1", "m2"} {
				if room.hearsLocked(from) != slices.Contains(tc.heard, from) && (tc.places != nil || from != "m2") {
					t.Errorf("%s is heard: %v", from, room.hearsLocked(from))
				}
			}
			for i := range tc.places {
				delete(room.members, fmt.Sprint(i))
			}
		})
	}
}

func TestWhereMediaMayBe(t *testing.T) {
	at := tier{self: "e1", far: true, nodes: []placement.Node{
		{ID: "m1", Protocol: placement.CurrentProtocol}, {ID: "m2", Protocol: placement.CurrentProtocol}, {ID: "e1"},
	}}
	token := []grant.Candidate{{Node: "m2"}, {Node: "m2"}, {Node: "e1"}, {Node: "m9"}, {Node: "m1"}}
	if got := at.mayHave("", token); !slices.Equal(got, []string{"m2", "m1"}) {
		t.Errorf("by the token %v", got)
	}
	if got := at.mayHave("m1", token); !slices.Equal(got, []string{"m1"}) {
		t.Errorf("by the roster %v", got)
	}
	if got := at.mayHave("m9", token); got != nil {
		t.Errorf("on a dead node %v", got)
	}
}

func TestAnEntrySaysWhereItsMediaIs(t *testing.T) {
	e := entry{Participant: wire.Participant{ID: "pt_a"}}
	if got := e.mediaNode("n1"); got != "n1" {
		t.Errorf("of an older release: %q", got)
	}
	e.Media = "m1"
	if got := e.mediaNode("n1"); got != "m1" {
		t.Errorf("split: %q", got)
	}
}
