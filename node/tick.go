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

func (n *Node) tick(ctx context.Context) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for count := uint64(1); ; count++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := n.endpoint.Now()
		sources := map[*ingress]struct{}{}
		for _, r := range n.snapshot() {
			tracks := r.carried()
			for _, t := range tracks {
				if p, here := t.sender.(*Peer); here {
					sources[p.in] = struct{}{}
				}
			}
			r.tick(tracks, count, now)
		}
		for in := range sources {
			in.tick(count, now)
		}
		for _, r := range n.relayList() {
			r.tick(count, now)
		}
		if count%reviewTicks == 0 {
			n.reviewFeeds(count%reportTicks == 0, now)
		}
	}
}

func (in *ingress) tick(count uint64, now int64) {
	in.requestLost(now)
	if in.link || count%arrivalTicks == 0 {
		in.sendArrivals(now)
	}
	if count%reportTicks == 0 {
		if t := in.transport.Load(); t != nil {
			in.rtt.Store(int64(t.RoundTrip()))
		}
		in.expire(now)
		if !in.link {
			in.sendReceptionReports(now)
		}
	}
}

func (r *room) tick(tracks []*published, count uint64, now int64) {
	for _, t := range tracks {
		for _, l := range t.layers {
			l.retryKeyframe(now)
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
	r.divide(count%divideEvery, now)
	if count%groupTicks == 0 {
		r.reportTo(count/groupTicks%reportGroups, now)
	}
}

// reportGroups is how many parts the peers of a room are in, so that a large room's reports do not leave all at once.
const reportGroups = reportTicks / groupTicks

// reportTo sends one part of the peers their sender reports.
func (r *room) reportTo(group uint64, now int64) {
	r.mu.Lock()
	peers := slices.Collect(maps.Keys(r.groups[group]))
	r.mu.Unlock()
	for _, p := range peers {
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
