package bandwidth

import "time"

// Probe is a train of packets that the path is to carry at a rate, to find out whether it can.
type Probe struct {
	Rate     int           // bit/s, media included
	Bytes    int           // in all, in five packets at least
	Duration time.Duration // Bytes at Rate
}

// queueLasts is how long the queue that was last heard of counts, when nothing is heard of the path any more because nothing is sent.
const queueLasts = second

// Probe begins the probe that is due at now, if one is. From then on all that leaves belongs to it, until it has its bytes.
func (e *Estimator) Probe(now int64) (Probe, bool) {
	if e.prober.running(now) != nil || e.outage.on || e.heard && now-e.over < probeCalm {
		return Probe{}, false
	}
	if e.rate >= e.want {
		return Probe{}, false // what waits is for when more is wanted
	}
	for e.prober.waiting[0] > 0 {
		next := min(e.prober.waiting[0], probeSpare*e.want)
		e.prober.waiting = [2]float64{e.prober.waiting[1], 0}
		if next > e.rate {
			e.opening.begin(now)
			return e.prober.begin(next, e.salt(), now)
		}
	}
	if !e.heard || e.delay.queue > lossQueue && now-e.newest < queueLasts || !e.prober.due(e.rate, now) {
		return Probe{}, false
	}
	return e.prober.begin(min(e.ahead()*e.rate, probeSpare*e.want), e.salt(), now)
}

// ahead is how many times what is known to be carried is probed for.
func (e *Estimator) ahead() float64 {
	if e.cfg.Short {
		return probeShort
	}
	return probeAhead
}

func (e *Estimator) salt() uint64 { return e.bytes[Media]<<20 ^ e.bytes[Padding] }

// Probing reports whether a probe is being sent at now.
func (e *Estimator) Probing(now int64) bool { return e.prober.running(now) != nil }

// Owed is how many bytes the running probe lacks at now, to be sent as padding or retransmissions; 0 without one.
func (e *Estimator) Owed(now int64) int {
	if c := e.prober.running(now); c != nil {
		return c.owed(now)
	}
	return 0
}
