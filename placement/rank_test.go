package placement_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/parley-sfu/parley/placement"
)

// fleet makes n nodes, spread evenly over the regions.
func fleet(n int, regions ...string) []placement.Node {
	nodes := make([]placement.Node, n)
	for i := range nodes {
		nodes[i] = placement.Node{ID: fmt.Sprintf("nd_%03d", i), Region: regions[i%len(regions)]}
	}
	return nodes
}

func room(i int) string { return fmt.Sprintf("mtg_%d", i) }

func ids(nodes []placement.Node) []string {
	list := make([]string, 0, len(nodes))
	for _, n := range nodes {
		list = append(list, n.ID)
	}
	return list
}

func TestEverybodyRanksTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := fleet(rapid.IntRange(1, 30).Draw(t, "nodes"), "eu", "us")
		shuffled := rapid.Permutation(nodes).Draw(t, "order")
		for i := range shuffled {
			shuffled[i].Load.CPU = rapid.Float64Range(0, 1).Draw(t, "cpu") // what a node thinks of the others' load
		}
		name := rapid.String().Draw(t, "room")
		if a, b := ids(placement.Rank(name, nodes)), ids(placement.Rank(name, shuffled)); !slices.Equal(a, b) {
			t.Fatalf("%v here, %v there", a, b)
		}
	})
}

func TestANodeThatGoesChangesNoOthersRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := fleet(rapid.IntRange(2, 30).Draw(t, "nodes"), "eu")
		for i := range nodes {
			nodes[i].Capacity = rapid.Float64Range(0.5, 8).Draw(t, "capacity")
		}
		name := rapid.String().Draw(t, "room")
		gone := rapid.IntRange(0, len(nodes)-1).Draw(t, "gone")
		want := slices.DeleteFunc(ids(placement.Rank(name, nodes)), func(id string) bool { return id == nodes[gone].ID })
		got := ids(placement.Rank(name, slices.Delete(slices.Clone(nodes), gone, gone+1)))
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func TestRankFollowsCapacity(t *testing.T) {
	nodes := fleet(10, "eu")
	nodes[0].Capacity, nodes[1].Capacity = 4, 0.5 // of 12.5 in all
	nodes[2].Capacity = math.NaN()                // counts as 1
	const rooms = 20_000
	firsts := map[string]float64{}
	for i := range rooms {
		firsts[placement.Rank(room(i), nodes)[0].ID]++
	}
	for i, share := range []float64{4 / 12.5, 0.5 / 12.5, 1 / 12.5, 1 / 12.5} {
		if got := firsts[nodes[i].ID] / rooms; math.Abs(got-share) > share/10 {
			t.Errorf("node %d is first for %.4f of the rooms, want %.4f", i, got, share)
		}
	}
}

func TestDrainingNodesComeLast(t *testing.T) {
	nodes := fleet(5, "eu")
	before := placement.Rank("mtg_x", nodes)
	for i := range nodes {
		nodes[i].Draining = nodes[i].ID == before[0].ID
	}
	after := ids(placement.Rank("mtg_x", nodes))
	if want := append(ids(before[1:]), before[0].ID); !slices.Equal(after, want) {
		t.Errorf("%v, want %v", after, want)
	}
}

func TestHomeAndGateway(t *testing.T) {
	nodes := fleet(9, "eu", "us", "ap")
	for i := range 3 { // the first of each region serves no media, the others nothing else
		nodes[i].Roles = []string{placement.RoleAPI, placement.RoleSignal}
		nodes[i+3].Roles, nodes[i+6].Roles = []string{placement.RoleMedia}, []string{placement.RoleMedia}
	}
	for i := range 100 {
		if home := placement.Home(room(i), nodes); !home.Has(placement.RoleSignal) {
			t.Fatalf("home %+v", home)
		}
		gateway, ok := placement.Gateway(room(i), "us", nodes)
		if !ok || gateway.Region != "us" || !gateway.Has(placement.RoleMedia) {
			t.Fatalf("gateway %+v, %v", gateway, ok)
		}
	}
	if n, ok := placement.Gateway("mtg_x", "mars", nodes); ok {
		t.Errorf("a gateway on mars: %+v", n)
	}
	if home := placement.Home("mtg_x", nil); home.ID != "" {
		t.Errorf("a home without nodes: %+v", home)
	}
}

func TestProtocolIsWhatEverybodyKnows(t *testing.T) {
	nodes := fleet(3, "eu")
	nodes[0].Protocol, nodes[1].Protocol, nodes[2].Protocol = 3, 2, 3
	if got := placement.Protocol(nodes); got != 2 {
		t.Errorf("Protocol = %d, want 2", got)
	}
}

// homes is who is the home of which room. A home stays where it is while its node is there and does not drain.
type homes map[string]string

// settle elects homes for the rooms that have none any more, and says how many rooms that were.
func (h homes) settle(nodes []placement.Node) (moved int) {
	staying := map[string]bool{}
	for _, n := range nodes {
		staying[n.ID] = !n.Draining
	}
	count := map[string]int{}
	for _, id := range h {
		count[id]++
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if staying[h[name]] {
			continue
		}
		h[name] = placement.Elect(name, count, nodes).ID
		count[h[name]]++
		moved++
	}
	return moved
}

// open opens rooms, one after the other.
func (h homes) open(from, to int, nodes []placement.Node) {
	for i := from; i < to; i++ {
		h[room(i)] = ""
		if i%50 == 49 || i == to-1 { // many at once, whose order is another one
			h.settle(nodes)
		}
	}
}

