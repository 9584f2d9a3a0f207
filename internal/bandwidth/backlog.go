package bandwidth

const (
	backlogLeast = 25 * milli
	backlogMost  = 150 * milli
	backlogDoubt = 60 * milli // where less has to be sure
)

// backlog is how fast packets come that have waited on the path. It was never idle in between, so that is what it carries, known after a few
// packets. Packets that a late receiver takes together come at once, and look like a fast path. The zero value has seen nothing.
type backlog struct {
	began, newest int64 // arrivals
	left, latest  int64 // when those left
	bytes         int   // that came after the first
}

// add takes a packet, which has waited on the path or not. No more than the last most nanoseconds count.
func (b *backlog) add(sentAt, arrival int64, size int, waited bool, most int64) {
	switch {
	case !waited:
		*b = backlog{}
		return
	case b.began == 0:
		b.began, b.newest, b.left, b.latest = arrival, arrival, sentAt, sentAt
		return
	}
	b.newest, b.latest = max(b.newest, arrival), max(b.latest, sentAt)
	b.bytes += size
	if span := b.newest - b.began; span > most { // what is long ago counts less
		b.began += span / 2
		b.left += (b.latest - b.left) / 2
		b.bytes /= 2
	}
}

// sent is at how many bit/s those packets left.
func (b *backlog) sent() float64 {
	return float64(8*b.bytes) * second / float64(max(b.latest-b.left, 1))
}

// rate returns bit/s, and false before there are some packets to tell.
func (b *backlog) rate() (float64, bool) {
	span := b.newest - b.began
	return float64(8*b.bytes) * second / float64(max(span, 1)), span >= backlogLeast
}
