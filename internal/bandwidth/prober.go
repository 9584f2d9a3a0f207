package bandwidth

import "time"

const (
	probeSpan     = 35 * milli // a picture's time: a shorter train slips through between the pictures of others
	probeLeast    = 4500       // bytes: five packets
	probeEvery    = 850 * milli
	probeStagger  = 300 * milli // more, at most
	probeShare    = 0.1         // of the rate may go into probes, media in them included
	probePoor     = 150_000     // bit/s: nothing but audio goes, which is never too much again
	probeRarely   = 3 * second  // at the most between two probes then
	probeCalm     = 500 * milli // since the last overuse
	probeWaits    = second      // for the result
	probeAhead    = 2           // times the rate, at first
	probeShort    = 1.5         // likewise, where queues are to be short
	probeFollow   = 3           // times a result that found no end
	probeMuch     = 1.3         // times the estimate: who finds so much more looks again, even where the train seems to have found an end
	probeSpare    = 1.2         // of what is wanted
	probeReceived = 0.8         // of its packets must have come
	probeQueue    = 80 * milli  // a queue shorter than this, while a probe is under way, is the probe's
	probeClusters = 4           // under way at once
)

// prober decides when to probe, and reads the results: how fast a train came out of the path that went in at a known rate (packet
// train dispersion; Dovrolis, Ramanathan, Moore, "What do packet dispersion techniques measure?", 2001).
type prober struct {
	clusters [probeClusters]cluster
	id       uint8
	waiting  [2]float64 // rates to be sent next
	last     int64      // when one began
	bytes    int        // of that one
	stagger  int64      // by which the next one is late: trains of two senders must not keep meeting
}

// cluster is a probe under way.
type cluster struct {
	id       uint8 // 0 is none
	sending  bool
	rate     float64
	bytes    int
	sent     int
	count    int   // packets
	last     int64 // number of its last packet
	began    int64
	arrivals train
}

// queue has rates probed as soon as may be, one after the other.
func (p *prober) queue(first, second float64) { p.waiting = [2]float64{first, second} }

// running returns the cluster that is being sent, nil for none.
func (p *prober) running(now int64) *cluster {
	for i := range p.clusters {
		c := &p.clusters[i]
		if c.id == 0 {
			continue
		}
		if now-c.began > probeWaits {
			*c = cluster{}
			continue
		}
		if c.sending && (c.sent >= c.bytes || now-c.began > 4*c.span()) {
			c.sending = false
		}
		if c.sending {
			return c
		}
	}
	return nil
}

func (c *cluster) span() int64 { return int64(float64(8*c.bytes) / c.rate * second) }

// owed is how many bytes a cluster lacks of what should have left by now.
func (c *cluster) owed(now int64) int {
	due := float64(now-c.began+milli) / second * c.rate / 8
	return max(min(int(due), c.bytes)-c.sent, 0)
}

// underWay reports whether a result is waited for.
func (p *prober) underWay() bool {
	for i := range p.clusters {
		if p.clusters[i].id != 0 {
			return true
		}
	}
	return false
}

// due reports whether it is time for another probe from rate upwards, in a calm path.
func (p *prober) due(rate float64, now int64) bool {
	every := int64(float64(8*p.bytes) / (probeShare * rate) * second)
	if rate < probePoor {
		every = min(every, probeRarely)
	}
	every = max(every, probeEvery+p.stagger)
	return now-p.last >= every && !p.underWay()
}

// begin begins a probe. salt is a number that no other sender has at the same time. It reports false when too many are under way.
func (p *prober) begin(rate float64, salt uint64, now int64) (Probe, bool) {
	for i := range p.clusters {
		c := &p.clusters[i]
		if c.id != 0 {
			continue
		}
		p.id = p.id%255 + 1
		p.bytes = max(int(rate/8*probeSpan/second), probeLeast)
		*c = cluster{id: p.id, sending: true, rate: rate, bytes: p.bytes, began: now}
		p.last = now
		p.stagger = int64((uint64(now) ^ salt) * 0x9E3779B97F4A7C15 >> 32 * uint64(probeStagger) >> 32)
		return Probe{Rate: int(rate), Bytes: c.bytes, Duration: time.Duration(c.span())}, true
	}
	return Probe{}, false
}

func (p *prober) find(id uint8) *cluster {
	if id == 0 {
		return nil
	}
	for i := range p.clusters {
		if p.clusters[i].id == id {
			return &p.clusters[i]
		}
	}
	return nil
}

// finished takes out a cluster of which the receiver has told all, up to packet told.
func (p *prober) finished(told int64) (c cluster, ok bool) {
	for i := range p.clusters {
		c = p.clusters[i]
		if c.id != 0 && !c.sending && told >= c.last {
			p.clusters[i] = cluster{}
			return c, true
		}
	}
	return cluster{}, false
}

// abandon forgets what is under way and what waits.
func (p *prober) abandon() {
	p.clusters, p.waiting = [probeClusters]cluster{}, [2]float64{}
}
