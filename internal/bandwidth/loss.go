package bandwidth

import "math"

const (
	lossInterval = 250 * milli
	lossPackets  = 40 // an interval lasts until it has so many, or for a second
	lossTells    = 0.04
	ownMost      = 0.15 // what a path may lose by itself; more is congestion whatever it looks like
	ownSeems     = 0.22 // of one interval, in which chance may add to it
	lossQueue    = 30 * milli
	lossHeavy    = 0.1
	lossKeeps    = 0.9 // of what came through: going lower than that would be for nothing
)

// loss is the loss-based part. draft-ietf-rmcat-gcc-02 section 6 takes 10 % of loss for congestion, which collapses on a bad radio and
// suffers a policer that drops 9 %. Here loss counts as congestion when it depends on the rate. Where more is lost than
// the path was known to lose by itself, and no queue explains it, the rate goes down by that part as a trial. If loss then is as
// before, it is the path's own, and the rate comes back; if it went with the rate, the limit was found and stands.
type loss struct {
	own       float64 // part that the path loses at any rate
	limit     float64 // bit/s, 0 is none
	last      float64 // part lost in the last interval
	acquitted bool    // the last update found that the rate was not to blame, and gave the former limit back

	interval struct {
		began, from    int64 // time; packets below from do not count
		received, lost int
		first, latest  int64 // when they left
		bytes          int
		queue          int64 // longest
	}
	trial struct {
		on     bool
		before float64 // the rate then
		sent   float64 // bit/s that left then
		lost   float64 // part
	}
}

// add counts packet n, which the receiver told of.
func (l *loss) add(n int64, d departure, received bool) {
	i := &l.interval
	switch {
	case n < i.from:
		return
	case received:
		i.received++
	default:
		i.lost++
	}
	if i.bytes == 0 {
		i.first = d.at
	}
	i.latest = max(i.latest, d.at)
	i.bytes += d.size
}

// update ends the interval when there is enough in it. rate is the one that holds, queue what stands, next the number
// of the packet that leaves next.
func (l *loss) update(rate float64, queue, next, now int64) {
	l.acquitted = false
	if l.interval.began == 0 {
		l.restart(next, now)
		return
	}
	i := &l.interval
	i.queue = max(i.queue, queue)
	packets, elapsed := i.received+i.lost, now-i.began
	if packets == 0 || elapsed < lossInterval || packets < lossPackets && elapsed < second {
		return
	}
	l.last = float64(i.lost) / float64(packets)
	sent := float64(8*i.bytes) * second / float64(max(i.latest-i.first, lossInterval/2))
	from := i.from
	if l.judge(rate, sent, packets, elapsed) {
		from = next
	}
	l.restart(from, now)
}

// restart begins an interval of the packets from the given number on: what left before belongs to another rate.
func (l *loss) restart(from, now int64) {
	l.interval.began, l.interval.from = now, from
	l.interval.received, l.interval.lost, l.interval.bytes = 0, 0, 0
	l.interval.first, l.interval.latest, l.interval.queue = 0, 0, 0
}

// cut begins anew with the packets from the given number on: those before went into a path that has become another one, and what its queue had no room for
// says nothing of this one.
func (l *loss) cut(next, now int64) {
	l.trial.on = false
	l.restart(next, now)
}

// judge draws the conclusions of an interval, and reports whether the rate changes by them.
func (l *loss) judge(rate, sent float64, packets int, elapsed int64) bool {
	l.own = min(l.own, (l.own+l.last)/2)
	excess := max(l.last-l.own, 0) / (1 - l.own)
	noise := 2 * math.Sqrt(l.own*(1-l.own)/float64(packets))
	switch {
	case l.interval.queue > lossQueue:
		return l.congested(rate, sent)
	case l.trial.on:
		return l.verdict(sent)
	case excess <= lossTells+noise:
		if excess < lossTells/2+noise && l.limit > 0 {
			l.limit *= math.Pow(increaseASecond, float64(elapsed)/second)
		}
		return false
	case sent < applicationGap*rate && l.last < ownSeems:
		l.own = min((l.own+l.last)/2, ownMost) // far below the rate it can hardly be ours
		return false
	}
	l.trial.on, l.trial.before, l.trial.sent, l.trial.lost = true, rate, sent, l.last
	l.limit = min(rate, max(rate*(1-excess), lossKeeps*sent*(1-l.last)))
	return true
}

// congested is the draft's rule, for when a queue stands: the delay-based part sees that too, unless the queue is short and full.
func (l *loss) congested(rate, sent float64) bool {
	l.trial.on = false
	if l.last-l.own < lossHeavy {
		return false
	}
	l.limit = min(rate, max(rate*(1-l.last/2), lossKeeps*sent*(1-l.last)))
	return true
}

// verdict ends a trial: it compares the loss at the lower rate with that before.
func (l *loss) verdict(sent float64) bool {
	l.trial.on = false
	if l.last < l.own+(l.trial.lost-l.own)/2 || l.last > ownSeems || sent > 0.98*l.trial.sent {
		return false
	}
	l.own = min((l.last+l.trial.lost)/2, ownMost)
	l.limit, l.acquitted = l.trial.before, true
	return true
}

// raise takes a rate that a probe has shown.
func (l *loss) raise(rate float64) {
	if l.limit > 0 {
		l.limit = max(l.limit, rate)
	}
}
