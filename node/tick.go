package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/packet"
)

// The node's ticker does what is due by time rather than by packet. One goroutine serves all rooms.
const (
	tickEvery    = 10 * time.Millisecond // what is missing is asked for
	levelTicks   = 4                     // 40 ms: loudness
	arrivalTicks = 8                     // 80 ms: transport-wide feedback
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
	if count%arrivalTicks == 0 {
		in.sendArrivals()
	}
	if count%reportTicks == 0 {
		if t := in.transport.Load(); t != nil {
			in.rtt.Store(int64(t.RoundTrip()))
		}
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
		r.listen(r.published(), now)
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
	for _, p := range r.everyone() {
		if p.group == group {
			p.sendSenderReports(now)
		}
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
			if l.wasLive.Swap(live) && !live {
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

// loudness collects the loudest level since it was last taken.
type loudness struct {
	level atomic.Uint32 // 128 - level, so that louder is more; 0 when nothing was heard
	voice atomic.Bool
}

// heard takes the audio level extension (RFC 6464) of a packet.
func (l *loudness) heard(ext []byte) {
	level, voice, ok := packet.AudioLevel(ext)
	if !ok {
		return
	}
	if v := uint32(128 - level); v > l.level.Load() { // one writer: the publisher's ingress
		l.level.Store(v)
	}
	if voice {
		l.voice.Store(true)
	}
}

func (l *loudness) take() (level uint8, voice, ok bool) {
	v := l.level.Swap(0)
	return uint8(128 - v), l.voice.Swap(false), v != 0
}

// listen updates the room's speaker order and, where there are more microphones than are forwarded, which ones are.
func (r *room) listen(tracks []*published, now int64) {
	microphones := 0
	open := make(map[string]struct{}, len(r.voices))
	for _, t := range tracks {
		if t.Source != Microphone || t.muted.Load() {
			continue
		}
		microphones++
		open[t.ID] = struct{}{}
		level, voice, ok := t.level.take()
		if !ok {
			if before := r.predecessor(t); before != nil {
				level, voice, ok = before.level.take()
			}
		}
		if ok {
			r.speakers.Update(t.ID, level, voice, now)
		}
	}
	for id := range r.voices {
		if _, ok := open[id]; !ok {
			r.speakers.Remove(id)
		}
	}
	r.voices = open
	if changed, order := r.speakers.Order(now); changed {
		r.speaking(tracks, order)
	}
	// One more than a slot count, since nobody hears themselves.
	if want := r.node.cfg.AudioForward + 1; microphones > want {
		r.setLoud(r.speakers.Loudest(want, now))
	}
}
