package network

import "time"

const (
	usualQueue  = 200 * time.Millisecond // of a bottleneck that was given none
	passagesMax = 1_000_000              // noted of a path and not taken yet; later ones are not noted
)

// Passage is what became of one packet at a bottleneck.
type Passage struct {
	At       int64         // when it came there, in nanoseconds since 1970
	Wait     time.Duration // from then until its first bit left; without the time that its own bits take
	Bytes    int           // of the IP packet
	Protocol int
	Port     uint16 // that it was sent to
	Full     bool   // lost, because the queue was full
	Lost     bool   // lost behind the queue, on purpose
}

// bottleneck is the narrowest place of a path: a queue, first in and first out, that a number of bits leaves each second. What
// would wait longer in it than its length is lost.
type bottleneck struct {
	free    time.Time // when all that is in it will have left
	waiting []waiting // in the order in which they leave; those that have left go when somebody looks
	noted   []Passage
}

// waiting is a packet in a queue.
type waiting struct {
	*packet // nobody's any more once it has left

	leaves  time.Time // its last bit
	passage Passage
}

// transmission is how long that many bytes take.
func transmission(bytes, rate int) time.Duration {
	return time.Duration(float64(bytes) * 8 / float64(rate) * float64(time.Second))
}

// enter puts a packet into the queue and tells when it leaves, or that it did not fit.
func (b *bottleneck) enter(p *packet, flow Flow, path *Path, now time.Time) (leaves time.Time, fits bool) {
	b.pass(now)
	queue := path.Queue
	if queue == 0 {
		queue = usualQueue
	}
	begins := now
	if b.free.After(now) {
		begins = b.free
	}
	passage := Passage{
		At: now.UnixNano(), Wait: begins.Sub(now), Bytes: p.size, Protocol: flow.Protocol, Port: flow.To.Port(), Lost: p.lost,
	}
	if passage.Wait > queue {
		passage.Full = true
		b.note(passage)
		return now, false
	}
	b.free = begins.Add(transmission(p.size, path.Rate))
	b.waiting = append(b.waiting, waiting{p, b.free, passage})
	return b.free, true
}

// pass notes what has left by now.
func (b *bottleneck) pass(now time.Time) {
	left := 0
	for left < len(b.waiting) && !b.waiting[left].leaves.After(now) {
		b.note(b.waiting[left].passage)
		left++
	}
	b.waiting = append(b.waiting[:0], b.waiting[left:]...)
}

func (b *bottleneck) note(p Passage) {
	if len(b.noted) < passagesMax {
		b.noted = append(b.noted, p)
	}
}

// turn gives what is in the queue another rate, in bits a second, from now on, and changes when it is due by as much. No rate is
// one at which everything leaves at once.
func (b *bottleneck) turn(was, is int, now time.Time) {
	b.pass(now)
	begins := now
	var last time.Time // jitter must not reorder them now
	for i := range b.waiting {
		w := &b.waiting[i]
		var takes time.Duration
		switch {
		case is == 0:
		case i == 0: // some of its bits have left at the old rate
			left := min(w.leaves.Sub(now), transmission(w.passage.Bytes, was))
			takes = time.Duration(float64(left) * float64(was) / float64(is))
		default:
			takes = transmission(w.passage.Bytes, is)
		}
		if i > 0 {
			w.passage.Wait = begins.Sub(time.Unix(0, w.passage.At))
		}
		leaves := begins.Add(takes)
		if w.due = w.due.Add(leaves.Sub(w.leaves)); w.due.Before(last) {
			w.due = last
		}
		last = w.due
		w.leaves, begins = leaves, leaves
	}
	b.free = begins
}

// taken hands over what was noted.
func (b *bottleneck) taken(now time.Time) []Passage {
	b.pass(now)
	noted := b.noted
	b.noted = nil
	return noted
}
