package client

import (
	"slices"
	"time"
)

const (
	nackUnknown = 80 * time.Millisecond  // how long repair takes, while it is not known
	nackSlack   = 20 * time.Millisecond  // ways are not even
	nackMost    = 500 * time.Millisecond // that an answer may be thought to take
	nackSoon    = 3                      // tries that follow each other as fast as answers can come; then each takes twice as long
	nackTries   = 7                      // after which a packet counts as lost
	maxMissing  = 256                    // packets remembered as missing
	maxJump     = 1024                   // a larger step in sequence numbers is a new stream, not loss
)

// LossLog notices packets of one stream that have not come and says when to ask for them (RFC 4585, generic NACK): at once, again when an
// answer should have come, by how long others took, and then less and less often. It
// knows no time of its own and touches no network. The zero value is ready. It belongs to one goroutine.
type LossLog struct {
	started bool
	highest uint16
	missing []missingPacket // oldest first
	takes   time.Duration   // from a request to its answer, smoothed; 0 while that is not known

	Missed   uint64 // did not come in their turn
	Repaired uint64 // of those, came later
	Lost     uint64 // of those, were given up
}

type missingPacket struct {
	seq   uint16
	tries int
	asked time.Time // first
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
		return l.repair(seq, now)
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

func (l *LossLog) repair(seq uint16, now time.Time) bool {
	i := slices.IndexFunc(l.missing, func(m missingPacket) bool { return m.seq == seq })
	if i < 0 {
		return false
	}
	// Of several requests nobody knows which was answered. Taking it for the first errs towards asking later, until most are answered before the second.
	if m := l.missing[i]; m.tries > 0 {
		l.took(min(now.Sub(m.asked), nackMost))
	}
	l.missing = slices.Delete(l.missing, i, i+1)
	l.Repaired++
	return true
}

// took learns how long an answer took. An answer that comes sooner is believed sooner: what is slow may have been in a queue.
func (l *LossLog) took(d time.Duration) {
	switch {
	case l.takes == 0:
		l.takes = d
	case d < l.takes:
		l.takes += (d - l.takes) / 4
	default:
		l.takes += (d - l.takes) / 8
	}
}

// again is the time from a request to the next one, the first of which is try 1.
func (l *LossLog) again(try int) time.Duration {
	takes := nackUnknown
	if l.takes != 0 {
		takes = l.takes
	}
	return (takes + nackSlack) << max(0, try-nackSoon)
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
		if m.tries++; m.tries == 1 {
			m.asked = now
		}
		m.next = now.Add(l.again(m.tries))
		kept = append(kept, m)
	}
	l.missing = kept
	return ask
}
