package bandwidth

import "math"

const (
	decreaseTo      = 0.85 // of what arrives: below the capacity, so that the queue drains
	regainTo        = 0.95 // of it, once it has
	rivalParts      = 2    // into which what was carried is divided once a rival is known
	increaseASecond = 1.08
	applicationGap  = 0.75        // when less than this part of the rate leaves, the application is the limit
	choked          = 0.9         // when less than this part of what leaves arrives, the path is
	messageEvery    = 100 * milli // feedback: what an answer takes beside the round trip
	drainsLeast     = second
	drainsTimes     = 10 // the queue: with 15 % less than arrives it takes seven
	drainsMost      = 3 * second
	drained         = 20 * milli
	flat            = 3 * milli // a queue that changes by less while less leaves is none: the path has become longer
	flatLooks       = 3         // messages at least that say so
	cutQueue        = 30 * milli
	cutTo           = 0.6         // when less than this part of what leaves is carried, the path has become another one
	doubtLasts      = 100 * milli // until the message has come that clears it up
	goesFrom        = 60 * milli  // a queue longer than this that has become shorter is one that goes
	meanPacket      = 8 * 1200    // bits
)

// aimd is the rate by delay (draft-ietf-rmcat-gcc-02 section 5.5): additive or multiplicative increase, multiplicative decrease of
// what arrives. It departs from the draft in three ways. It waits until the queue that it found has drained, and then goes straight back
// to just below what arrived, where the draft would climb. While the application sends less than it may, it does
// not increase at all, since nothing would prove it right; probes do. And it puts up with rivals.
type aimd struct {
	rate      float64
	short     bool // see Config
	ceiling   ceiling
	updated   int64
	decreased int64
	draining  bool
	until     int64 // when the queue that drains should have gone
	rivals    rivals
	stood     int64   // ns of queue at the last decrease
	low, high int64   // ns: of the queue since that decrease was felt
	looks     int     // messages that told of it
	longer    bool    // the last update found that the path has become longer: what looks like a queue is its own
	doubted   int64   // until when no pictures leave, since the path may have been cut
	empties   int64   // until when hardly anything leaves, for the queue of a cut to go
	comes     int64   // until when what left before the first decrease for a cut comes in
	cut       bool    // the last decrease was for one
	carried   float64 // what the path carried before the decrease, 0 for none: the rate to go back to
	whole     float64 // what left when the first of the decreases was made that the queue has outlasted so far
}

// passage is what went through a path lately.
type passage struct {
	usage    usage
	queue    int64   // ns
	known    bool    // whether there are rates
	leaving  float64 // bit/s, of what the receiver has told of
	arriving float64
	peak     float64 // of what arrives, lately
	served   float64 // of what has waited on the path
	serves   bool    // served is known
	pushed   float64 // how fast those packets left
	doubtful bool    // the last few packets look like a cut, and more have to come to be sure
	flooded  bool    // a queue stands on a path of which no rates are known yet: what is served is all that it carries
}

// carried is what the path carries when it is overused. What arrives on average is less where the application has sent little until just now.
func (p passage) carried(rate float64) float64 {
	switch {
	case p.cut():
		return p.served
	case p.choked() && p.serves:
		return max(p.arriving, min(p.served, p.peak))
	case p.choked():
		return p.arriving
	}
	return max(p.arriving, min(p.peak, rate))
}

// choked reports whether a queue stands and so much less arrives than leaves that what arrives is all that the path carries.
func (p passage) choked() bool {
	return p.known && p.queue > drained && p.arriving < choked*p.leaving
}

// cut reports whether the path has just become much narrower, or begins much narrower than what is sent: a queue grows so fast that no trend need be
// waited for.
func (p passage) cut() bool {
	return p.flooded || p.narrower()
}

// narrower reports whether what has waited came much more slowly than it left, and than all leaves. On a path that has become longer it comes as it left.
func (p passage) narrower() bool {
	return p.known && p.serves && p.queue > cutQueue && p.served < cutTo*p.leaving && p.served < choked*p.pushed
}

// idle reports whether the application sends less than it may.
func (p passage) idle(rate float64) bool { return p.known && p.leaving < applicationGap*rate }

// update takes what the path said at now.
func (a *aimd) update(p passage, rtt, now int64) {
	elapsed := min(now-a.updated, second)
	a.updated = now
	a.watch(p.queue, rtt, now)
	drains := a.drains(p.queue, now)
	if a.cut && now < a.comes && p.serves && p.queue > cutQueue {
		a.correct(p.served)
	}
	if a.doubted = 0; !a.draining && p.doubtful {
		a.doubted = now + doubtLasts
	}
	u := a.rivals.judge(p.usage, p.queue, drains, now)
	switch {
	case drains && a.stood > goesFrom && p.queue < a.stood: // it goes
	case u == over || drains && p.choked():
		a.decrease(p, rtt, now)
	case u == under || drains || p.idle(a.rate):
	default:
		a.increase(p, rtt, elapsed)
	}
}

// decrease goes below what arrives, once in the time that the path takes to answer.
func (a *aimd) decrease(p passage, rtt, now int64) {
	if now-a.decreased >= rtt+messageEvery {
		a.fall(p, rtt, now)
	}
}

