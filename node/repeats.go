package node

import (
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/udp"
)

// Of what is asked for again as large a part is lost as of everything, and to ask once more takes another round trip, for which no jitter buffer waits. So
// to viewers far away what is sent again is sent twice, a little apart. It costs as much as is lost.

const (
	twiceAfter = 8 * time.Millisecond // losses come in runs, and queues are short where nothing is narrow
	mostTwice  = 64                   // packets may wait for it
)

// repeats is what is still to be sent to a viewer for the second time. It is safe for concurrent use.
type repeats struct {
	mu  sync.Mutex
	due []repetition // in the order of their times
}

// repetition is a packet of a slot's that was sent again.
type repetition struct {
	slot *slot
	seq  uint16
	at   int64
}

// repeat has a packet that has just been sent again sent once more, where it is worth it. mu is held.
func (s *slot) repeat(seq uint16, now int64) {
	p := s.peer
	if !p.far() {
		return
	}
	r := &p.repeats
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.due) < mostTwice {
		r.due = append(r.due, repetition{s, seq, now + int64(twiceAfter)})
		p.node.probes.add(p)
	}
}

// take returns what is due at now, and whether anything else will be.
func (r *repeats) take(now int64) (due []repetition, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for n < len(r.due) && r.due[n].at <= now {
		n++
	}
	due, r.due = r.due[:n:n], r.due[n:]
	return due, len(r.due) > 0
}

// sendTwice sends what is due at now, and reports whether anything else will be.
func (p *Peer) sendTwice(now int64, out *udp.Batch) (more bool) {
	due, more := p.repeats.take(now)
	for _, r := range due {
		if r.slot.onceMore(r.seq, now, out) {
			p.node.count.resent.Add(1)
		}
	}
	return more
}

// onceMore sends a packet again that was sent again a moment ago.
func (s *slot) onceMore(seq uint16, now int64, out *udp.Batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.credit < 2 || s.peer.pacer.narrow.Load() {
		return false
	}
	if s.again == nil {
		return s.resendPicture(seq, now, out)
	}
	v := s.again.find(seq)
	return v != nil && s.sendVoice(v, seq, now, out)
}
