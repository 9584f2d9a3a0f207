package node

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/parley-sfu/parley/cascade"
)

// forest is nodes that pull one track, each with its own opinion of parents, over links that deliver in order but when they
// like. Node 0 is the origin.
type forest struct {
	nodes   []*tree
	mail    map[[2]int][]letter // from and to
	now     int64
	opinion func(node int) []string
}

type tree struct {
	course
	wanted bool
	parent int          // -1 while there is none
	serves map[int]bool // nodes that the track is passed on to
}

// letter is a pull, the end of one, or what refuses one.
type letter struct {
	pull, end bool
	path      []string
	why       cascade.Reason
}

const planted = "n0"

func plant(n int) *forest {
	f := &forest{mail: map[[2]int][]letter{}}
	for i := range n {
		f.nodes = append(f.nodes, &tree{
			course: course{self: fmt.Sprint("n", i), origin: planted}, wanted: i > 0, parent: -1, serves: map[int]bool{},
		})
	}
	return f
}

func (f *forest) index(id string) int {
	return slices.IndexFunc(f.nodes, func(t *tree) bool { return t.self == id })
}

func (f *forest) post(from, to int, l letter) {
	f.mail[[2]int{from, to}] = append(f.mail[[2]int{from, to}], l)
}

// review is feed.review.
func (f *forest) review(i int) {
	t := f.nodes[i]
	if i == 0 || (!t.wanted && len(t.leaves) == 0) {
		if i != 0 && t.parent >= 0 {
			f.post(i, t.parent, letter{end: true})
			t.parent = -1
		}
		return
	}
	parents := append(slices.Clone(f.opinion(i)), planted)
	parents = slices.DeleteFunc(parents, func(id string) bool { return id == t.self })
	present := ""
	if t.parent >= 0 {
		present = f.nodes[t.parent].self
	}
	next := ""
	if present == "" {
		next = t.choose(parents, func(string) reach { return reached }, f.now)
	} else {
		next = t.better(present, parents, func(string) bool { return true }, f.now)
	}
	if next != "" {
		if t.parent >= 0 {
			f.post(i, t.parent, letter{end: true})
		}
		t.parent = f.index(next)
		f.post(i, t.parent, letter{pull: true, path: t.path()})
	}
}

// deliver is relay.Pulled and relay.Gone.
func (f *forest) deliver(from, to int) {
	box := f.mail[[2]int{from, to}]
	if len(box) == 0 {
		return
	}
	l := box[0]
	f.mail[[2]int{from, to}] = box[1:]
	t := f.nodes[to]
	switch {
	case l.pull && to == 0:
		t.serves[from] = true
	case l.pull:
		present := ""
		if t.parent >= 0 {
			present = f.nodes[t.parent].self
		}
		if t.serves[from] {
			t.release(f.nodes[from].self)
			delete(t.serves, from)
		}
		if why, ok := t.admit(present, f.nodes[from].self, l.path); ok {
			t.serves[from] = true
		} else {
			f.post(to, from, letter{why: why})
		}
		f.review(to)
	case l.end:
		if t.serves[from] && to != 0 {
			t.release(f.nodes[from].self)
		}
		delete(t.serves, from)
		f.review(to)
	case t.parent == from:
		t.refused(f.nodes[from].self, l.why, f.now)
		t.parent = -1
		f.review(to)
	}
}

func TestAdmit(t *testing.T) {
	for name, tc := range map[string]struct {
		present, from string
		path          []string
		why           cascade.Reason
	}{
		"a leaf":                     {"origin", "leaf", []string{"leaf"}, ""},
		"before it is pulled":        {"", "leaf", []string{"leaf"}, ""},
		"an older leaf":              {"origin", "leaf", nil, ""},
		"a node in its own path":     {"origin", "leaf", []string{"leaf", "self"}, cascade.Loop},
		"the origin":                 {"origin", "origin", []string{"origin"}, cascade.Loop},
		"one that passes it on":      {"origin", "leaf", []string{"leaf", "another"}, cascade.TooFar},
		"while it comes from a leaf": {"gateway", "leaf", []string{"leaf"}, cascade.TooFar},
	} {
		t.Run(name, func(t *testing.T) {
			c := course{self: "self", origin: "origin"}
			if why, ok := c.admit(tc.present, tc.from, tc.path); why != tc.why || ok != (tc.why == "") || len(c.leaves) == 1 != ok {
				t.Errorf("admitted %v, %q; leaves %q", ok, why, c.leaves)
			}
		})
	}
}

// links is how many links a packet crosses to a node: along those that serve it and that it takes packets from.
func (f *forest) links(i int) int {
	hops := 0
	for at := i; at != 0; hops++ {
		p := f.nodes[at].parent
		if p < 0 || !f.nodes[p].serves[at] || hops > len(f.nodes) {
			return -1 // nothing comes
		}
		at = p
	}
	return hops
}

// TestNoLoopWhateverParentsAre: nodes with stale and contradictory ideas of gateways never send packets in circles or over
// more than two links, and all are served in the end.
func TestNoLoopWhateverParentsAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 7).Draw(t, "nodes")
		f := plant(n)
		ids := make([]string, n)
		for i := range ids {
			ids[i] = f.nodes[i].self
		}
		opinions := make([][]string, n)
		f.opinion = func(i int) []string { return opinions[i] }
		doubt := func(i int) {
			opinions[i] = rapid.SliceOfN(rapid.SampledFrom(ids), 0, 3).Draw(t, "opinion")
		}
		for i := range n {
			doubt(i)
		}
		check := func() {
			for i := 1; i < n; i++ {
				if hops := f.links(i); hops > cascade.MaxHops {
					t.Fatalf("packets cross %d links to n%d", hops, i)
				}
				if tr := f.nodes[i]; len(tr.serves) > 0 && tr.parent > 0 {
					t.Fatalf("n%d passes on what it has from n%d", i, tr.parent)
				}
			}
		}
		for range rapid.IntRange(0, 150).Draw(t, "steps") {
			i, j := rapid.IntRange(0, n-1).Draw(t, "i"), rapid.IntRange(0, n-1).Draw(t, "j")
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				doubt(i)
			case 1:
				f.nodes[i].wanted = i > 0 && rapid.Bool().Draw(t, "wanted")
				f.review(i)
			case 2:
				f.now += rapid.Int64Range(0, int64(2*refusedFor)).Draw(t, "time")
			case 3, 4, 5:
				f.review(i)
			default:
				f.deliver(i, j)
			}
			check()
		}
		for i := 1; i < n; i++ {
			f.nodes[i].wanted = true
		}
		f.calm(t, check)
		for i := 1; i < n; i++ {
			if f.links(i) < 1 {
				t.Fatalf("n%d gets nothing; its parent is %d", i, f.nodes[i].parent)
			}
		}
	})
}

// calm lets everything arrive, with opinions as they are. Nobody's opinion is right, so nobody comes to rest; but from
// whoever asks better parents in vain, nothing is taken away.
func (f *forest) calm(t *rapid.T, check func()) {
	for round := 0; ; round++ {
		for i := range f.nodes {
			if f.nodes[i].parent < 0 {
				f.review(i)
			}
		}
		busy := false
		for i := range len(f.nodes) * len(f.nodes) {
			from, to := i/len(f.nodes), i%len(f.nodes)
			for len(f.mail[[2]int{from, to}]) > 0 {
				busy = true
				f.deliver(from, to)
				check()
			}
		}
		if !busy {
			return
		}
		if round > 1000 {
			t.Fatal("never calm")
		}
	}
}
