package node

import (
	"sync/atomic"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// voice is what the packets of one microphone tell of it. One goroutine at a time notes packets; the rest is for everybody. Times
// are arrivals of packets, 0 where there was none.
type voice struct {
	loudness
	tells   atomic.Bool  // its packets have levels: of others nobody can say whether they are to be heard
	began   atomic.Int64 // the first packet of what is being said, or was said last
	spokeAt atomic.Int64 // the newest that was loud enough to be heard in the room
	mutedAt atomic.Int64 // the newest that came while the microphone was muted

	// In a room with more microphones than are forwarded, those that are not chosen are hushed: no slot shows them, and no link
	// carries them but from where one begins to speak up.
	hushed atomic.Bool
	chosen atomic.Int64 // when it was last hushed no more
}

const (
	// hangFor is how long, in nanoseconds like all here, a hushed microphone goes on behind a packet that was loud enough.
	hangFor = 300e6

	// signEvery is how often one packet of a hushed microphone crosses a link nevertheless: the other node sees that it is
	// alive, and both ends go on to agree on the rollover counter (RFC 3711).
	signEvery = 2e9

	// onset is how long before the first loud packet somebody has begun to speak: consonants are soft.
	onset = 60e6

	// overdue bounds how old the packets are that something begins with, and maxOnset how many they are.
	overdue  = 300e6
	maxOnset = 20

	// recentFor is how old a packet may be that somebody who has just connected begins with.
	recentFor = 60e6

	// choiceFor is how long after it was chosen a microphone is begun with what it has said before that.
	choiceFor = 1e9
)

// loudness collects the loudest level since it was last taken.
type loudness struct {
	level atomic.Uint32 // 128 - level, so that louder is more; 0 when nothing was heard
	voice atomic.Bool
}

func (l *loudness) note(level uint8, isVoice bool) {
	if v := uint32(128 - level); v > l.level.Load() { // one writer: the publisher's ingress
		l.level.Store(v)
	}
	if isVoice {
		l.voice.Store(true)
	}
}

func (l *loudness) take() (level uint8, isVoice, ok bool) {
	v := l.level.Swap(0)
	return uint8(128 - v), l.voice.Swap(false), v != 0
}

// hear takes the audio level extension (RFC 6464) of a packet.
func (t *published) hear(ext []byte, arrival int64) {
	level, isVoice, ok := packet.AudioLevel(ext)
	if !ok {
		return
	}
	v := &t.voice
	v.note(level, isVoice)
	v.tells.Store(true)
	switch {
	case t.muted.Load():
		v.mutedAt.Store(arrival)
		return
	case !packet.Speech(level, isVoice) || uint32(level) > t.room.hearing.bar.Load():
		return
	}
	if last := v.spokeAt.Swap(arrival); last == 0 || arrival-last > hangFor {
		v.began.Store(arrival)
	}
	if v.hushed.Load() {
		t.room.noticed(arrival)
	}
}

// crosses reports whether a packet of the microphone goes over a link that it was last sent over at a given time.
func (v *voice) crosses(arrival, last int64) bool {
	if !v.hushed.Load() {
		return true
	}
	spoke := v.spokeAt.Load()
	return spoke != 0 && arrival-spoke <= hangFor || arrival-last >= signEvery
}

// since returns when what is being said began, which is to be heard by whoever begins with a packet that comes now; now where
// nothing is said, or nothing of it is recent.
func (v *voice) since(now int64) int64 {
	if spoke := v.spokeAt.Load(); spoke == 0 || now-spoke > hangFor {
		return now
	}
	return max(v.began.Load()-onset, now-overdue, v.mutedAt.Load()+1)
}

// each calls f for the cached packets that came before p, from an instant on.
func (l *layer) each(since int64, p *packet.Packet, f func(*packet.Packet)) {
	if p.Arrival <= since {
		return
	}
	l.cache.EachFrom(p.Sequence-maxOnset, func(o *packet.Packet) bool {
		if !packet.SeqLess(o.Sequence, p.Sequence) {
			return false
		}
		if o.Arrival >= since {
			f(o)
		}
		return true
	})
}

// speaks decides whether a packet of an own microphone goes over the link. In front of the first behind a silence it sends what was
// said already. mu is held.
func (s *outletStream) speaks(p *packet.Packet, out *udp.Batch) bool {
	v := &s.layer.track.voice
	if !v.crosses(p.Arrival, s.latest) {
		s.hushed = true
		return false
	}
	since := v.since(p.Arrival)
	if !s.hushed || since >= p.Arrival {
		return true
	}
	s.hushed = false
	s.layer.each(since, p, func(o *packet.Packet) {
		if (!s.started || packet.SeqLess(s.newest, o.Sequence)) && !s.late(o) {
			s.send(s.outlet.link.Transport(), o, out)
		}
	})
	return true
}

// beginEarly has a slot begin with what its microphone has said while it was not chosen yet. mu is held.
func (s *slot) beginEarly(l *layer, p *packet.Packet, out *udp.Batch) {
	v := &l.track.voice
	chosen := v.chosen.Load()
	if l != s.target || chosen == 0 || p.Arrival-chosen > choiceFor {
		return
	}
	since := v.since(p.Arrival)
	if s.shown[s.rewriter.Generation()%uint32(len(s.shown))] == l {
		since = max(since, s.heardTo+1) // the slot has just shown it
	}
	sent := 0
	l.each(since, p, func(o *packet.Packet) {
		if (l == s.current || s.begin(l, o)) && s.pass(l, o, out) {
			sent++
		}
	})
	s.peer.node.count.sent.Add(sent)
}

// joinIn has a slot whose viewer has just connected begin with the newest packet of a voice: the next one is up to a packet's time
// away.
func (s *slot) joinIn(l *layer, now int64) {
	_, newest, some := l.cache.Window()
	if !some || l.track.muted.Load() {
		return
	}
	p := l.cache.Get(newest)
	if p == nil {
		return
	}
	defer p.Release()
	if now-p.Arrival > recentFor {
		return
	}
	out := s.peer.node.takeBatch()
	defer s.peer.node.giveBatch(out)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		return // it has come by itself
	}
	s.departLocked()
	if s.forwardLocked(l, p, out) {
		s.peer.node.count.sent.Add(1)
	}
	_ = out.Flush() // with the mutex held: what comes next must not overtake
}