// imbalance is the most rooms of a node by the mean, each node's rooms counted by its weight.
func (h homes) imbalance(t interface{ Fatalf(string, ...any) }, nodes []placement.Node) float64 {
	count, weights := map[string]float64{}, 0.0
	for _, id := range h {
		count[id]++
	}
	most := 0.0
	for _, n := range nodes {
		weight := max(n.Capacity, 1)
		weights += weight
		most = max(most, count[n.ID]/weight)
		delete(count, n.ID)
	}
	if len(count) > 0 {
		t.Fatalf("rooms on nodes that are not there: %v", count)
	}
	return most / (float64(len(h)) / weights)
}

func TestAThousandRoomsOnTwentyNodes(t *testing.T) {
	nodes := fleet(21, "eu")
	h := homes{}
	h.open(0, 1000, nodes[:20])
	if got := h.imbalance(t, nodes[:20]); got > 1.15 {
		t.Errorf("max/mean = %.3f", got)
	}
	firsts := 0
	for name, id := range h {
		if placement.Home(name, nodes[:20]).ID == id {
			firsts++
		}
	}
	even := h.imbalance(t, nodes[:20])
	left := maps.Clone(h)
	leave, join := left.settle(nodes[1:20]), h.settle(nodes)
	t.Logf("max/mean %.3f, %d rooms on their first node; a leave moves %d rooms, then %.3f; a join %d, then %.3f",
		even, firsts, leave, left.imbalance(t, nodes[1:20]), join, h.imbalance(t, nodes))
	if join > 1000/21 || leave > 1000/20 {
		t.Errorf("a join moved %d rooms, a leave %d", join, leave)
	}
	if a, b := left.imbalance(t, nodes[1:20]), h.imbalance(t, nodes); a > 1.15 || b > 1.15 {
		t.Errorf("max/mean = %.3f after a leave, %.3f after a join", a, b)
	}
}

// Nodes come, go, drain and return in any order while rooms end and others begin: no more moves than what the node that
// went had, nobody is given more than its share, and what is new makes all even again.
func TestHomesThroughComingsAndGoings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := fleet(20, "eu")
		rooms := rapid.IntRange(500, 1500).Draw(t, "rooms")
		h := homes{}
		h.open(0, rooms, nodes)
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			i := rapid.IntRange(0, len(nodes)-1).Draw(t, "node")
			nodes[i].Draining = !nodes[i].Draining
			if !slices.ContainsFunc(nodes, func(n placement.Node) bool { return !n.Draining }) {
				nodes[i].Draining = false
			}
			had := 0
			for _, id := range h {
				if id == nodes[i].ID && nodes[i].Draining {
					had++
				}
			}
			if moved := h.settle(nodes); moved != had {
				t.Fatalf("%d rooms moved, the node had %d", moved, had)
			}
		}
		staying := slices.DeleteFunc(slices.Clone(nodes), func(n placement.Node) bool { return n.Draining })
		for i := 0; i < rooms; i += 50 { // all that there was ends, bit by bit
			for old := i; old < min(i+50, rooms); old++ {
				delete(h, room(old))
			}
			h.open(rooms+i, rooms+min(i+50, rooms), nodes)
		}
		if got, allowed := h.imbalance(t, staying), 1+2*float64(len(staying))/float64(rooms); got > allowed {
			t.Fatalf("max/mean = %.3f on %d nodes", got, len(staying))
		}
	})
}

func TestElectGoesWhereThereIsNoPressure(t *testing.T) {
	nodes := fleet(10, "eu")
	h := homes{}
	h.open(0, 100, nodes)
	nodes[3].Pressure = placement.Busy
	h.open(100, 105, nodes)
	for i := 100; i < 105; i++ {
		if id := h[room(i)]; id == nodes[3].ID || id == "" {
			t.Errorf("%s went to %q", room(i), id)
		}
	}
}

func TestElectKnowsRoles(t *testing.T) {
	nodes := fleet(4, "eu")
	nodes[0].Roles, nodes[1].Roles = []string{placement.RoleMedia}, []string{placement.RoleSignal}
	for i := range 50 {
		if got := placement.Elect(room(i), nil, nodes); !got.Has(placement.RoleSignal) {
			t.Fatalf("elected %+v", got)
		}
	}
	if got := placement.Elect("mtg_x", nil, nodes[:1]); got.ID != "" {
		t.Errorf("elected %+v", got)
	}
}

func TestHomesByCapacity(t *testing.T) {
	nodes := fleet(10, "eu")
	nodes[0].Capacity, nodes[1].Capacity = 8, 4
	h := homes{}
	h.open(0, 2000, nodes)
	if got := h.imbalance(t, nodes); got > 1.15 {
		t.Errorf("max/mean by weight = %.3f", got)
	}
}

func TestHomesOfAThousandNodes(t *testing.T) {
	nodes := fleet(1000, "eu", "us", "ap")
	count := map[string]int{}
	const rooms = 2_500
	for i := range rooms {
		count[placement.Elect(room(i), count, nodes).ID]++
	}
	if most := slices.Max(slices.Collect(maps.Values(count))); most > rooms/1000+1 {
		t.Errorf("one node has %d homes", most)
	}
	shuffled := slices.Clone(nodes)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if a, b := placement.Elect("mtg_x", count, nodes), placement.Elect("mtg_x", count, shuffled); a.ID != b.ID {
		t.Errorf("%s here, %s there", a.ID, b.ID)
	}
}

func BenchmarkElect(b *testing.B) {
	nodes := fleet(20, "eu")
	count := map[string]int{}
	for i := range 1000 {
		count[placement.Elect(room(i), count, nodes).ID]++
	}
	for b.Loop() {
		placement.Elect("mtg_x", count, nodes)
	}
}

func BenchmarkRank(b *testing.B) {
	for _, n := range []int{9, 100, 1000} {
		nodes := fleet(n, "eu")
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				placement.Rank("mtg_x", nodes)
			}
		})
	}
}
