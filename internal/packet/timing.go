package packet

import "time"

const (
	lateLeast = int64(5 * time.Millisecond) // packets later than that are to be expected on any link
	lateMost  = int64(100 * time.Millisecond)
	lateFade  = int64(time.Second) // after so long without a later packet lateness is a quarter less

	repairedMemory = 64 // packets that came after they had been asked for
)

// repairTiming learns from how packets come how long to wait: for those that are merely late, and for the answers to those
// that were asked for.
type repairTiming struct {
	late   int64 // lateness that covers what has been seen of late
	lateAt int64 // when late last changed

	rtt       int64 // round trip as others measured it
	answer    int64 // smoothed time from an ask to its answer, as RFC 6298 smooths round trips; 0 before the first
	deviation int64

	repaired [repairedMemory]repaired
	wasted   uint64
}

// repaired is a packet that came after it had been asked for: retransmitted, or late. A second copy will tell.
type repaired struct {
	lost
	came   int64
	resent bool // in a stream of retransmissions
}

// came takes the lesson of a missing packet that came. Whether it was late or retransmitted must be guessed unless it was resent.
func (t *repairTiming) came(m *lost, now int64, resent bool) {
	if m.asks == 0 {
		if !resent { // or a sender probes with what was lost
			t.wasLate(now-m.since, now)
		}
		return
	}
	t.repaired[m.seq%repairedMemory] = repaired{*m, now, resent}
	took := now - m.asked
	if took < t.rtt/2 { // too fast for an answer to the last ask, if the round trip was not measured in a stall
		if m.asks == 1 && !resent {
			t.wasLate(now-m.since, now)
			return
		}
		took = now - m.first
	}
	t.answered(took)
}

// answered smooths the time that answers take.
func (t *repairTiming) answered(took int64) {
	if t.answer == 0 {
		t.answer, t.deviation = took, took/2
		return
	}
	t.deviation += (max(took-t.answer, t.answer-took) - t.deviation) / 4
	t.answer += (took - t.answer) / 8
}

// cameTwice takes the lesson of a packet that was there already: it had been asked for once too often. If that was the
// only time, it was merely late; otherwise its answer was. Two that were resent for one ask teach nothing: senders probe bandwidth
// with what they have sent before.
func (t *repairTiming) cameTwice(seq uint16, resent bool) {
	r := &t.repaired[seq%repairedMemory]
	if r.asks == 0 || r.seq != seq || r.asks == 1 && r.resent && resent {
		return
	}
	t.wasted++
	if r.asks == 1 {
		t.wasLate(r.came-r.since, r.came)
	} else {
		t.answered(r.came - r.first)
	}
	r.asks = 0
}

// wasLate makes the lateness cover packets that are late by so much, in steps: one alone may have had bad luck.
func (t *repairTiming) wasLate(by, now int64) {
	if by = min(by+by/4, lateMost); by > t.late {
		t.late, t.lateAt = (t.late+by+1)/2, now
	}
}

// lateness returns how long a packet that is missing may still be on its way. Nobody asks while nothing is missing, so all the seconds
// since are made up for.
func (t *repairTiming) lateness(now int64) int64 {
	for t.late > lateLeast && now-t.lateAt >= lateFade {
		t.late -= t.late / 4
		t.lateAt += lateFade
	}
	return max(t.late, lateLeast)
}

// overdue reports whether the answer to the last ask for m must be taken for lost.
func (t *repairTiming) overdue(m *lost, now int64) bool {
	expected := max(t.rtt, t.answer)
	wait := max(expected+expected/4, t.answer+2*t.deviation, lossAgain)
	for range m.asks - 1 {
		wait += wait / 2
	}
	return now-m.asked >= wait
}
