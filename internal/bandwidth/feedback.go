package bandwidth

import "github.com/parley-sfu/parley/internal/packet"

// TransportFeedback takes a message in that came at now, and goes through it.
func (e *Estimator) TransportFeedback(f *packet.TransportFeedback, now int64) {
	if !e.heard {
		e.heard, e.reference, e.leaving = true, f.Reference, throughput{}
	}
	ahead := (f.Reference - e.reference) % packet.ReferenceWrap
	switch {
	case ahead > packet.ReferenceWrap/2:
		ahead -= packet.ReferenceWrap
	case ahead < -packet.ReferenceWrap/2:
		ahead += packet.ReferenceWrap
	}
	lift := e.reference + ahead - f.Reference
	e.reference += max(ahead, 0)
	e.newest = now
	e.resume()
	told := e.digest(f, lift, now)
	e.delay.end(now)
	e.history.settle(told + 1)
	e.control(now)
	e.conclude(told)
	e.settle(now)
}

// digest goes through the packets of a message and returns the highest number told of, -1 for none.
func (e *Estimator) digest(f *packet.TransportFeedback, lift, now int64) (told int64) {
	told = -1
	var left int64 // when the newest that came had left
	waits := felt(e.rate)
	for a, more := f.Next(); more; a, more = f.Next() {
		n, ok := e.history.find(a.Sequence)
		if !ok {
			continue
		}
		told = max(told, n)
		d, ok := e.history.take(n, now)
		if !ok {
			continue
		}
		e.leaving.add(d.at, d.size)
		if !a.Received {
			e.loss.add(n, d, false)
			continue
		}
		left = max(left, d.at)
		arrival := a.At + lift
		e.loss.add(n, d, true)
		e.arriving.add(arrival, d.size)
		e.delay.add(d.at, arrival, d.size, d.cluster != 0, waits)
		if c := e.prober.find(d.cluster); c != nil {
			c.arrivals.add(d, arrival)
		}
	}
	if left > 0 {
		e.rtt = e.round.add(now-left, now)
	}
	return told
}

// control runs the delay-based and the loss-based part.
func (e *Estimator) control(now int64) {
	p := passage{usage: e.delay.usage(e.rate), queue: e.delay.queue}
	opening := e.Opening()
	leaving, first := e.leaving.rate()
	arriving, second := e.arriving.rate()
	p.known, p.leaving, p.arriving, p.peak = first && second, leaving, arriving, e.arriving.peak()
	p.served, p.serves = e.delay.backlog.rate()
	if p.pushed = e.delay.backlog.sent(); e.aimd.cut && e.aimd.draining {
		p.pushed = leaving // little leaves of late, for the queue to go
	}
	if p.flooded = opening && !p.known && p.serves && p.queue > probeQueue; p.flooded {
		e.aimd.raise(p.served)
	}
	e.lately = p
	if p.cut() {
		p.usage = over
	}
	switch {
	case !e.prober.underWay() && !opening:
		p.doubtful = !p.cut() && e.delay.lately(p).narrower()
	case p.usage == over && p.queue < probeQueue:
		p.usage = normal // the queue is the probe's
	}
	if p.usage == over {
		e.over = now
		e.opening.end()
		e.prober.waiting = [2]float64{}
	}
	if p.known && opening {
		e.aimd.raise(arriving) // what came was carried
	}
	e.aimd.update(p, e.rtt, now)
	if e.aimd.longer {
		e.delay.rebase(now)
	}
	if e.aimd.cut && e.aimd.decreased == now {
		e.loss.cut(e.history.next, now)
	}
	if e.aimd.rivals.found == now {
		e.loss.raise(e.aimd.rate)
	}
	before := e.loss.limit
	e.loss.update(e.rate, e.delay.queue, e.history.next, now)
	e.opening.lose(e.loss.limit > 0, now)
	switch after := e.loss.limit; {
	case after > 0 && (before == 0 || after < before):
		e.aimd.lower(after)
	case e.loss.acquitted:
		e.aimd.raise(after)
	}
}

// conclude takes what finished probes have shown, and follows one that found no end.
func (e *Estimator) conclude(told int64) {
	for {
		c, ok := e.prober.finished(told)
		if !ok {
			return
		}
		rate, filled, ok := c.arrivals.rate(c.count, e.loss.own)
		if !ok {
			e.prober.last -= probeEvery / 2 // it told nothing; the next may come sooner
			continue
		}
		if e.aimd.draining && c.began <= e.aimd.decreased {
			continue // it was too much, or for a path that was fuller than it is now
		}
		much := rate > probeMuch*e.rate
		if rate > e.rate {
			e.aimd.raise(rate)
			e.loss.raise(rate)
		}
		switch waits := e.prober.waiting[0] != 0 || e.prober.underWay(); {
		case filled && much && !waits && !e.Opening():
			e.prober.queue(min(e.ahead()*rate, probeSpare*e.want), 0) // jitter looks like an end
		case filled:
			e.opening.end()
		case waits:
		case rate < e.want:
			e.prober.queue(min(probeFollow*rate, probeSpare*e.want), 0)
		default:
			e.opening.end()
		}
	}
}

// settle is the least of what the parts allow.
func (e *Estimator) settle(now int64) {
	e.aimd.rate = min(max(e.aimd.rate, float64(e.cfg.Min)), float64(e.cfg.Max))
	e.rate, e.by = e.aimd.rate, ByDelay
	if l := e.loss.limit; l > 0 && l < e.rate {
		e.rate, e.by = l, ByLoss
	}
	if !e.heard {
		e.by = ByReports
	}
	if r := e.reports.cap(now); r > 0 && r < e.rate {
		e.rate, e.by = r, ByREMB
	}
	if e.outage.on {
		e.by = BySilence
	}
	e.rate = max(e.rate, float64(e.cfg.Min))
}
