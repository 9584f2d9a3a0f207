package bandwidth

import "testing"

// trusting sends what there is to be sent, whatever the estimate, until the path is cut.
type trusting struct {
	*own
	yielded int64 // when; 0 before
}

func (c *trusting) feedback(now int64, raw []byte) {
	c.own.feedback(now, raw)
	switch {
	case c.yielded != 0:
	case c.e.Cut():
		c.yielded = now
		c.e.Yield(now)
	default:
		c.e.Trust(now)
	}
}

func (c *trusting) pace() float64 {
	if c.yielded == 0 {
		return 1e9
	}
	return c.own.pace()
}

func (c *trusting) owed(now int64) int {
	if c.yielded == 0 {
		return 0
	}
	return c.own.owed(now)
}

// TestTrustedPathIsCut: that a path which carried all that came carries half of it is known a moment later, with what it carries, while the queue that was
// made meanwhile is waited for. Before, nothing is said of a cut, whatever the rhythm of the pictures.
func TestTrustedPathIsCut(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(seed)
		link := &bottleneck{w: w, rate: 100 * mega, queue: 300 * milli, oneWay: 20 * milli, jitter: 3 * milli}
		c := &trusting{own: newOwn(w, Defaults())}
		f := newFlow(w, link, c, 100*milli)
		f.constant(4.4 * mega)
		w.run(10 * second)
		if c.yielded != 0 {
			t.Fatalf("seed %d: cut, after %.2f s of a path that is wide", seed, float64(w.now-c.yielded)/second)
		}
		link.rate = 2.2 * mega
		cut := w.now
		for c.yielded == 0 && w.now < cut+second {
			w.run(10 * milli)
		}
		took, rate, p := float64(c.yielded-cut)/milli, float64(c.e.Rate())/mega, c.e.Pacing(w.now)
		if c.yielded == 0 || took > 300 || rate < 0.7*2.2 || rate > 2.2 || !p.Emptying {
			t.Errorf("seed %d: after %.0f ms, %.2f Mbit/s, emptying %v", seed, took, rate, p.Emptying)
		}
		w.run(3 * second)
		if queue := f.queued(c.yielded+2*second, w.now, 0.95); queue > 100 {
			t.Errorf("seed %d: the queue stands at %.0f ms", seed, queue)
		}
	}
}
