package node

import (
	"time"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// Who begins to show a layer need not wait for its next keyframe where one has just gone by: it gets the cached packets from
// there on in one burst, and nobody has to send a keyframe for it.

const (
	// freshFor is how old a keyframe may be that a picture begins with.
	freshFor = 500 * time.Millisecond

	// crowdedFor is how old it may be when another was asked for as recently: where many come one after the other, each
	// keyframe would cost everybody who watches.
	crowdedFor = time.Second

	// burstFor is how long a burst may take at what the way carries.
	burstFor = 300 * time.Millisecond

	// burstEvery is the least time between two bursts into one slot, however often its viewer changes its mind.
	burstEvery = time.Second

	// maxBurst bounds the packets sent at once.
	maxBurst = 256

	// maxMissing is how many packets may be missing between what another node has and what this one does, for it to go on
	// there: it may get them from whom it had the others, or repair the picture as after any loss.
	maxMissing = 32
)

// start has the slot begin with a layer, from the cache or with a keyframe that is asked for.
func (s *slot) start(l *layer, now int64) {
	if !s.catchUp(l, now) && s.waitsFor(l) {
		l.requestKeyframe(now)
	}
}

// catchUp lets a slot begin with a keyframe that has just gone by, if it shows nothing, or what it shows has stopped before that.
func (s *slot) catchUp(l *layer, now int64) bool {
	from, ok := l.recent(now)
	if !ok || !s.peer.transport.Ready() || !s.peer.way.takes(l, from) {
		return false
	}
	out := s.peer.node.takeBatch()
	defer s.peer.node.giveBatch(out)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mayBeginLocked(l, from) || s.target != l || s.formats[l.format.Load()].pt == 0 {
		return false
	}
	if s.caughtUp != 0 && now-s.caughtUp < int64(burstEvery) {
		return false
	}
	s.caughtUp = now
	s.departLocked()
	sent := 0
	l.cache.EachFrom(from, func(p *packet.Packet) bool {
		if s.forwardLocked(l, p, out) {
			sent++
		}
		return sent < maxBurst
	})
	_ = out.Flush() // with the mutex held: what comes next must not overtake
	s.peer.node.count.sent.Add(sent)
	return s.current == l
}

// mayBeginLocked reports whether the slot would not jump back in time with a packet of the layer: it shows nothing, or nothing of the same track
// that came later.
func (s *slot) mayBeginLocked(l *layer, from uint16) bool {
	if s.current == nil {
		return true
	}
	p := l.cache.Get(from)
	if p == nil {
		return false
	}
	defer p.Release()
	return p.Arrival > s.heardTo
}

// takes reports whether the way carries all of a layer's packets from one on, at once, without waiting longer for it than for a keyframe.
func (w *way) takes(l *layer, from uint16) bool {
	budget, limited := w.budget()
	if !limited {
		return true
	}
	bits, most := int64(0), budget*int64(burstFor)/int64(time.Second)
	l.cache.EachFrom(from, func(p *packet.Packet) bool {
		bits += 8 * int64(len(p.Buf)+overhead)
		return bits <= most
	})
	return bits <= most
}

// recent finds a fresh keyframe behind which no packet is missing.
func (l *layer) recent(now int64) (from uint16, ok bool) {
	from, ok = l.cache.LastKeyframe()
	if !ok || l.track.muted.Load() || l.track.Kind != Video {
		return 0, false
	}
	_, newest, _ := l.cache.Window()
	age, count := int64(0), 0
	l.cache.EachFrom(from, func(p *packet.Packet) bool {
		if count == 0 {
			age = now - p.Arrival
		}
		count++
		return count <= maxBurst
	})
	crowded := now-l.asked.Load() <= int64(crowdedFor) && l.told()
	fresh := age <= int64(freshFor) || crowded && age <= int64(crowdedFor)
	return from, fresh && count <= maxBurst && count > packet.SeqDiff(newest, from)
}

// told reports whether the layer is to be sent by whoever does.
func (l *layer) told() bool {
	l.track.toldMu.Lock()
	defer l.track.toldMu.Unlock()
	return l.track.told&(1<<l.rank) != 0
}

// hold has packets wait for replay, which must follow.
func (s *outletStream) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held, s.seconds = true, 0
	if s.pruner != nil {
		s.pruner.Restart()
	}
}

// replay sends what the cache has: behind what the other node has already, which is 1 less than have, or from a fresh
// keyframe on. It reports whether the layer goes on from there; otherwise it begins with what comes next.
func (s *outletStream) replay(have uint32, now int64) bool {
	out := s.outlet.relay.node.takeBatch()
	defer s.outlet.relay.node.giveBatch(out)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = now
	defer func() { s.held = false }()
	from, ok := s.from(have, now)
	if !ok {
		_, newest, some := s.layer.cache.Window()
		s.replayed, s.settled = some, newest // what waited meanwhile stays in the cache, where it can be asked for
		return false
	}
	sent, last := 0, from-1
	t := s.outlet.link.Transport()
	s.layer.cache.EachFrom(from, func(p *packet.Packet) bool {
		if (!s.started || packet.SeqLess(s.newest, p.Sequence)) && s.send(t, p, out) {
			sent++
		}
		last = p.Sequence
		return true
	})
	_ = out.Flush() // likewise
	s.replayed, s.settled = true, last
	s.outlet.relay.node.count.sent.Add(sent)
	return true
}

// from is where a replay begins. mu is held.
func (s *outletStream) from(have uint32, now int64) (seq uint16, ok bool) {
	if w := s.outlet.way; have == 0 {
		seq, ok = s.layer.recent(now)
		return seq, ok && (!s.started || packet.SeqLess(s.newest, seq)) && (!w.narrowed.Load() || w.takes(s.layer, seq))
	}
	oldest, newest, some := s.layer.cache.Window()
	if !some {
		return uint16(have), true // the layer does not come yet; it was asked for with the same words
	}
	behind, missing := packet.SeqDiff(newest, uint16(have-1)), packet.SeqDiff(oldest, uint16(have))
	return uint16(have), behind <= maxBurst && behind > -maxBurst && missing <= maxMissing
}

// takeBatch and giveBatch lend a batch to whoever sends packets that no reader brought.
func (n *Node) takeBatch() *udp.Batch {
	if b, ok := n.batches.Get().(*udp.Batch); ok {
		return b
	}
	return n.endpoint.NewBatch()
}

func (n *Node) giveBatch(b *udp.Batch) {
	_ = b.Flush() // the only error is that the socket is closed
	n.batches.Put(b)
}
