package bandwidth

import (
	"testing"
	"time"
)

// TestBacklog: what has waited tells in tens of milliseconds what the path carries, and what a late receiver takes at once tells of no narrow path.
func TestBacklog(t *testing.T) {
	const size = 1250 // bytes: 10 ms at 1 Mbit/s
	for name, tc := range map[string]struct {
		every, waited time.Duration
		packets       int
		known         bool
	}{
		"too few to tell":    {10 * time.Millisecond, 30 * time.Millisecond, 3, false},
		"a cut to 1 Mbit/s":  {10 * time.Millisecond, 30 * time.Millisecond, 4, true},
		"long after it":      {10 * time.Millisecond, 300 * time.Millisecond, 100, true},
		"nothing waits":      {10 * time.Millisecond, 5 * time.Millisecond, 100, false},
		"late, and together": {20 * time.Microsecond, 50 * time.Millisecond, 40, false},
	} {
		t.Run(name, func(t *testing.T) {
			var b backlog
			for i := range tc.packets {
				b.add(second+int64(i)*int64(tc.every), int64(tc.waited), size)
			}
			rate, known := b.rate()
			if known != tc.known || known && (rate < 0.95*mega || rate > 1.05*mega) {
				t.Errorf("%.2f Mbit/s, known: %v", rate/mega, known)
			}
		})
	}
}

// TestCut: a path that carries a fifth of what it did is planned for as such within 350 ms, what leaves is less than it carries within 450, and the queue has
// gone within a second.
func TestCut(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(seed)
		p := plain(5*mega, 40, 300)
		link := p.lay(w)
		ctl := newOwn(w, Defaults())
		f := p.flow(w, link, ctl)
		f.elastic()
		w.run(15 * second)
		link.rate = 1 * mega
		began := w.now
		w.run(350 * milli)
		if budget := float64(ctl.e.Budget()); budget > 1.4*mega {
			t.Errorf("seed %d: %.2f Mbit/s are planned with after 350 ms", seed, budget/mega)
		}
		w.run(100 * milli)
		if rate := f.ctl.rate(); rate > 1.2*mega || rate < 0.7*mega {
			t.Errorf("seed %d: %.2f Mbit/s after 450 ms", seed, rate/mega)
		}
		w.run(2 * second)
		if queue := f.queued(began+second, w.now, 0.95); queue > 100 {
			t.Errorf("seed %d: queue p95 %.0f ms from the first second on", seed, queue)
		}
	}
}

// TestFloodedFromTheStart: whoever joins is sent all that tiles have shown since their last keyframe. A path that this is much too much for is known for what
// it is within 300 ms, before there are any rates.
func TestFloodedFromTheStart(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(seed)
		p := plain(5*mega, 40, 300)
		p.feedback = 50 * milli
		f := p.flow(w, p.lay(w), newOwn(w, Defaults()))
		e := f.ctl.(*own).e
		e.Want(0) // no probes
		w.every(milli, func() {
			packets := 1 // 9 Mbit/s
			if w.now < 100*milli {
				packets = 8
			}
			for range packets {
				f.leave(1100, Media)
			}
		})
		w.run(300 * milli)
		if rate := float64(e.Budget()); e.Opening() || rate > 5*mega || rate < 4*mega {
			t.Errorf("seed %d: opening %v, %.2f Mbit/s", seed, e.Opening(), rate/mega)
		}
	}
}
