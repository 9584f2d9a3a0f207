package bandwidth

// Trust has the estimate be at least what arrives, as long as the path is not overused. It is for a sender that does not keep to the
// estimate before something is too much: what it sends is all the probing that there is. Call it behind TransportFeedback.
func (e *Estimator) Trust(now int64) {
	if arriving, ok := e.arriving.rate(); ok && e.delay.usage(e.rate) != over && e.delay.queue <= drained {
		e.aimd.raise(arriving)
		e.settle(now)
	}
}

// standing is a queue that does not go by itself, whether it still grows or is as long as it can be.
const standing = 40 * milli

// Overused reports whether more is being sent than the path carries: a queue grows or stands, or more is lost than the path loses of its
// own.
func (e *Estimator) Overused() bool {
	return e.Cut() || e.delay.usage(e.rate) == over && e.delay.queue > drained || e.delay.queue > standing || e.by == ByLoss || e.outage.on
}

// Cut reports whether the path has just become much narrower than what is being sent.
func (e *Estimator) Cut() bool { return e.lately.cut() }

// Yield has the estimate go below what the path carries, and its queue go: what Trust took for carried has turned out to be too much. It ends the opening.
func (e *Estimator) Yield(now int64) {
	p := e.lately
	if !p.known {
		return
	}
	e.aimd.rate = min(e.aimd.rate, p.leaving)
	e.aimd.fall(p, e.rtt, now)
	e.opening.end()
	e.settle(now)
}
