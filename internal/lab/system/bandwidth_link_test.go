package system_test

import (
	"slices"
	"time"

	"github.com/parley-sfu/parley/bench/plot"
	"github.com/parley-sfu/parley/internal/lab"
)

// A bottleneckLog is what passed a bottleneck.
type bottleneckLog []lab.Passage

// left is when a packet left the queue, in nanoseconds since 1970; one that found it full left at once.
func left(p lab.Passage) int64 {
	if p.Full {
		return p.At
	}
	return p.At + int64(p.Wait)
}

// between are the passages from one moment to another, by when packets left.
func (l bottleneckLog) between(from, to time.Time) (some bottleneckLog) {
	for _, p := range l {
		if at := left(p); at >= from.UnixNano() && at < to.UnixNano() {
			some = append(some, p)
		}
	}
	return some
}

// rate is how many bits a second left the queue, from one moment to another; a nil rule is for all of them.
func (l bottleneckLog) rate(from, to time.Time, which func(lab.Passage) bool) float64 {
	bits := 0
	for _, p := range l {
		at := left(p)
		if !p.Full && at >= from.UnixNano() && at < to.UnixNano() && (which == nil || which(p)) {
			bits += 8 * p.Bytes
		}
	}
	return float64(bits) / to.Sub(from).Seconds()
}

// waits are how long packets were in the queue.
func (l bottleneckLog) waits() (all []time.Duration) {
	for _, p := range l {
		if !p.Full {
			all = append(all, p.Wait)
		}
	}
	return all
}

// overflow is the share of packets that found the queue full.
func (l bottleneckLog) overflow() float64 {
	full := 0
	for _, p := range l {
		if p.Full {
			full++
		}
	}
	return float64(full) / float64(max(1, len(l)))
}

// settles is how long after a moment the bottleneck is used well for the first time: over a second, by that share of its rate at
// least, and with waits up to the bound for 95 of 100 packets. It is -1 if that never comes.
func (l bottleneckLog) settles(from, to time.Time, rate int, share float64, bound time.Duration) time.Duration {
	const window, step = time.Second, 100 * time.Millisecond
	for at := from; !at.Add(window).After(to); at = at.Add(step) {
		if l.rate(at, at.Add(window), nil) >= share*float64(rate) && percentile(l.between(at, at.Add(window)).waits(), 95) <= bound {
			return at.Sub(from)
		}
	}
	return -1
}

// curves are the rate in Mbit/s, over half seconds, and the longest wait in ms of each tenth of a second.
func (l bottleneckLog) curves(from, to time.Time) (rate, wait []plot.Point) {
	for at := from; at.Before(to); at = at.Add(100 * time.Millisecond) {
		x := at.Sub(from).Seconds()
		begin := at.Add(-250 * time.Millisecond)
		rate = append(rate, plot.Point{X: x, Y: l.rate(begin, begin.Add(500*time.Millisecond), nil) / 1e6})
		longest := percentile(l.between(at, at.Add(100*time.Millisecond)).waits(), 100)
		wait = append(wait, plot.Point{X: x, Y: float64(longest) / float64(time.Millisecond)})
	}
	return rate, wait
}

// curve is the rate of some packets in Mbit/s, over half seconds.
func (l bottleneckLog) curve(from, to time.Time, which func(lab.Passage) bool) (points []plot.Point) {
	const width = 500 * time.Millisecond
	for at := from; !at.Add(width).After(to); at = at.Add(width) {
		points = append(points, plot.Point{X: at.Sub(from).Seconds(), Y: l.rate(at, at.Add(width), which) / 1e6})
	}
	return points
}

// mediaPorts are the UDP ports that much was sent to.
func (l bottleneckLog) mediaPorts() (ports []uint16) {
	const much = 100
	packets := map[uint16]int{}
	for _, p := range l {
		if p.Protocol == lab.UDP {
			packets[p.Port]++
		}
	}
	for port, count := range packets {
		if count > much {
			ports = append(ports, port)
		}
	}
	slices.Sort(ports)
	return ports
}
