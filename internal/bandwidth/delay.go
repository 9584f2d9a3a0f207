package bandwidth

import "math"

const (
	queuePackets = 8
	doubtPackets = 3
	trendGap     = 2 * second // after a silence as long the past says nothing
	queueFelt    = 12 * milli
	baseWindow   = 10 * second // the shortest delay of so long, or up to twice, is that of an empty path
)

// delay is the delay-based part: it turns departures and arrivals into usage of the path, and into the queue that stands on it.
type delay struct {
	groups   grouping
	trend    trend
	detector detector
	base     minimum // ns between the two clocks, path included
	newest   int64   // arrival
	ways     [queuePackets]int64
	packets  int   // that ways has seen
	queue    int64 // ns
	least    int64 // ns: the shortest delay, of base
	backlog  backlog
	latest   backlog // the end of it
}

func newDelay() delay {
	return delay{detector: newDetector(), base: minimum{window: baseWindow}}
}

// add takes one packet that arrived, and from when on a queue is felt. What is of a probe makes a queue on purpose, which is no trend.
func (d *delay) add(sentAt, arrival int64, size int, probe bool, felt int64) {
	if gap := arrival - d.newest; gap > trendGap || gap < -trendGap {
		d.restart()
	}
	d.newest = max(d.newest, arrival)
	d.ways[d.packets%queuePackets] = arrival - sentAt
	d.packets++
	if d.base.started {
		waited := arrival-sentAt-d.least >= felt
		d.backlog.add(sentAt, arrival, size, waited, backlogMost)
		d.latest.add(sentAt, arrival, size, waited, backlogDoubt)
	}
	if probe {
		return
	}
	sent, arrived, ok := d.groups.add(sentAt, arrival)
	if !ok {
		return
	}
	slope := d.trend.add(arrived-sent, arrival)
	d.detector.look(slope, d.trend.count, sent, arrival)
}

// restart forgets all but the shortest delay: the path stood still.
func (d *delay) restart() {
	d.groups, d.trend, d.detector, d.newest, d.packets, d.backlog = grouping{}, trend{}, newDetector(), 0, 0, backlog{}
	d.latest = backlog{}
}

// end follows the packets of a message. The quickest of the last eight tells how long the queue is: jitter only ever makes slower.
func (d *delay) end(now int64) {
	if d.packets == 0 {
		return
	}
	quickest := d.quickest(queuePackets)
	d.least = d.base.add(quickest, now)
	d.queue = quickest - d.least
}

// rebase takes the delay of now for that of the empty path.
func (d *delay) rebase(now int64) {
	d.base = minimum{window: baseWindow}
	d.end(now)
}

// quickest is the shortest way of the last n packets.
func (d *delay) quickest(n int) int64 {
	least := int64(math.MaxInt64)
	for i := max(0, d.packets-n); i < d.packets; i++ {
		least = min(least, d.ways[i%queuePackets])
	}
	return least
}

// lately is a passage as the last few packets tell it, jitter or not.
func (d *delay) lately(p passage) passage {
	p.queue, p.pushed = d.quickest(doubtPackets)-d.least, d.latest.sent()
	p.served, p.serves = d.latest.rate()
	return p
}

// usage is that of the detector on a path of so many bit/s, except that a queue too short to be felt is none: layers come in bursts that make such.
func (d *delay) usage(rate float64) usage {
	if d.detector.usage == over && d.queue < felt(rate) {
		return normal
	}
	return d.detector.usage
}

// felt is how long a queue on a path of so many bit/s is at least, in ns: a packet and a half on their way are none.
func felt(rate float64) int64 { return max(queueFelt, int64(1.5*meanPacket/rate*second)) }

// minimum is the least value of a window of time, kept in two halves: it forgets after one to two windows.
type minimum struct {
	window         int64
	began          int64
	started        bool
	before, during int64
}

// add takes a value and returns the least.
func (m *minimum) add(v, now int64) int64 {
	switch {
	case !m.started || now-m.began >= 2*m.window:
		m.started, m.began, m.before, m.during = true, now, v, v
	case now-m.began >= m.window:
		m.began, m.before, m.during = now, m.during, v
	}
	m.during = min(m.during, v)
	return min(m.before, m.during)
}
