package bandwidth

import "time"

const (
	paceAhead = 2.5 // times the rate: a picture leaves in less than half of its time
	paceWaits = 150 * milli
)

// Pacing is how packets should leave.
type Pacing struct {
	Rate  int // bit/s at most, over any few milliseconds
	Queue int // bytes that may wait to leave; with more of them, layers must go
}

// Pacing advises on how packets should leave at now. Feedback never reflects what waits at this end, so the wait is bounded here: no more than
// 150 ms at the rate of the estimate.
func (e *Estimator) Pacing(now int64) Pacing {
	rate := paceAhead * e.rate
	if c := e.prober.running(now); c != nil {
		rate = max(rate, c.rate)
	}
	return Pacing{Rate: int(rate), Queue: int(e.rate / 8 * paceWaits / second)}
}

// Wait is how long a number of bytes takes at the estimate.
func (e *Estimator) Wait(bytes int) time.Duration {
	return time.Duration(float64(8*bytes) / e.rate * second)
}
