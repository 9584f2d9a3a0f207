package system_test

import (
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/signal/client"
)

// source is one kind of media of one participant.
type source struct{ participant, kind string }

// received is what came of a source since the last mark.
type received struct {
	packets int
	first   time.Time     // when the first packet came; zero: none yet
	last    time.Time     // when the newest came, before the mark too
	longest time.Duration // without a packet, from the mark or the last packet before it on
	missing int           // packets that did not come, by sequence numbers, retransmissions included

	slot          string // that carried the newest
	base, highest uint16 // sequence numbers in that slot since it carried this source
	inSlot        int
}

// mediaWatch notes what a client receives of whom. It is safe for concurrent use.
type mediaWatch struct {
	mu   sync.Mutex
	from map[source]*received
}

func newMediaWatch() *mediaWatch { return &mediaWatch{from: map[source]*received{}} }

// packet takes a packet. It is for client.Options.OnPacket.
func (w *mediaWatch) packet(p client.Packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := source{p.Slot.ParticipantID, p.Slot.Kind}
	r := w.from[key]
	if r == nil {
		r = &received{}
		w.from[key] = r
	}
	if r.packets == 0 {
		r.first = p.Arrived
	}
	if !r.last.IsZero() {
		r.longest = max(r.longest, p.Arrived.Sub(r.last))
	}
	r.packets++
	r.last = p.Arrived
	r.count(p.Slot.MID, p.RTP.SequenceNumber)
}

// count follows the sequence numbers, which are continuous in a slot whatever it carries.
func (r *received) count(slot string, seq uint16) {
	if r.slot != slot || r.inSlot == 0 {
		r.missing += r.open()
		r.slot, r.base, r.highest, r.inSlot = slot, seq, seq, 0
	}
	if int16(seq-r.base) < 0 {
		return // from before the mark
	}
	if int16(seq-r.highest) > 0 {
		r.highest = seq
	}
	r.inSlot++
}

// open is what is missing in the present slot.
func (r *received) open() int {
	if r.inSlot == 0 {
		return 0
	}
	return max(0, int(r.highest-r.base)+1-r.inSlot)
}

// mark begins a measurement.
func (w *mediaWatch) mark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.from {
		*r = received{last: r.last}
	}
}

// of is what came of a source since the last mark; the longest silence is the one until now, if that is longest.
func (w *mediaWatch) of(participant, kind string) received {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.from[source{participant, kind}]
	if r == nil {
		return received{}
	}
	now := *r
	now.missing += now.open()
	now.longest = max(now.longest, time.Since(now.last))
	return now
}

// hasOther says whether something of the kind came of a participant who is none of those.
func (w *mediaWatch) hasOther(than []string, kind string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for from, r := range w.from {
		if from.kind == kind && r.packets > 10 && !slices.Contains(than, from.participant) {
			return true
		}
	}
	return false
}
