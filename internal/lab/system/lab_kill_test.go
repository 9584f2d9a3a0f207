package system_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// A node is killed, again and again. Who was on it comes back through another one, with media; nobody else's media stops.
func TestLabKill(t *testing.T) {
	const gapBound, backBound = 400 * time.Millisecond, 3 * time.Second // p95
	w := lab.StartWorld(t, lab.Overseas(), 2, "eu", "us", "ap")
	meeting := w.NewMeeting(t, "Nodes die").ID
	figures := newTable(t, "killed", "times", "what", "p50", "p95", "bound", "")
	eu, us, ap := w.Regions[0].Nodes, w.Regions[1].Nodes, w.Regions[2].Nodes
	stay := []*person{
		attend(t, us[0], meeting, "us speaker", true),
		attend(t, us[1], meeting, "us viewer", false),
		attend(t, eu[1], meeting, "eu viewer", false),
		attend(t, ap[1], meeting, "ap viewer", false),
	}
	for _, victim := range []*lab.Node{eu[0], ap[0]} {
		var gaps, back []time.Duration
		for round := range howMuch().kills {
			kill := killRound{victim: victim, stay: stay}
			kill.moves = []*person{attend(t, victim, meeting, fmt.Sprintf("%s speaker %d", victim.ID, round+1), true)}
			kill.run(t, w)
			gaps, back = append(gaps, kill.gaps...), append(back, kill.back...)
		}
		for _, row := range []struct {
			what  string
			of    []time.Duration
			bound time.Duration
		}{{"longest silence of the others", gaps, gapBound}, {"its own people without media, both ways", back, backBound}} {
			p95 := percentile(row.of, 95)
			figures.add(victim.ID, howMuch().kills, row.what, percentile(row.of, 50), p95, row.bound, verdict(p95 < row.bound))
			if p95 >= row.bound {
				t.Errorf("%s killed: %s: %s, want less than %s", victim.ID, row.what, p95, row.bound)
			}
		}
	}
}

// killRound is one kill: who was on the node and who was not, and what became of them.
type killRound struct {
	victim      *lab.Node
	moves, stay []*person
	gaps        []time.Duration // of those who stay, among them
	back        []time.Duration // of those who move: without media from and to each of the others
}

func (k *killRound) run(tb testing.TB, w *lab.World) {
	tb.Helper()
	const limit = 30 * time.Second
	everybody := append(append([]*person{}, k.stay...), k.moves...)
	awaitMedia(tb, limit, everybody...)
	mark(everybody)
	killed := time.Now()
	k.victim.Kill(tb)
	moves := func(p *person) bool { return slices.Contains(k.moves, p) }
	broken := flows(everybody, func(to, from *person) bool { return moves(to) || moves(from) })
	for _, f := range broken { // what was on its way at the kill has long arrived after half a second
		lab.Until(tb, limit, f.String()+" again", func() bool { return f.now().last.Sub(killed) > 500*time.Millisecond })
	}
	k.back, _ = longest(broken)
	k.gaps, _ = longest(flows(everybody, func(to, from *person) bool { return !moves(to) && !moves(from) }))
	awaitRoster(tb, limit, everybody)
	for _, p := range k.moves {
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
	}
	k.victim.Start(tb)
	w.AwaitNodes(tb)
}
