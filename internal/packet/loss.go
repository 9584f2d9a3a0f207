package packet

import "time"

const (
	lossBound  = 256                          // packets waited for at once; a longer gap is a restart, not a loss
	lossAsks   = 8                            // then it is given up
	lossForget = int64(time.Second)           // older than any jitter buffer waits
	lossAgain  = int64(15 * time.Millisecond) // between two asks at least

	lossPackets = 3 // newer ones are evidence that a packet is not merely out of order

	lossStall = int64(30 * time.Millisecond) // nobody looks so rarely but a process that had no CPU

	lossCredit = 128 // most asks at once
	lossShare  = 5   // packets that must come for one more ask
)

// Loss knows which packets of one incoming stream are missing and when to ask for them again (generic NACK, RFC 4585
// section 6.2.1). Asking for what is merely late costs the sender a packet for nothing, so each ask waits for evidence:
//
//   - The first ask waits for the time by which packets were found to be late before, 5 ms at least, and twice as long
//     when fewer than three newer ones have been sent.
//   - The next ones wait for a quarter more than an answer takes, by the round-trip time and by the answers before, and
//     each half as long again as the one before it.
//   - Time in which this process did not run does not count: what has come meanwhile has yet to be read.
//   - Asks are at most a fifth of the packets that come or are left out, and 128 at once.
//
// A packet is asked for at most eight times, and not when the answer would come later than a second after it was missed. At
// most 256 packets are waited for; the oldest go first, and a gap longer than that starts afresh.
type Loss struct {
	started bool
	highest uint16
	count   int
	missing [lossBound]lost // the first count, in order
	timing  repairTiming

	looked int64 // when Due was last called
	credit int   // asks that may be made, in parts of lossShare
}

type lost struct {
	since int64 // when the gap was seen
	first int64 // when it was first asked for
	asked int64 // when it was last asked for
	seq   uint16
	asks  uint8
}

// Received notes that seq came at now, in monotonic nanoseconds, be it for the first time or retransmitted.
func (l *Loss) Received(seq uint16, now int64) { l.received(seq, now, false) }

// Resent notes what Received does, of a copy that came in a stream of retransmissions (RFC 4588): it is for certain not late.
func (l *Loss) Resent(seq uint16, now int64) { l.received(seq, now, true) }

// LeftOut notes that seq will not come, and need not: it was left out on purpose. It reports whether that is news.
func (l *Loss) LeftOut(seq uint16, now int64) (news bool) {
	if !l.started {
		return false
	}
	if ahead := SeqDiff(seq, l.highest); ahead > 0 {
		l.advance(seq, ahead, now)
		news = true
	} else {
		_, news = l.remove(seq)
	}
	if news {
		l.credit = min(l.credit+1, lossCredit*lossShare)
	}
	return news
}

func (l *Loss) received(seq uint16, now int64, resent bool) {
	if !l.started {
		l.started, l.highest, l.credit = true, seq, lossCredit*lossShare
		return
	}
	l.credit = min(l.credit+1, lossCredit*lossShare)
	ahead := SeqDiff(seq, l.highest)
	if ahead <= 0 {
		l.found(seq, now, resent)
		return
	}
	l.advance(seq, ahead, now)
}

// advance moves on to seq, so many numbers ahead.
func (l *Loss) advance(seq uint16, ahead int, now int64) {
	if ahead > lossBound {
		l.count = 0
	} else if ahead > 1 {
		l.gap(l.highest+1, ahead-1, now)
	}
	l.highest = seq
}

// gap adds n numbers from first on, at the cost of the oldest.
func (l *Loss) gap(first uint16, n int, now int64) {
	if l.count == 0 && now-l.looked > lossStall {
		l.looked = now // nobody had to look while nothing was missing
	}
	if over := l.count + n - lossBound; over > 0 {
		l.drop(over)
	}
	for i := range n {
		l.missing[l.count] = lost{since: now, seq: first + uint16(i)}
		l.count++
	}
}

// drop forgets the n oldest.
func (l *Loss) drop(n int) {
	l.count = copy(l.missing[:], l.missing[n:l.count])
}

// found takes seq out.
func (l *Loss) found(seq uint16, now int64, resent bool) {
	if m, ok := l.remove(seq); ok {
		l.timing.came(&m, now, resent)
		return
	}
	l.timing.cameTwice(seq, resent)
}

// remove takes seq out, if it is missing. Late packets are mostly young, so the search starts there.
func (l *Loss) remove(seq uint16) (m lost, ok bool) {
	for i := l.count - 1; i >= 0 && !SeqLess(l.missing[i].seq, seq); i-- {
		if m = l.missing[i]; m.seq == seq {
			copy(l.missing[i:], l.missing[i+1:l.count])
			l.count--
			return m, true
		}
	}
	return lost{}, false
}

// Due appends to dst the numbers to ask for at now, in order, counts them as asked for, and gives up the hopeless.
// It must be called every 5 to 20 ms while Missing is not 0.
func (l *Loss) Due(now int64, rtt time.Duration, dst []uint16) []uint16 {
	l.wake(now)
	l.timing.rtt = int64(rtt)
	kept := 0
	for _, m := range l.missing[:l.count] {
		if now-m.since+int64(rtt) >= lossForget || m.asks == lossAsks && l.timing.overdue(&m, now) {
			continue
		}
		if m.asks < lossAsks && l.credit >= lossShare && l.due(&m, now) {
			if m.asks == 0 {
				m.first = now
			}
			m.asks++
			m.asked = now
			l.credit -= lossShare
			dst = append(dst, m.seq)
		}
		l.missing[kept] = m
		kept++
	}
	l.count = kept
	return dst
}

func (l *Loss) due(m *lost, now int64) bool {
	if m.asks > 0 {
		return l.timing.overdue(m, now)
	}
	wait := l.timing.lateness(now)
	if SeqDiff(l.highest, m.seq) < lossPackets {
		wait *= 2
	}
	return now-m.since >= wait
}

// wake takes the time of a stall out of all waiting: it is as if the clock had stood still.
func (l *Loss) wake(now int64) {
	stalled := now - l.looked
	l.looked = now
	if stalled <= lossStall {
		return
	}
	for i := range l.missing[:l.count] {
		m := &l.missing[i]
		m.since = min(m.since+stalled, now)
		m.first, m.asked = min(m.first+stalled, now), min(m.asked+stalled, now)
	}
}

// Forget gives up what is missing in front of the number before: nobody needs it once a keyframe starts there.
func (l *Loss) Forget(before uint16) {
	n := 0
	for n < l.count && SeqLess(l.missing[n].seq, before) {
		n++
	}
	l.drop(n)
}

// Missing returns how many packets are waited for.
func (l *Loss) Missing() int { return l.count }

// Wasted returns how many packets were asked for and came twice: they had been late, not lost.
func (l *Loss) Wasted() uint64 { return l.timing.wasted }
