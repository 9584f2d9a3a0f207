package bandwidth

const (
	backlogLeast = 25 * milli
	backlogMost  = 150 * milli
)

// backlog is how fast packets come that have waited on the path. It was never idle in between, so that is what it carries, known after a few
// packets. Packets that a late receiver takes together come at once, and look like a fast path. The zero value has seen nothing.
type backlog struct {
	began, newest int64 // arrivals
	bytes         int   // that came after the first
}

// add takes a packet that has waited on the path for so long.
func (b *backlog) add(arrival, waited int64, size int) {
	switch {
	case waited < queueFelt:
		*b = backlog{}
		return
	case b.began == 0:
		b.began, b.newest = arrival, arrival
		return
	}
	b.newest = max(b.newest, arrival)
	b.bytes += size
	if span := b.newest - b.began; span > backlogMost { // what is long ago counts less
		b.began += span / 2
		b.bytes /= 2
	}
}

// rate returns bit/s, and false before there are some packets to tell.
func (b *backlog) rate() (float64, bool) {
	span := b.newest - b.began
	return float64(8*b.bytes) * second / float64(max(span, 1)), span >= backlogLeast
}
