package bandwidth

// silenceHalve is how often the rate goes down by half in an outage.
const silenceHalve = 500 * milli

// outage is a time in which nothing comes back. No delay and no loss tells of it, so time has to; RFC 8083 calls that a circuit breaker.
type outage struct {
	on     bool
	before float64 // estimate
	halved int64
}

// Tick does what is due by time: it finds out that nothing comes back any more.
func (e *Estimator) Tick(now int64) {
	e.opening.tick(now)
	if !e.heard || e.sent-max(e.newest, e.woke) < max(int64(e.cfg.Silence), 3*e.rtt) {
		return
	}
	if !e.outage.on {
		e.opening.end()
		e.outage.on, e.outage.before, e.outage.halved = true, e.rate, 0
		e.prober.abandon()
	}
	if now-e.outage.halved >= silenceHalve {
		e.outage.halved = now
		e.aimd.rate /= 2
		e.settle(now)
	}
}

// resume ends an outage: the path may be another one, so nothing that was measured holds, and probes show what of the former estimate does.
func (e *Estimator) resume() {
	if !e.outage.on {
		return
	}
	e.outage.on = false
	e.delay.restart()
	e.leaving, e.arriving = throughput{}, throughput{}
	e.aimd.ceiling = ceiling{}
	e.loss = loss{own: e.loss.own}
	e.loss.interval.from = e.history.next
	e.prober.queue(e.outage.before/2, e.outage.before)
}
