package signal

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
)

// electorateOf is n nodes, of which those named drain.
func electorateOf(n int, draining ...int) []placement.Node {
	var nodes []placement.Node
	for i := range n {
		nodes = append(nodes, clusterNode(i))
	}
	for _, i := range draining {
		nodes[i].Draining = true
	}
	return nodes
}

// book is what one node knows of homes, in a cluster of which the test says who lives.
type book struct {
	*owners
	nodes []placement.Node
}

func newBook(self string, nodes []placement.Node) *book {
	b := &book{nodes: nodes}
	b.owners = newOwners(self, func() []placement.Node { return append([]placement.Node(nil), b.nodes...) }, func() {})
	b.caughtUp()
	return b
}

func (b *book) told(t *testing.T, room string, l lease, epoch uint64, now time.Time) {
	t.Helper()
	value, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	b.hear(bus.Entry{Key: room, Value: value, Revision: epoch}, false, now)
}

// chooser is the node that chooses the home of mtg_1.
func chooser(nodes []placement.Node) string { return placement.Home("mtg_1", nodes).ID }

func TestOneNodeChoosesAndAllKnow(t *testing.T) {
	now, nodes := time.Unix(1000, 0), electorateOf(5)
	choosing := newBook(chooser(nodes), nodes)
	chosen := choosing.locate("mtg_1", now)
	if !chosen.decided || choosing.locate("mtg_1", now) != chosen {
		t.Fatalf("chosen: %+v, then %+v", chosen, choosing.locate("mtg_1", now))
	}
	errands := choosing.due(now, time.Second, func(string) bool { return true })
	if len(errands) != 1 || errands[0].holder.Node != chosen.node || errands[0].epoch != 0 {
		t.Fatalf("due: %+v", errands)
	}
	if again := choosing.due(now.Add(500*time.Millisecond), time.Second, nil); len(again) != 0 {
		t.Errorf("due again at once: %+v", again)
	}
	for _, n := range nodes {
		if n.ID == choosing.self {
			continue
		}
		other := newBook(n.ID, nodes)
		if at := other.locate("mtg_1", now); at.decided || at.node != choosing.self {
			t.Errorf("%s does not ask the one that chooses: %+v", n.ID, at)
		}
		other.told(t, "mtg_1", errands[0].holder, 7, now)
		if at := other.locate("mtg_1", now); !at.decided || at.node != chosen.node {
			t.Errorf("%s does not know the home: %+v", n.ID, at)
		}
	}
}

func TestWhoTakesOver(t *testing.T) {
	start := time.Unix(1000, 0)
	holder := lease{Node: "n1", Incarnation: 1}
	reborn := electorateOf(4)
	reborn[0].Incarnation = 99
	for _, tc := range []struct {
		name  string
		nodes []placement.Node
		after time.Duration
		taken bool
	}{
		{"it lives", electorateOf(4), time.Hour, false},
		{"it is gone, for a moment", electorateOf(4)[1:], leaseSettles - time.Millisecond, false},
		{"it is gone", electorateOf(4)[1:], leaseSettles, true},
		{"it started anew", reborn, 0, true},
		{"it drains", electorateOf(4, 0), 0, true},
		{"all drain", electorateOf(4, 0, 1, 2, 3), time.Hour, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBook(chooser(tc.nodes), electorateOf(4))
			b.told(t, "mtg_1", holder, 7, start)
			b.nodes = tc.nodes
			errands := b.due(start.Add(tc.after), time.Second, func(string) bool { return true })
			if taken := len(errands) == 1 && errands[0].epoch == 7 && errands[0].holder != holder && errands[0].holder.Node != ""; taken != tc.taken {
				t.Errorf("due: %+v", errands)
			}
			if len(tc.nodes) == 4 {
				return
			}
			bystander := newBook(tc.nodes[0].ID, electorateOf(4))
			if bystander.self == b.self {
				bystander.self = tc.nodes[1].ID
			}
			bystander.told(t, "mtg_1", holder, 7, start)
			bystander.nodes = tc.nodes
			if errands := bystander.due(start.Add(tc.after), time.Second, func(string) bool { return true }); len(errands) != 0 {
				t.Errorf("somebody else acts too: %+v", errands)
			}
		})
	}
}

