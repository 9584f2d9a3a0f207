package bench

import (
	"sync"
	"time"

	"github.com/parley-sfu/parley/signal/client"
)

// A ledger adds up what one viewer receives. A client that comes back over another media connection counts from nothing
// again: the ledger goes on, but for what came between its last entry, a second ago at most, and the break.
type ledger struct {
	mu    sync.Mutex // protects following, and keeps entries in order
	last  map[string]client.SlotStats
	since time.Time
	sum   counts
}

// open begins to count. What was received before does not count; a viewer who has only just come has received nothing.
func (l *ledger) open(now time.Time, stats func() []client.SlotStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.since, l.sum = map[string]client.SlotStats{}, now, counts{}
	for _, s := range stats() {
		l.last[s.Slot.MID] = s
	}
}

// enter adds what has come since, and returns the sum.
func (l *ledger) enter(now time.Time, stats func() []client.SlotStats) counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := now.Sub(l.since).Seconds()
	l.since = now
	for _, s := range stats() {
		b := l.last[s.Slot.MID]
		if s.Packets < b.Packets || s.Missed < b.Missed || s.Lost < b.Lost || s.Freezes < b.Freezes || s.FreezeTime < b.FreezeTime {
			b = client.SlotStats{} // another connection
		}
		l.last[s.Slot.MID] = s
		l.sum.Received += s.Packets - b.Packets
		l.sum.Missed += s.Missed - b.Missed
		l.sum.Lost += s.Lost - b.Lost
		if s.Slot.Kind == "video" && s.Slot.State == "active" {
			l.sum.Freezes += s.Freezes - b.Freezes
			l.sum.Watched += took
			l.sum.Frozen += (s.FreezeTime - b.FreezeTime).Seconds()
		}
	}
	return l.sum
}
