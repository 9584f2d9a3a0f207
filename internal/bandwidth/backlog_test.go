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
				b.add(int64(i)*milli, second+int64(i)*int64(tc.every), size, int64(tc.waited) >= felt(5*mega), backlogMost)
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

// TestDoubt: where feedback comes each 50 ms, as browsers send it, hardly anything leaves any more within 150 ms of a cut, most of the time, though it takes some
// packets more to be sure of it and to lower the estimate.
func TestDoubt(t *testing.T) {
	doubted := 0
	for seed := range uint64(10) {
		w := newWorld(seed)
		p := plain(5*mega, 40, 300)
		p.feedback = 50 * milli
		link := p.lay(w)
		ctl := newOwn(w, Defaults())
		p.flow(w, link, ctl).elastic()
		w.run(15*second + int64(seed)*17*milli)
		link.rate = 1 * mega
		w.run(150 * milli)
		if ctl.e.Pacing(w.now).Rate < 1*mega {
			doubted++
		}
		w.run(doubtLasts)
		if rate := ctl.e.Pacing(w.now).Rate; rate == 0 || ctl.rate() > 2*mega {
			t.Errorf("seed %d: %d bit/s leave of %.0f with no doubt left", seed, rate, ctl.rate())
		}
	}
	if doubted < 6 {
		t.Errorf("doubted %d of 10 times", doubted)
	}
}

// TestCutLoses: what the queue of a cut has no room for is lost, and that says nothing of the path as it has become.
func TestCutLoses(t *testing.T) {
	for seed := range uint64(10) {
		w := newWorld(seed)
		link := plain(5*mega, 40, 100).lay(w)
		ctl := newOwn(w, Defaults())
		plain(5*mega, 40, 100).flow(w, link, ctl).elastic()
		w.run(15 * second)
		link.rate = 1 * mega
		w.run(1200 * milli)
		if budget := float64(ctl.e.Budget()); budget < 0.85*mega || budget > 1.15*mega {
			t.Errorf("seed %d: %.2f Mbit/s are planned with", seed, budget/mega)
		}
	}
}

// TestCutIsOne: while a cut's queue goes, little leaves, and comes as slowly as it left; that is no second cut.
func TestCutIsOne(t *testing.T) {
	for _, s := range sources() {
		for seed := range uint64(40) {
			w := newWorld(seed)
			p := plain(5*mega, 160, 100)
			p.jitter, p.loss = 10*milli, 0.01
			link := p.lay(w)
			ctl := newOwn(w, Defaults())
			s.start(p.flow(w, link, ctl))
			w.run(15 * second)
			link.rate = 1 * mega
			w.run(1500 * milli)
			if budget := float64(ctl.e.Budget()); budget < 0.6*mega {
				t.Errorf("%s, seed %d: %.2f Mbit/s are planned with", s.name, seed, budget/mega)
			}
		}
	}
}

// TestLongerIsNoCut: on a way that has become longer everything seems to wait, but comes as it left, however little that is at the moment.
func TestLongerIsNoCut(t *testing.T) {
	for left, cut := range map[int64]bool{10 * milli: false, 9500 * micro: false, 8 * milli: true, 2 * milli: true} {
		var b backlog
		for i := range int64(8) {
			b.add(i*left, second+i*10*milli, 1250, true, backlogMost)
		}
		p := passage{known: true, queue: 60 * milli, leaving: 4 * mega, pushed: b.sent()}
		p.served, p.serves = b.rate()
		if p.cut() != cut {
			t.Errorf("%.2f Mbit/s of %.2f came: cut %v", p.served/mega, p.pushed/mega, p.cut())
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
