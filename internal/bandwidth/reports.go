package bandwidth

const (
	reportsLow      = 0.02
	reportsHigh     = 0.1
	reportsEvery    = 200 * milli
	reportsIncrease = second
	reportsBeyond   = 1.5
	rembLasts       = 10 * second
)

// reports is the fallback for receivers that send no transport-wide feedback: the loss rules of draft-ietf-rmcat-gcc-02 section 6
// over receiver reports, below what the receiver itself estimates (REMB).
type reports struct {
	remb      float64 // 0 is none
	rembAt    int64
	increased int64
	changed   int64
}

// cap is the newest REMB, 0 for none. One that is not repeated is not held against anybody for ever.
func (r *reports) cap(now int64) float64 {
	if r.remb > 0 && now-r.rembAt > rembLasts {
		r.remb = 0
	}
	return r.remb
}

// next is the rate that follows a report of a part lost, where bit/s are known to leave.
func (r *reports) next(rate, lost, leaving float64, known bool, rtt, now int64) float64 {
	switch {
	case lost > reportsHigh:
		if now-r.changed < max(reportsEvery, rtt) {
			return rate
		}
		r.changed = now
		if known {
			rate = min(rate, reportsBeyond*leaving) // what was never sent was never lost
		}
		return rate * (1 - lost/2)
	case lost >= reportsLow:
		return rate
	case r.cap(now) > 0:
		return max(rate, r.remb) // the receiver measures the delay; loss has no objection
	case now-r.increased < reportsIncrease || known && leaving < applicationGap*rate:
		return rate
	}
	r.increased = now
	return rate * increaseASecond
}