// fall does so at once. When the application sends less than it may and all of that arrives, it tells nothing of the capacity: a burst filled the
// queue, or somebody else.
func (a *aimd) fall(p passage, rtt, now int64) {
	if !a.draining {
		a.whole = min(a.rate, p.leaving)
	}
	again := a.draining && a.cut
	a.decreased, a.draining, a.stood, a.looks = now, true, p.queue, 0
	if a.cut = p.cut(); a.cut {
		if !again {
			a.comes = now + rtt + 2*messageEvery + backlogMost
		}
		a.empties = now + rtt + messageEvery + 2*p.queue
	}
	a.until = now + rtt + messageEvery + min(max(drainsTimes*p.queue, drainsLeast), drainsMost)
	switch {
	case !p.known && !p.flooded, p.idle(a.rate) && !p.choked():
		before := a.rate
		a.rate *= decreaseTo
		a.carried = min(before, p.peak)
	default:
		a.carried = p.carried(a.rate)
		a.ceiling.hit(a.carried)
		a.rate = min(a.rate, decreaseTo*a.carried)
	}
}

// correct takes what the path is seen to serve while a cut's queue stands, if that is less than was seen first: a keyframe that waited just before the cut
// came fast.
func (a *aimd) correct(served float64) {
	if served < a.carried {
		a.carried = served
		a.ceiling.hit(served)
		a.rate = min(a.rate, decreaseTo*served)
	}
}

// watch follows the queue from when on the last decrease is felt.
func (a *aimd) watch(queue, rtt, now int64) {
	a.longer = false
	if now < a.decreased+rtt+messageEvery {
		return
	}
	if a.looks == 0 {
		a.low, a.high = queue, queue
	}
	a.looks++
	a.low, a.high = min(a.low, queue), max(a.high, queue)
}

// budget is the rate, or what it will be once the queue has gone that it is low for.
func (a *aimd) budget() float64 {
	if a.draining {
		return max(a.rate, regainTo*a.carried)
	}
	return a.rate
}

// drains reports whether a decrease still waits for its queue to go. One that does not go in time is not this flow's, and going down
// was for nothing: all of it is taken back.
func (a *aimd) drains(queue, now int64) bool {
	switch {
	case !a.draining:
	case queue <= drained:
		a.draining = false
		a.rate = max(a.rate, regainTo*a.carried)
	case now >= a.until:
		a.draining = false
		if a.longer = a.looks >= flatLooks && a.high-a.low < flat; !a.longer {
			a.rivals.stayed(queue, now)
		}
		a.rate = max(a.rate, a.carried, a.whole/rivalParts)
	}
	return a.draining
}

// increase grows by 8 % a second, and near the ceiling by a packet in the time of an answer.
func (a *aimd) increase(p passage, rtt, elapsed int64) {
	near := p.known && a.ceiling.near(p.arriving)
	if near && a.shortens(p.queue) {
		return
	}
	t := float64(elapsed) / second
	grown := a.rate * math.Pow(increaseASecond, t)
	if near {
		answers := float64(elapsed) / float64(rtt+messageEvery)
		grown = min(grown, a.rate+answers*meanPacket)
	}
	if p.known {
		grown = min(grown, 1.5*p.arriving)
	}
	a.rate = max(a.rate, grown)
}

// shortens reports whether a queue is to go before anything else: queues are to be short, and it is not known to be a rival's.
func (a *aimd) shortens(queue int64) bool {
	return a.short && queue > drained && a.rivals.bearable < drained
}

// lower takes a rate that loss has shown to be enough.
func (a *aimd) lower(rate float64) {
	a.rate, a.carried = min(a.rate, rate), min(a.carried, rate)
}

// raise takes a rate that a probe has shown.
func (a *aimd) raise(rate float64) {
	a.rate = max(a.rate, rate)
	if a.ceiling.known && rate > a.ceiling.mean*(1+a.ceiling.spread()) {
		a.ceiling = ceiling{}
	}
}

const (
	ceilingMemory = 0.1
	spreadLeast   = 0.06
	spreadMost    = 0.2
)

// ceiling remembers what arrived when queues grew: the capacity of the link, with its spread (section 5.5).
type ceiling struct {
	known     bool
	mean      float64
	deviation float64 // mean distance from the mean, as a part of it
}

func (c *ceiling) hit(arriving float64) {
	if !c.known || math.Abs(arriving-c.mean) > c.spread()*c.mean {
		*c = ceiling{known: true, mean: arriving, deviation: spreadLeast / 2}
		return
	}
	off := math.Abs(arriving-c.mean) / c.mean
	c.deviation += ceilingMemory * (off - c.deviation)
	c.mean += ceilingMemory * (arriving - c.mean)
}

func (c *ceiling) spread() float64 { return min(max(3*c.deviation, spreadLeast), spreadMost) }

// near reports whether so much is as much as the link was found to carry. More means that it has become another link.
func (c *ceiling) near(arriving float64) bool {
	if c.known && arriving > c.mean*(1+c.spread()) {
		*c = ceiling{}
	}
	return c.known && arriving > c.mean*(1-c.spread())
}
