package path

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pion/rtp"
)

const (
	// inFlight is how many published packets may be on their way to the viewers at once: enough that the server always finds more
	// to do, and few enough for the receive buffer of any server, also where the system allows no larger one than its default.
	inFlight = 64

	nap      = 50 * time.Microsecond // while nothing can be sent and nothing comes
	lateTime = 3 * time.Second       // without a packet, after which those that are missing are lost
)

// A pump sends what a contender's publishers publish, and reads what the viewers receive, on one goroutine.
type pump struct {
	c       *contender
	load    Load
	streams []*stream
	packets []rtp.Packet
	turn    int // whose burst is next
	timer   *time.Timer
}

// pumping returns the contender's one pump, which knows all its publishers. Sequence numbers go on from one measurement to the
// next: a receiver drops what it has seen.
func (c *contender) pumping(load Load) *pump {
	if c.pump == nil {
		c.pump = &pump{c: c, load: load, timer: time.NewTimer(0)}
		<-c.pump.timer.C
	}
	for len(c.pump.streams) < len(c.sources) {
		c.pump.streams = append(c.pump.streams, newStream(load, len(c.pump.streams)))
		c.pump.packets = append(c.pump.packets, rtp.Packet{Header: rtp.Header{Version: 2}})
	}
	return c.pump
}

// refresh has all publishers send keyframes alone, or as few as usual.
func (p *pump) refresh(every bool) {
	for _, s := range p.streams {
		s.fresh = every
	}
}

// burst sends the next publisher's packets and returns their number.
func (p *pump) burst() (sent int, err error) {
	of := p.turn
	p.turn = (p.turn + 1) % len(p.streams)
	packet := &p.packets[of]
	const frameTicks = 3000 // 30 frames a second of video; any other step would do
	packet.Timestamp += frameTicks
	for i := range p.load.Burst {
		packet.SequenceNumber++
		packet.Marker = i == p.load.Burst-1
		packet.Payload = p.streams[of].next(i)
		if err := p.c.sources[of].WriteRTP(packet); err != nil {
			return i, fmt.Errorf("publish: %w", err)
		}
	}
	return p.load.Burst, nil
}

// A volume is what went through a contender.
type volume struct {
	published uint64 // packets that publishers sent
	forwarded uint64 // packets that came to viewers' sockets, those that found no room there included
	dropped   uint64 // of those, found no room
	stalls    int    // times that nothing came although something was on its way: it was lost before the server read it
}

// flatOut keeps as many packets on their way as may be, for a time.
func (p *pump) flatOut(ctx context.Context, long time.Duration) (published uint64, stalls int, err error) {
	viewers := uint64(p.c.viewers)
	room := uint64(inFlight-p.load.Burst) * viewers // as many packets on their way leave room for one more burst
	seen := p.c.people.sweep()
	arrived := seen // when all that was sent has come
	last := time.Now()
	for end := last.Add(long); ctx.Err() == nil; {
		now := time.Now()
		if now.After(end) {
			return published, stalls, nil
		}
		media := p.c.people.sweep()
		switch {
		case media > seen:
			seen, last = media, now
		case now.Sub(last) > lateTime: // what is on its way is lost
			arrived, last = seen, now
			stalls++
		case arrived > seen+room:
			p.pause(nap)
		}
		for arrived <= seen+room {
			n, err := p.burst()
			if err != nil {
				return published, stalls, err
			}
			published += uint64(n)
			arrived += uint64(n) * viewers
		}
	}
	return published, stalls, ctx.Err()
}

// paced sends every publisher's bursts at the load's real pace, spread evenly over the time between two of them.
func (p *pump) paced(ctx context.Context, long time.Duration) (published uint64, err error) {
	step := p.load.interval(true) / time.Duration(len(p.streams))
	begun := time.Now()
	for due := time.Duration(0); due < long && ctx.Err() == nil; due += step {
		for wait := due - time.Since(begun); wait > 0; wait = due - time.Since(begun) {
			p.c.people.sweep()
			p.pause(min(wait, sweepIdly))
		}
		n, err := p.burst()
		if err != nil {
			return published, err
		}
		published += uint64(n)
	}
	return published, ctx.Err()
}

func (p *pump) pause(d time.Duration) {
	p.timer.Reset(d)
	<-p.timer.C
}

// drain waits until so many packets of media have come since a tally, or nothing has come for a while.
func (p *pump) drain(since tallies, wanted uint64) {
	const wait = 2 * time.Millisecond
	seen := p.c.people.sweep()
	for last := time.Now(); time.Since(last) < lateTime; p.pause(wait) {
		if media := p.c.people.sweep(); media > seen {
			seen, last = media, time.Now()
		}
		if now := p.c.people.tally(); now.read+now.dropped >= since.read+since.dropped+wanted {
			return
		}
	}
}

// warmUp sends at an easy pace until every viewer receives every publisher, and all that is sent.
func (c *contender) warmUp(ctx context.Context, load Load) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	p := c.pumping(load)
	p.refresh(true)
	defer p.refresh(false)
	for {
		published, got, err := p.easily()
		if err != nil {
			return err
		}
		if got == uint64(published*c.viewers) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return errors.Join(err, fmt.Errorf("%s: of %d packets for %d viewers %d come; %d viewers receive nothing",
				c.name, published, c.viewers, got, c.people.silent(1)))
		}
	}
}

// easily sends two bursts of every publisher at an easy pace, and returns how many packets those are and how many viewers read.
func (p *pump) easily() (published int, got uint64, err error) {
	before := p.c.people.tally()
	for range 2 * len(p.c.sources) {
		n, err := p.burst()
		if err != nil {
			return published, 0, err
		}
		published += n
		p.c.people.sweep()
		p.pause(2 * time.Millisecond)
	}
	p.drain(before, uint64(published*p.c.viewers))
	return published, p.c.people.tally().read - before.read, nil
}

// settleTime is for a server to look at a room again whose streams have begun anew; well below what it takes for a silence.
const settleTime = 150 * time.Millisecond

// rouse has the publishers of a contender that others have had their turn after send a little, and gives it time: a room in which
// everything begins again is looked at as a whole, which is no part of forwarding.
func (c *contender) rouse(load Load) error {
	if len(c.sources) == 0 {
		return nil
	}
	p := c.pumping(load)
	_, _, err := p.easily()
	p.pause(settleTime)
	return err
}
