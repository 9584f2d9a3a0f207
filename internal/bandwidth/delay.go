package bandwidth

const (
	queuePackets = 8
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
}

func newDelay() delay {
	return delay{detector: newDetector(), base: minimum{window: baseWindow}}
}

// add takes one packet that arrived. What is of a probe makes a queue on purpose, which is no trend.
func (d *delay) add(sentAt, arrival int64, size int, probe bool) {
	if gap := arrival - d.newest; gap > trendGap || gap < -trendGap {
		d.restart()
	}
	d.newest = max(d.newest, arrival)
	d.ways[d.packets%queuePackets] = arrival - sentAt
	d.packets++
	if d.base.started {
		d.backlog.add(arrival, arrival-sentAt-d.least, size)
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
}

// end follows the packets of a message. The quickest of the last eight tells how long the queue is: jitter only ever makes slower.
func (d *delay) end(now int64) {
	if d.packets == 0 {
		return
	}
	least := d.ways[0]
	for _, way := range d.ways[1:min(d.packets, queuePackets)] {
		least = min(least, way)
	}
	d.least = d.base.add(least, now)
	d.queue = least - d.least
}

// usage is that of the detector, except that a queue too short to be felt is none: layers come in bursts that make such. On a path of so many bit/s
// a packet and a half is no queue either.
func (d *delay) usage(rate float64) usage {
	if d.detector.usage == over && d.queue < max(queueFelt, int64(1.5*meanPacket/rate*second)) {
		return normal
	}
	return d.detector.usage
}

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
