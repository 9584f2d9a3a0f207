package bandwidth

import "testing"

// TestTrainBehindABusyReceiver: a receiver that looks late at the first packets takes them together; the others tell the rate all the same.
func TestTrainBehindABusyReceiver(t *testing.T) {
	for name, late := range map[string]int64{"at once": 0, "30 ms late": 30 * milli} {
		t.Run(name, func(t *testing.T) {
			var c train
			for i := range int64(40) { // 1,000 bytes each ms, of which the path carries one in 2 ms: 4 Mbit/s
				c.add(departure{at: i * milli, size: 1000}, max(20*milli+2*i*milli, 20*milli+late))
			}
			rate, filled, ok := c.rate(40, 0)
			if want := trainUse * 4e6; !ok || !filled || rate < 0.97*want || rate > 1.03*want {
				t.Errorf("%.2f Mbit/s, filled %v, want %.2f", rate/mega, filled, want/mega)
			}
		})
	}
}

// TestProbeOfBefore: what a train has found is taken, unless it began before a decrease whose queue still goes.
func TestProbeOfBefore(t *testing.T) {
	for name, tc := range map[string]struct {
		decreased int64 // when; the train began after 20 ms
		drains    bool
		want      float64 // Mbit/s
	}{
		"the queue goes":                    {30 * milli, true, 1},
		"the queue has gone":                {30 * milli, false, 2},
		"the train began behind a decrease": {10 * milli, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			e := estimator(t)
			e.opening.end()
			e.rate, e.aimd.rate = 1e6, 1e6
			e.aimd.draining, e.aimd.decreased = tc.drains, tc.decreased
			c := cluster{id: 1, rate: 2e6, began: 20 * milli, count: 10}
			for i := range int64(10) {
				c.arrivals.add(departure{at: 4 * i * milli, size: 1000}, second+4*i*milli)
			}
			e.prober.clusters[0] = c
			e.conclude(10)
			if got := e.aimd.rate / 1e6; got < tc.want-0.01 || got > tc.want+0.01 {
				t.Errorf("%.2f Mbit/s, want %.2f", got, tc.want)
			}
		})
	}
}

// TestQueueThatStays: one that a decrease does not make shorter is a rival's, or shows that the path is longer if it is the same in each of several messages.
func TestQueueThatStays(t *testing.T) {
	for name, tc := range map[string]struct {
		queues []int64 // ms, one each 200 ms; -1 where no message comes
		longer bool
	}{
		"the same":                 {[]int64{60, 60, 60, 61, 60, 60}, true},
		"up and down":              {[]int64{60, 60, 60, 70, 60, 55}, false},
		"the same, in one message": {[]int64{60, -1, -1, -1, -1, 60}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := aimd{rate: 2 * mega}
			a.fall(passage{usage: over, queue: 60 * milli, known: true, leaving: 2 * mega, arriving: 2 * mega, peak: 2 * mega}, 40*milli, second)
			longer := false
			for i, queue := range tc.queues {
				if queue == -1 {
					continue
				}
				p := passage{queue: queue * milli, known: true, leaving: 1.7 * mega, arriving: 1.7 * mega, peak: 1.7 * mega}
				a.update(p, 40*milli, second+int64(i+1)*200*milli)
				longer = longer || a.longer
			}
			if borne := a.rivals.bearable > 0; longer != tc.longer || borne == tc.longer || a.draining {
				t.Errorf("longer %v, borne %v, draining %v", longer, borne, a.draining)
			}
		})
	}
}

// TestPeak: a path that is filled for a moment tells what it carries, though little was sent before.
func TestPeak(t *testing.T) {
	var p throughput
	for at := int64(0); at < 2*second; at += milli {
		size := 125 // 1 Mbit/s
		if at >= 1800*milli {
			size = 625
		}
		p.add(at, size)
	}
	if mean, _ := p.rate(); mean > 4.9*mega {
		t.Errorf("on average %.2f Mbit/s", mean/mega)
	}
	if peak := p.peak(); peak < 4.9*mega || peak > 5.1*mega {
		t.Errorf("at its peak %.2f Mbit/s, want 5", peak/mega)
	}
}

// TestChokedApplication: an application that sends less than it may, and more than the path carries, brings the rate below what arrives at once.
func TestChokedApplication(t *testing.T) {
	for name, tc := range map[string]struct {
		p             passage
		rate, restore float64 // Mbit/s
	}{
		"less than it may, and all arrives":    {passage{usage: over, queue: 60 * milli, known: true, leaving: 2e6, arriving: 2e6, peak: 2e6, served: 2e6, serves: true}, 4.25, 1.9},
		"less than it may, and half arrives":   {passage{usage: over, queue: 60 * milli, known: true, leaving: 2e6, arriving: 1e6, peak: 2e6, served: 1e6, serves: true}, 0.85, 0.95},
		"as much as it may, after a calm time": {passage{usage: over, queue: 60 * milli, known: true, leaving: 4e6, arriving: 3.9e6, peak: 4.8e6, served: 3.9e6, serves: true}, 4.08, 4.56},
	} {
		t.Run(name, func(t *testing.T) {
			a := aimd{rate: 5e6}
			a.decrease(tc.p, 50*milli, second)
			if a.rate/mega < tc.rate-0.01 || a.rate/mega > tc.rate+0.01 || regainTo*a.carried/mega < tc.restore-0.01 || regainTo*a.carried/mega > tc.restore+0.01 {
				t.Errorf("%.2f, then %.2f Mbit/s, want %.2f and %.2f", a.rate/mega, regainTo*a.carried/mega, tc.rate, tc.restore)
			}
		})
	}
}
