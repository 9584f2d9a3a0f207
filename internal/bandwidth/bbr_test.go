package bandwidth

import "testing"

// TestBesideBBR: who keeps a queue that no delay and no loss makes shorter leaves us a share all the same.
func TestBesideBBR(t *testing.T) {
	for _, s := range sources() {
		for _, rtt := range []int64{40, 160} {
			for _, queue := range []int64{100, 300} {
				const seeds = 4
				share := 0.0
				p := plain(3*mega, rtt, queue)
				for seed := range uint64(seeds) {
					w := newWorld(seed)
					link := p.lay(w)
					f := p.flow(w, link, newOwn(w, Defaults()))
					s.start(f)
					w.run(10 * second)
					r := newBBR(w, link)
					from := w.now
					w.run(40 * second)
					_, _, ours := f.between(from, w.now)
					share += ours / (ours + float64(8*r.received)/40) / seeds
				}
				t.Logf("%-20s %-8s ours %.0f %%", p, s.name, 100*share)
				// What it keeps in flight is more than the shorter queue holds: a tenth of everything is lost.
				if least := map[bool]float64{true: 0.15, false: 0.3}[rtt == 160 && queue == 100]; share < least {
					t.Errorf("ours is %.0f %%", 100*share)
				}
			}
		}
	}
}
