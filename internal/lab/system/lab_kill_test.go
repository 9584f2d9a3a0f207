package system_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// gapBound is the p95 of the silence of those who are not on a node that dies.
const gapBound = 400 * time.Millisecond

// Nodes are killed, again and again, one of each part that a node can play for a room. Who was on it comes back through
// another one, with media; nobody else's media stops.
func TestLabKill(t *testing.T) {
	const backBound = 3 * time.Second // p95
	w := lab.StartWorld(t, lab.Overseas(), 2, "eu", "us", "ap")
	meeting := w.NewMeeting(t, "Nodes die").ID
	figures := newTable(t, "killed", "times", "what", "p50", "p95", "bound", "")
	origin := func() *lab.Node { return w.Regions[0].Nodes[0] }
	gateway := func() *lab.Node { return pulling(t, w, w.Regions[0], w.Regions[1]) }
	for _, role := range []struct {
		name   string
		victim func() *lab.Node
	}{
		{"origin", origin},
		{"gateway", gateway},
		{"leaf", func() *lab.Node { return other(w.Regions[1].Nodes, gateway()) }},
		{"home", func() *lab.Node { return homeOf(t, w, "") }},
	} {
		var gaps, back []time.Duration
		for range howMuch().kills {
			kill := killRound{}
			for i, n := range w.Nodes() {
				kill.people = append(kill.people, attend(t, n, meeting, "On "+n.ID, i%2 == 0))
			}
			awaitMedia(t, 30*time.Second, kill.people...)
			awaitPaths(t, w, kill.people)
			kill.victim = role.victim()
			kill.run(t, w)
			gaps, back = append(gaps, kill.gaps...), append(back, kill.back...)
		}
		for _, row := range []struct {
			what  string
			of    []time.Duration
			bound time.Duration
		}{{"longest silence of the others", gaps, gapBound}, {"its own people without media, both ways", back, backBound}} {
			p95 := percentile(row.of, 95)
			figures.add(role.name, howMuch().kills, row.what, percentile(row.of, 50), p95, row.bound, verdict(p95 < row.bound))
			if p95 >= row.bound {
				t.Errorf("%s killed: %s: %s, want less than %s", role.name, row.what, p95, row.bound)
			}
		}
	}
}

// awaitPaths waits until each node has a link with those that others' media comes from, over which it has that if a gateway dies.
func awaitPaths(tb testing.TB, w *lab.World, people []*person) {
	tb.Helper()
	type ends struct{ node, peer string }
	lab.Until(tb, 30*time.Second, "all nodes have a second path", func() bool {
		var answer struct {
			Links []struct {
				Node string `json:"node"`
				Peer string `json:"peer"`
				Up   bool   `json:"up"`
			} `json:"links"`
		}
		w.Nodes()[0].Call(tb, http.MethodGet, "/v1/cluster/links", nil, &answer)
		up := map[ends]bool{}
		for _, l := range answer.Links {
			up[ends{l.Node, l.Peer}] = l.Up
		}
		for _, to := range people {
			for _, from := range people {
				if from.sends && from.node != to.node && !up[ends{to.node.ID, from.node.ID}] {
					return false
				}
			}
		}
		return true
	})
}

// pulling is the node of a region that gets the other region's media from abroad just now.
func pulling(tb testing.TB, w *lab.World, from, to *lab.Region) (gateway *lab.Node) {
	tb.Helper()
	count := func(n *lab.Node) int {
		media := lab.MediaBetween(from, to)
		return w.WAN.Count(func(f lab.Flow) bool { return f.To == n.Media && media(f) }).Bytes
	}
	most := 0
	before := map[*lab.Node]int{}
	for _, n := range to.Nodes {
		before[n] = count(n)
	}
	time.Sleep(500 * time.Millisecond) // while it is counted
	for _, n := range to.Nodes {
		if bytes := count(n) - before[n]; bytes > most {
			gateway, most = n, bytes
		}
	}
	return gateway
}

// other is the one of two nodes that is not n.
func other(nodes []*lab.Node, n *lab.Node) *lab.Node {
	return nodes[1-slices.Index(nodes, n)]
}

// homeOf is the home of a meeting's room; of the only room when none is named.
func homeOf(tb testing.TB, w *lab.World, meeting string) *lab.Node {
	tb.Helper()
	var answer struct {
		Rooms []struct {
			Meeting string `json:"meeting_id"`
			Node    string `json:"node"`
			Home    bool   `json:"home"`
		} `json:"rooms"`
	}
	w.Nodes()[0].Call(tb, http.MethodGet, "/v1/cluster/rooms", nil, &answer)
	for _, r := range answer.Rooms {
		if r.Home && (meeting == "" || r.Meeting == meeting) {
			return w.Nodes()[slices.IndexFunc(w.Nodes(), func(n *lab.Node) bool { return n.ID == r.Node })]
		}
	}
	tb.Fatalf("no node is the room's home: %+v", answer)
	return nil
}

// killRound is one kill: who was on the node and who was not, and what became of them.
type killRound struct {
	victim *lab.Node
	people []*person
	gaps   []time.Duration // of those who stay, among them
	back   []time.Duration // of those who move: without media from and to each of the others
}

func (k *killRound) run(tb testing.TB, w *lab.World) {
	tb.Helper()
	const limit = 30 * time.Second
	everybody := k.people
	mark(everybody)
	killed := time.Now()
	k.victim.Kill(tb)
	moves := func(p *person) bool { return p.node == k.victim }
	broken := flows(everybody, func(to, from *person) bool { return moves(to) || moves(from) })
	for _, f := range broken { // what was on its way at the kill has long arrived after half a second
		lab.Until(tb, limit, f.String()+" again", func() bool { return f.now().last.Sub(killed) > 500*time.Millisecond })
	}
	k.back, _ = longest(broken)
	gaps, worst := longest(flows(everybody, func(to, from *person) bool { return !moves(to) && !moves(from) }))
	if gap := worst.now().longest; gap >= gapBound {
		tb.Logf("%s killed: %s was away for %s", k.victim.ID, worst, gap)
	}
	k.gaps = gaps
	awaitRoster(tb, limit, everybody)
	for _, p := range everybody {
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
	}
	k.victim.Start(tb)
	w.AwaitNodes(tb)
}