func TestALeaseOfADeadClusterIsDeletedInTheEnd(t *testing.T) {
	now, nodes := time.Unix(1000, 0), electorateOf(3)
	b := newBook(chooser(nodes), nodes)
	b.settled = false // it was there before
	b.told(t, "mtg_1", lease{Node: "n9", Incarnation: 5}, 7, now)
	b.caughtUp()
	for _, tc := range []struct {
		after time.Duration
		open  bool
		due   int
	}{{0, false, 0}, {leaseStale - leaseSettles - time.Second, false, 0}, {leaseStale + time.Second, true, 0}, {leaseStale + time.Second, false, 1}} {
		errands := b.due(now.Add(tc.after), time.Second, func(string) bool { return tc.open })
		if len(errands) != tc.due {
			t.Errorf("after %v, open %v: due %+v", tc.after, tc.open, errands)
		}
	}
	if at := b.locate("mtg_1", now.Add(time.Hour)); !at.decided || at.node == "n9" {
		t.Errorf("whoever needs the room finds %+v", at)
	}
}

// FuzzCommand obeys whatever another node may have sent.
func FuzzCommand(f *testing.F) {
	f.Add([]byte(`{"op":"knock","meeting":"mtg_1","participant":"pt_1","to_home":true,"appointed":true,"knock":{"role":"host","node":"n2","settings":{}}}`))
	f.Add([]byte(`{"op":"camera","meeting":"mtg_1","knock":{"settings":{"max_cameras":1}}}`))
	f.Add([]byte(`{"op":"roster","meeting":"mtg_1","lease":{"node":"n2","incarnation":2},"epoch":9}`))
	f.Add([]byte(`{"op":"release","meeting":"mtg_1"}`))
	f.Add([]byte(`{"op":"release","meeting":"mtg_1","knock":{"node":"n2","lots":[1]}}`))
	f.Add([]byte(`{"op":"roster","meeting":"mtg_1","recall":{"node":"n2","up_to":9}}`))
	f.Add([]byte(`{"op":"knock","meeting":"mtg_1","participant":"pt_1","appointed":true,"knock":{"node":"n2","settings":{},"lots":[],"camera":true,"used":{"seat":7,"camera":8}}}`))
	f.Add([]byte(`{"op":"allow","meeting":"mtg_1","appointed":true,"knock":{"node":"n2","settings":{},"lots":[3]}}`))
	f.Add([]byte(`{"op":"expect","meeting":"mtg_1","knock":{"settings":{}}}`))
	f.Add([]byte(`{"op":"view","meeting":"mtg_1","to_home":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		svc, err := New(Defaults(), Deps{
			Media: &fakeMedia{peers: map[string]*fakePeer{}}, Speakers: NewSpeakers(), Bus: loneBus{}, Cluster: &gossip{nodes: electorateOf(2)}, Locator: lone("n1"),
			Keys: noKeys{}, Revoked: grant.NewRevocations(nil, silence()), NodeID: "n1", Log: silence(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := svc.obey(t.Context(), data); err == nil && len(answer) == 0 {
			t.Error("no answer, and no error")
		}
		for _, r := range svc.allRooms() {
			if !isName(r.meeting) {
				t.Errorf("a room %q was opened", r.meeting)
			}
		}
	})
}

// Choosing a home among twenty nodes that have a thousand.
func BenchmarkChooseHome(b *testing.B) {
	nodes := electorateOf(20)
	book := newBook("n1", nodes)
	for i := range 1000 {
		book.leases[fmt.Sprint("mtg_", i)] = lease{Node: nodes[i%20].ID, Incarnation: nodes[i%20].Incarnation}
	}
	room := "mtg_x0"
	for i := 0; placement.Home(room, nodes).ID != "n1"; i++ {
		room = fmt.Sprint("mtg_x", i)
	}
	now := time.Now()
	for b.Loop() {
		delete(book.chosen, room)
		book.locate(room, now)
	}
}
