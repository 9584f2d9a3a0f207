package bandwidth

import "time"

const (
	paceAhead  = 1.1 // times the rate: what waits becomes less, and no queue to speak of grows on the way
	paceDrains = 0.4 // times the rate, while a cut's queue goes
	paceEases  = 0.9 // times the rate, while any other does where queues are to be short
	paceWaits  = 200 * milli
	paceLeast  = 16_000 // bytes: a keyframe of a small picture, and what is behind it
)

// Pacing is how packets should leave.
type Pacing struct {
	Rate     int  // bit/s at most, over any few milliseconds
	Estimate int  // bit/s, of all that leaves
	Queue    int  // bytes that may wait to leave; with more of them, layers must go
	Emptying bool // a queue is waited for that stands on a path which has become much narrower, or seems to: more is on its way than that carries in a round trip
}

// Pacing advises on how packets should leave at now. Feedback never reflects what waits at this end, so the wait is bounded here: no more than
// 200 ms at the rate of the estimate, or one keyframe.
func (e *Estimator) Pacing(now int64) Pacing {
	emptying := false
	rate := paceAhead * e.rate
	if e.aimd.draining {
		rate = e.rate
		if emptying = e.emptying(now); emptying {
			rate *= paceDrains
		}
	}
	if e.aimd.shortens(e.delay.queue) {
		rate = min(rate, paceEases*e.rate)
	}
	if now < e.aimd.doubted {
		rate, emptying = 0, true
	}
	if c := e.prober.running(now); c != nil {
		rate = max(rate, c.rate)
	}
	return Pacing{Rate: int(rate), Estimate: int(e.rate), Queue: max(int(e.rate/8*paceWaits/second), paceLeast), Emptying: emptying}
}

// emptying reports whether the queue is waited for that a cut has left on the path.
func (e *Estimator) emptying(now int64) bool {
	return e.aimd.draining && now < e.aimd.empties &&
		float64(8*e.history.flight) > regainTo*e.aimd.carried*float64(e.rtt+messageEvery+drained)/second
}

// Wait is how long a number of bytes takes at the estimate.
func (e *Estimator) Wait(bytes int) time.Duration {
	return time.Duration(float64(8*bytes) / e.rate * second)
}
