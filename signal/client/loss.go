package client

import (
	"slices"
	"time"
)

const (
	nackAgain  = 100 * time.Millisecond // before a packet is asked for once more; doubled with each try
	nackTries  = 5                      // after which a packet counts as lost
	maxMissing = 256                    // packets remembered as missing
	maxJump    = 1024                   // a larger step in sequence numbers is a new stream, not loss
)

// LossLog notices packets of one stream that have not come and says when to ask for them (RFC 4585, generic NACK). It
// knows no time of its own and touches no network. The zero value is ready. It belongs to one goroutine.
type LossLog struct {
	started bool
	highest uint16
	missing []missingPacket // oldest first

	Missed   uint64 // did not come in their turn
	Repaired uint64 // of those, came later
	Lost     uint64 // of those, were given up
}

type missingPacket struct {
	seq   uint16
	tries int
	next  time.Time
}

// Arrived notes a packet and reports whether it is new, neither a duplicate nor one given up long ago.
func (l *LossLog) Arrived(seq uint16, now time.Time) bool {
	if !l.started {
		l.started, l.highest = true, seq
		return true
	}
	step := seq - l.highest
	if step == 0 {
		return false
	}
	if step >= 1<<15 { // older than the newest
		return l.repair(seq)
	}
	if step <= maxJump {
		l.miss(l.highest+1, seq, now)
	} else {
		l.abandon()
	}
	l.highest = seq
	return true
}

// Missing is how many packets may still come.
func (l *LossLog) Missing() int { return len(l.missing) }

func (l *LossLog) repair(seq uint16) bool {
	i := slices.IndexFunc(l.missing, func(m missingPacket) bool { return m.seq == seq })
	if i < 0 {
		return false
	}
	l.missing = slices.Delete(l.missing, i, i+1)
	l.Repaired++
	return true
}

func (l *LossLog) miss(from, to uint16, now time.Time) {
	for seq := from; seq != to; seq++ {
		l.Missed++
		l.missing = append(l.missing, missingPacket{seq: seq, next: now})
	}
	if over := len(l.missing) - maxMissing; over > 0 {
		l.Lost += uint64(over)
		l.missing = slices.Delete(l.missing, 0, over)
	}
}

func (l *LossLog) abandon() {
	l.Lost += uint64(len(l.missing))
	l.missing = l.missing[:0]
}

// Due returns the sequence numbers to ask for now, and gives up those that were asked for often enough. It costs nothing
// while nothing is missing.
func (l *LossLog) Due(now time.Time) []uint16 {
	if len(l.missing) == 0 {
		return nil
	}
	var ask []uint16
	kept := l.missing[:0]
	for _, m := range l.missing {
		if now.Before(m.next) {
			kept = append(kept, m)
			continue
		}
		if m.tries == nackTries {
			l.Lost++
			continue
		}
		ask = append(ask, m.seq)
		m.next = now.Add(nackAgain << m.tries)
		m.tries++
		kept = append(kept, m)
	}
	l.missing = kept
	return ask
}
