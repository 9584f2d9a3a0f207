package network

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// video is the flow of the packets of these tests.
func video() Flow { return Flow{Protocol: UDP} }

// sized is a packet of that many bytes.
func sized(bytes int) *packet { return &packet{size: bytes} }

// offer sends packets of 1,200 bytes at even distances into a path, and returns when those that arrive are due.
func offer(p *path, from time.Time, count int, every time.Duration) (due []time.Time) {
	for i := range count {
		one := sized(1200)
		if p.takes(one, video(), from.Add(time.Duration(i)*every)) && !one.lost {
			due = append(due, one.due)
		}
	}
	return due
}

// What leaves a bottleneck leaves it at its rate, exactly, however much more comes; what comes slower is not held up.
func TestBottleneckRate(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rate  int
		every time.Duration // between packets of 1,200 bytes
		gap   time.Duration // between packets that arrive
	}{
		{"0.4 Mbit/s, three times as much", 400_000, 8 * time.Millisecond, 24 * time.Millisecond},
		{"1 Mbit/s, twice as much", 1_000_000, 4800 * time.Microsecond, 9600 * time.Microsecond},
		{"5 Mbit/s, all at once", 5_000_000, 0, 1920 * time.Microsecond},
		{"5 Mbit/s, half as much", 5_000_000, 3840 * time.Microsecond, 3840 * time.Microsecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const delay = 20 * time.Millisecond
			now := time.Now()
			p := &path{Path: Path{Delay: delay, Rate: tc.rate, Queue: 150 * time.Millisecond}}
			due := offer(p, now, 500, tc.every)
			if first := due[0].Sub(now); first != delay+transmission(1200, tc.rate) {
				t.Errorf("the first took %s", first)
			}
			for i := 1; i < len(due); i++ {
				if gap := due[i].Sub(due[i-1]); gap < transmission(1200, tc.rate) {
					t.Fatalf("packet %d came %s behind the one before, which is faster than the rate", i, gap)
				}
			}
			took := due[len(due)-1].Sub(due[0])
			if mean := took / time.Duration(len(due)-1); (mean - tc.gap).Abs() > tc.gap/100 {
				t.Errorf("one packet each %s, want %s", mean, tc.gap)
			}
		})
	}
}

// A queue holds what waits as long as it may, and no more.
func TestBottleneckQueue(t *testing.T) {
	now := time.Now()
	p := &path{Path: Path{Rate: 400_000, Queue: 100 * time.Millisecond}} // a packet each 24 ms
	if due := offer(p, now, 50, 0); len(due) != 5 {
		t.Errorf("%d packets fit, want 5: those that wait 0, 24, 48, 72 and 96 ms", len(due))
	}
	all := p.narrow.taken(now.Add(time.Second))
	var waits []time.Duration
	full := 0
	for _, one := range all {
		if one.Full {
			full++
			continue
		}
		waits = append(waits, one.Wait)
	}
	if len(waits) != 5 || full != 45 {
		t.Fatalf("%d passed and %d did not fit, want 5 and 45", len(waits), full)
	}
	for i, wait := range waits {
		if want := time.Duration(i) * 24 * time.Millisecond; wait != want {
			t.Errorf("packet %d waited %s, want %s", i, wait, want)
		}
	}
	if more := p.narrow.taken(now.Add(time.Second)); len(more) > 0 {
		t.Errorf("%d passages were told twice", len(more))
	}
}

// Packets keep their order through any changes of the rate, and so many bits leave as the rates let through.
func TestBottleneckChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Now()
		p := &path{Path: Path{Delay: 10 * time.Millisecond, Rate: 1_000_000, Queue: 300 * time.Millisecond}}
		var sent []*packet
		rates := rapid.SliceOfN(rapid.SampledFrom([]int{400_000, 1_000_000, 5_000_000}), 1, 6).Draw(t, "rates")
		begun, bits := now, 0.0
		for _, rate := range rates {
			p.become(Path{Delay: p.Delay, Rate: rate, Queue: p.Queue}, now)
			for range rapid.IntRange(300, 400).Draw(t, "packets") { // 9.6 Mbit/s: the queue is never empty
				one := sized(1200)
				if p.takes(one, video(), now) {
					sent = append(sent, one)
				}
				now = now.Add(time.Millisecond)
				bits += float64(rate) / 1000
			}
		}
		var last time.Time
		left := 0
		for i, one := range sent {
			if one.due.Before(last) {
				t.Fatalf("packet %d is due %s before the one ahead", i, last.Sub(one.due))
			}
			if last = one.due; !one.due.After(now.Add(p.Delay)) {
				left++
			}
		}
		if got := float64(left * 1200 * 8); math.Abs(got-bits) > 2*1200*8 {
			t.Fatalf("%.0f bits left within %s, want %.0f", got, now.Sub(begun), bits)
		}
	})
}

// What waits when a bottleneck is taken away leaves at once.
func TestBottleneckTakenAway(t *testing.T) {
	now := time.Now()
	p := &path{Path: Path{Rate: 400_000}}
	one, two := sized(1200), sized(1200)
	p.takes(one, video(), now)
	p.takes(two, video(), now)
	now = now.Add(time.Millisecond)
	p.become(Path{}, now)
	if !one.due.Equal(now) || !two.due.Equal(now) {
		t.Errorf("due %s and %s later", one.due.Sub(now), two.due.Sub(now))
	}
}

// Losses have the share that was asked for, and come in rows as long as was asked for.
func TestLosses(t *testing.T) {
	for _, tc := range []struct {
		name string
		path Path
		row  float64 // losses in a row, on average
	}{
		{"1 % at random", Path{Loss: 0.01}, 1 / 0.99},
		{"5 % at random", Path{Loss: 0.05}, 1 / 0.95},
		{"10 % at random", Path{Loss: 0.1}, 1 / 0.9},
		{"3 % in bursts of 5", Path{Loss: 0.03, Burst: 5}, 5},
		{"none", Path{Burst: 5}, 0},
		{"all", Path{Loss: 1, Burst: 5}, 1_000_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const packets = 1_000_000
			p := &path{Path: tc.path}
			lost, rows, was := 0, 0, false
			for range packets {
				is := p.loses()
				if is {
					lost++
				}
				if is && !was {
					rows++
				}
				was = is
			}
			if share := float64(lost) / packets; math.Abs(share-tc.path.Loss) > 0.1*tc.path.Loss {
				t.Errorf("lost %.4f, want %.4f", share, tc.path.Loss)
			}
			if row := float64(lost) / float64(max(rows, 1)); math.Abs(row-tc.row) > 0.1*tc.row {
				t.Errorf("%.2f in a row, want %.2f", row, tc.row)
			}
		})
	}
}

// What is lost behind a bottleneck has had its turn there.
func TestLossBehindBottleneck(t *testing.T) {
	now := time.Now()
	p := &path{Path: Path{Rate: 400_000, Queue: time.Second, Loss: 1}}
	offer(p, now, 10, 0)
	all := p.narrow.taken(now.Add(time.Second))
	if len(all) != 10 || !all[9].Lost || all[9].Full || all[9].Wait != 9*24*time.Millisecond {
		t.Errorf("the passages are %+v", all)
	}
}
