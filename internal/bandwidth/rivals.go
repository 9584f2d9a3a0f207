package bandwidth

const (
	rivalHalf  = 10 * second // in which what is put up with is halved
	rivalMost  = 300 * milli
	standsOver = 40 * milli // a shorter queue may stand
	standsFor  = 300 * milli
)

// rivals judges queues by whose they are. One that stands, full perhaps, shows in no trend, and is overuse all the same if it is ours. But
// a queue that stays when this flow has gone down belongs to somebody who knows no delay, such as TCP; to yield to it again and again would be to
// starve. So it is put up with, and since that fades, tried anew.
type rivals struct {
	bearable int64 // ns of queue that is not overuse
	faded    int64
	since    int64 // when the queue came to stand, 0 while it does not
	found    int64 // when one was found last that outlasted a decrease
}

// judge takes what the trend says and the queue at now, and returns usage in view of whose queue it is. While one drains after a decrease, it
// does not count as standing.
func (r *rivals) judge(u usage, queue int64, drains bool, now int64) usage {
	elapsed := float64(min(now-r.faded, second))
	r.bearable -= int64(float64(r.bearable) * elapsed / (1.44 * float64(rivalHalf)))
	r.faded = now
	borne := r.bearable + r.bearable/4 // others' queues come and go
	switch {
	case drains || queue <= max(standsOver, borne):
		r.since = 0
	case r.since == 0:
		r.since = now
	}
	switch {
	case r.since != 0 && now-r.since >= standsFor:
		return over
	case u == over && queue <= borne:
		return normal
	default:
		return u
	}
}

// stayed notes that a queue outlasted a decrease.
func (r *rivals) stayed(queue, now int64) {
	r.bearable, r.found = min(max(r.bearable, queue), rivalMost), now
}
