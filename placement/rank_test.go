package placement_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
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

// assign gives each room a node, from nothing.
func assign(rooms int, nodes []placement.Node) map[string]string {
	fresh := map[string]string{}
	for i := range rooms {
		fresh[room(i)] = ""
	}
	return placement.Balancer{}.Assign(fresh, nodes)
}

// imbalance is the most rooms of a node by the mean, each node's rooms counted by its weight.
func imbalance(t interface{ Fatalf(string, ...any) }, assigned map[string]string, nodes []placement.Node) float64 {
	count, weights := map[string]float64{}, 0.0
	for _, id := range assigned {
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
	return most / (float64(len(assigned)) / weights)
}

func moves(before, after map[string]string) (n int) {
	for name, id := range after {
		if before[name] != id {
			n++
		}
	}
	return n
}

func TestAThousandRoomsOnTwentyNodes(t *testing.T) {
	nodes := fleet(21, "eu")
	assigned := assign(1000, nodes[:20])
	if got := imbalance(t, assigned, nodes[:20]); got > 1.15 {
		t.Errorf("max/mean = %.3f", got)
	}
	firsts := 0
	for name, id := range assigned {
		if placement.Rank(name, nodes[:20])[0].ID == id {
			firsts++
		}
	}
	joined := placement.Balancer{}.Assign(assigned, nodes)
	left := placement.Balancer{}.Assign(assigned, nodes[1:20])
	t.Logf("max/mean %.3f, %d rooms on their first node; a join moves %d, a leave %d", imbalance(t, assigned, nodes[:20]), firsts,
		moves(assigned, joined), moves(assigned, left))
	if moved := moves(assigned, joined); moved > 1000/21 || moved < 1000/42 {
		t.Errorf("a join moved %d rooms", moved)
	}
	if moved := moves(assigned, left); moved > 1000/20 {
		t.Errorf("a leave moved %d rooms", moved)
	}
}

// Nodes come, go, drain and return in any order: each time at most 1/N of the rooms move, and the bound holds.
func TestBalanceThroughComingsAndGoings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := fleet(30, "eu")
		there := rapid.IntRange(10, 20).Draw(t, "nodes")
		rooms := rapid.IntRange(500, 1500).Draw(t, "rooms")
		nodes, spare := slices.Clone(all[:there]), slices.Clone(all[there:])
		assigned := assign(rooms, nodes)
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			size := len(nodes)
			if join := rapid.Bool().Draw(t, "join"); join && len(spare) > 0 || len(nodes) < 5 {
				nodes, spare = append(nodes, spare[0]), spare[1:]
				size++
			} else {
				i := rapid.IntRange(0, len(nodes)-1).Draw(t, "leaver")
				spare = append(spare, nodes[i])
				nodes = slices.Delete(nodes, i, i+1)
			}
			after := placement.Balancer{}.Assign(assigned, nodes)
			if len(after) != rooms {
				t.Fatalf("%d rooms of %d are assigned", len(after), rooms)
			}
			if moved := moves(assigned, after); moved > (rooms+size-1)/size {
				t.Fatalf("%d of %d rooms moved with %d nodes", moved, rooms, size)
			}
			if got := imbalance(t, after, nodes); got > 1.15 {
				t.Fatalf("max/mean = %.3f with %d nodes", got, len(nodes))
			}
			assigned = after
		}
	})
}

func TestLoadNeverMovesARoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := fleet(rapid.IntRange(1, 20).Draw(t, "nodes"), "eu")
		noise := func() {
			for i := range nodes {
				nodes[i].Load.CPU = rapid.Float64Range(0, 1).Draw(t, "cpu")
				nodes[i].Pressure = rapid.SampledFrom([]placement.Pressure{placement.Free, placement.Busy, placement.Full}).Draw(t, "pressure")
			}
		}
		noise()
		assigned := assign(rapid.IntRange(1, 300).Draw(t, "rooms"), nodes)
		for range 3 {
			noise()
			after := placement.Balancer{}.Assign(assigned, nodes)
			if moved := moves(assigned, after); moved > 0 {
				t.Fatalf("%d rooms moved", moved)
			}
			assigned = after
		}
	})
}

func TestNewRoomsGoWhereThereIsNoPressure(t *testing.T) {
	nodes := fleet(10, "eu")
	assigned := assign(100, nodes)
	nodes[3].Pressure = placement.Busy
	assigned[room(100)], assigned[room(101)] = "", ""
	after := placement.Balancer{}.Assign(assigned, nodes)
	for _, name := range []string{room(100), room(101)} {
		if after[name] == nodes[3].ID || after[name] == "" {
			t.Errorf("%s went to %q", name, after[name])
		}
	}
}

func TestADrainingNodeGivesItsRoomsAway(t *testing.T) {
	nodes := fleet(10, "eu")
	assigned := assign(100, nodes)
	nodes[0].Draining = true
	after := placement.Balancer{}.Assign(assigned, nodes)
	for name, id := range after {
		if id == nodes[0].ID {
			t.Errorf("%s stays on the draining node", name)
		}
	}
	if moved := moves(assigned, after); moved > 10 {
		t.Errorf("%d rooms moved", moved)
	}
}

func TestBalanceByCapacity(t *testing.T) {
	nodes := fleet(10, "eu")
	nodes[0].Capacity, nodes[1].Capacity = 8, 4
	if got := imbalance(t, assign(2000, nodes), nodes); got > 1.15 {
		t.Errorf("max/mean by weight = %.3f", got)
	}
}

func TestAThousandNodes(t *testing.T) {
	nodes := fleet(1001, "eu", "us", "ap")
	const rooms = 20_000
	assigned := assign(rooms, nodes[:1000])
	if got := imbalance(t, assigned, nodes[:1000]); got > 1.15 {
		t.Errorf("max/mean = %.3f", got)
	}
	shuffled := slices.Clone(nodes[:1000])
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if !reflect.DeepEqual(assigned, placement.Balancer{}.Assign(assigned, shuffled)) {
		t.Error("another order of nodes, another answer")
	}
	if moved := moves(assigned, placement.Balancer{}.Assign(assigned, nodes)); moved > rooms/1001 {
		t.Errorf("a join moved %d rooms", moved)
	}
	if moved := moves(assigned, placement.Balancer{}.Assign(assigned, nodes[1:1000])); moved > rooms/1000 {
		t.Errorf("a leave moved %d rooms", moved)
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
