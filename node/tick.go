package node

import (
	"context"
	"maps"
	"slices"
	"time"
)

// The node's ticker does what is due by time rather than by packet. One goroutine serves all rooms.
const (
	tickEvery    = 10 * time.Millisecond // what is missing is asked for
	levelTicks   = 4                     // 40 ms: loudness
	arrivalTicks = 8                     // 80 ms: transport-wide feedback; over links when it is due
	reviewTicks  = 20                    // 200 ms: layers that stopped, slots that wait, publishers to be told
	reportTicks  = 100                   // 1 s: sender and receiver reports
	groupTicks   = 4                     // 40 ms: sender reports of a part of the peers, each once in reportTicks
)

// While nothing is missing, no keyframe is waited for and there is no other node, the ticker rests: it turns as often as the most frequent
// of what is left to it. A wake-up costs as much CPU as sending some ten packets.
const restTicks = 4

func (n *Node) tick(ctx context.Context) {
	b := beat{due: time.Now().Add(tickEvery), count: 1}
	timer := time.NewTimer(tickEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.hurried:
			b.hurry(time.Now())
		case <-timer.C:
			n.resting.Store(true) // before it looks: what comes up meanwhile hurries it
			urgent := n.turn(b.last, b.count)
			if urgent {
				n.resting.Store(false)
			}
			b.next(urgent, time.Now())
		}
		timer.Reset(time.Until(b.due))
	}
}

// beat counts ticks, those that the ticker sleeps through included. It is pure arithmetic.
type beat struct {
	last, count uint64 // the ticks that it turned with last, and turns with next
	due         time.Time
}

// next goes on to the next tick, or to the next that all have something to do with.
func (b *beat) next(urgent bool, now time.Time) {
	passed := uint64(1)
	if !urgent {
		passed = restTicks - b.count%restTicks
	}
	b.last, b.count = b.count, b.count+passed
	b.due = b.due.Add(time.Duration(passed) * tickEvery)
	if b.due.Before(now) {
		b.due = now // what was missed is not made up for
	}
}

// hurry goes back to the first tick that is still to come.
func (b *beat) hurry(now time.Time) {
	if early := b.due.Sub(now) / tickEvery; early > 0 {
		b.count -= uint64(early)
		b.due = b.due.Add(-early * tickEvery)
	}
}

// hurry has a resting ticker turn within tickEvery. It does not block.
func (n *Node) hurry() {
	if !n.resting.Load() {
		return
	}
	select {
	case n.hurried <- struct{}{}:
	default: // it has been told
	}
}

// turn does what is due at a tick, after another, and reports whether something is to be looked at again at the next.
func (n *Node) turn(last, count uint64) (urgent bool) {
	now := n.endpoint.Now()
	sources := map[*ingress]struct{}{}
	for _, r := range n.snapshot() {
		tracks := r.carried()
		for _, t := range tracks {
			if p, here := t.sender.(*Peer); here {
				sources[p.in] = struct{}{}
			}
		}
		urgent = r.tick(tracks, last, count, now) || urgent
	}
	for in := range sources {
		urgent = in.tick(count, now) || urgent
	}
	for _, r := range n.relayList() {
		r.tick(count, now)
		urgent = true
	}
	if count%reviewTicks == 0 {
		n.reviewFeeds(count%reportTicks == 0, now)
	}
	return urgent
}

// tick reports whether packets are missing that may have to be asked for at the next tick.
func (in *ingress) tick(count uint64, now int64) (misses bool) {
	misses = in.requestLost(now)
	if in.link || count%arrivalTicks == 0 {
		in.sendArrivals(now)
	}
	if count%reportTicks == 0 {
		in.expire(now)
		if in.link {
			in.measure()
		} else {
			in.sendReceptionReports(now)
		}
	}
	return misses
}

// tick reports whether a keyframe is to be asked for as soon as it may be.
func (r *room) tick(tracks []*published, last, count uint64, now int64) (waits bool) {
	for _, t := range tracks {
		for _, l := range t.layers {
			l.retryKeyframe(now)
			waits = waits || l.pending.Load()
		}
	}
	if count%levelTicks == 0 {
		r.listen(now)
	}
	if count%reviewTicks == 0 {
		r.review(tracks, now)
	}
	if count%reportTicks == 0 {
		for _, t := range tracks {
			for _, l := range t.layers {
				l.cache.Expire(now - int64(cacheFor))
			}
		}
	}
	for passed := last + 1; passed <= count; passed++ {
		r.divide(passed%divideEvery, now)
	}
	if count%groupTicks == 0 {
		r.reportTo(count/groupTicks%reportGroups, now)
	}
	return waits
}

// reportGroups is how many parts the peers of a room are in, so that a large room's reports do not leave all at once.
const reportGroups = reportTicks / groupTicks

// reportTo sends one part of the peers their sender reports, and looks how far away they are.
func (r *room) reportTo(group uint64, now int64) {
	r.mu.Lock()
	peers := slices.Collect(maps.Keys(r.groups[group]))
	r.mu.Unlock()
	for _, p := range peers {
		p.in.measure()
		p.sendSenderReports(now)
	}
}

// review finds what no packet tells: layers that have stopped, and slots that still wait for a keyframe.
func (r *room) review(tracks []*published, now int64) {
	for _, t := range tracks {
		if t.silence.review(t, now) {
			r.wakeAll()
		}
		for _, l := range t.layers {
			live := l.live(now)
			if l.wasLive.Swap(live) && !live && t.Source != Microphone { // which may merely be quiet
				r.wakeAll()
			}
			if t.Kind == Video && live && l.waitedFor() {
				l.requestKeyframe(now)
			}
		}
	}
	r.settle(now)
	r.tellWanted(now)
}

// waitedFor reports whether a slot waits for the layer's next keyframe.
func (l *layer) waitedFor() bool {
	for _, s := range *l.subs.Load() {
		if s.waitsFor(l) {
			return true
		}
	}
	return false
}
