package network

import (
	"math/rand/v2"
	"time"
)

const swing = 50 * time.Millisecond // that jitter takes from one value to the next

// Path is what happens to packets from one region to another.
type Path struct {
	Delay   time.Duration // one way
	Jitter  time.Duration // at most so much more or less
	Loss    float64       // share of the packets, at random, whatever their protocol
	Burst   float64       // packets that are lost in a row on average; up to 1: each by its own
	Reorder bool          // let jitter reorder packets
	Cut     bool          // lose everything

	Rate  int           // bits a second that get through, the headers of IP packets included; 0: any number
	Queue time.Duration // that packets wait for their turn at most, where there is a rate; more are lost. 0: 200 ms
}

// Overseas is a path as between continents: 80 ms there and back.
func Overseas() Path {
	return Path{Delay: 40 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.01}
}

// path is a Path at work, one way.
type path struct {
	Path
	narrow    bottleneck
	bad       bool      // in a burst of losses
	last      time.Time // when the newest packet is due
	was, will time.Duration
	since     time.Time // jitter drifts from was to will
}

// takes decides when a packet is due that is sent now, or that it is lost at once. One that is lost behind a bottleneck has its
// turn there as all others.
func (p *path) takes(one *packet, flow Flow, now time.Time) bool {
	one.lost = p.loses()
	if p.Rate == 0 {
		one.due = p.due(now)
		return !one.lost
	}
	leaves, fits := p.narrow.enter(one, flow, &p.Path, now)
	if fits {
		one.due = p.due(leaves)
	}
	return fits
}

// become changes what happens to packets, those that wait at a bottleneck included.
func (p *path) become(is Path, now time.Time) {
	was := p.Path
	p.Path = is
	if was.Rate == is.Rate || was.Rate == 0 {
		return
	}
	p.narrow.turn(was.Rate, is.Rate, now)
	if n := len(p.narrow.waiting); n > 0 {
		p.last = p.narrow.waiting[n-1].due
	}
}

// due is when a packet arrives that is sent now.
func (p *path) due(now time.Time) time.Time {
	due := now.Add(p.Delay)
	switch {
	case p.Jitter == 0:
	case p.Reorder:
		due = due.Add(p.anyJitter())
	default:
		due = due.Add(p.drift(now))
	}
	if !p.Reorder && due.Before(p.last) {
		due = p.last
	}
	p.last = due
	return due
}

// drift is the jitter of packets that keep their order: it wanders slower than time passes. If each packet drew its own,
// those behind a late one would all be late.
func (p *path) drift(now time.Time) time.Duration {
	passed := now.Sub(p.since)
	if passed >= swing {
		p.was, p.will, p.since, passed = p.will, p.anyJitter(), now, 0
	}
	return p.was + (p.will-p.was)*passed/swing
}

func (p *path) anyJitter() time.Duration { return rand.N(2*p.Jitter) - p.Jitter }

// loses draws whether a packet of the path is lost. With bursts that is a chain of two states (Gilbert, Capacity of a
// burst-noise channel, 1960): in the bad one every packet is lost, and it lasts Burst packets on average.
func (p *path) loses() bool {
	if p.Burst <= 1 || p.Loss <= 0 || p.Loss >= 1 {
		return rand.Float64() < p.Loss
	}
	turns := p.Loss / (p.Burst * (1 - p.Loss)) // from good to bad
	if p.bad {
		turns = 1 / p.Burst
	}
	if rand.Float64() < turns {
		p.bad = !p.bad
	}
	return p.bad
}
