package packet

import "time"

const (
	lossBound   = 256                         // packets waited for at once; a longer gap is a restart, not a loss
	lossReorder = int64(5 * time.Millisecond) // what is merely out of order gets here in that time
	lossAgain   = 15 * time.Millisecond       // between two asks at least
	lossAsks    = 10                          // then it is given up
	lossForget  = int64(time.Second)          // older than any jitter buffer waits
)

// Loss knows which packets of one incoming stream are missing and when to ask for them again (generic NACK, RFC 4585
// section 6.2.1). A packet is asked for first after 5 ms in which it may have been only out of order, then every
// round-trip time or 15 ms, whichever is longer, at most ten times and for one second. At most 256 packets are waited
// for; the oldest go first, and a gap longer than that starts afresh.
type Loss struct {
	started bool
	highest uint16
	count   int
	missing [lossBound]lost // the first count, in order
}

type lost struct {
	since int64 // when the gap was seen
	asked int64 // when it was last asked for
	seq   uint16
	asks  uint8
}

// Received notes that seq came at now, in monotonic nanoseconds, be it for the first time or retransmitted.
func (l *Loss) Received(seq uint16, now int64) {
	if !l.started {
		l.started, l.highest = true, seq
		return
	}
	ahead := SeqDiff(seq, l.highest)
	if ahead <= 0 {
		l.found(seq)
		return
	}
	if ahead > lossBound {
		l.count = 0
	} else if ahead > 1 {
		l.gap(l.highest+1, ahead-1, now)
	}
	l.highest = seq
}

// gap adds n numbers from first on, at the cost of the oldest.
func (l *Loss) gap(first uint16, n int, now int64) {
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

// found takes seq out. Late packets are mostly young, so the search starts there.
func (l *Loss) found(seq uint16) {
	for i := l.count - 1; i >= 0; i-- {
		if l.missing[i].seq == seq {
			copy(l.missing[i:], l.missing[i+1:l.count])
			l.count--
			return
		}
		if SeqLess(l.missing[i].seq, seq) {
			return
		}
	}
}

// Due appends to dst the numbers to ask for at now, in order, counts them as asked for, and gives up the hopeless.
// It is worth a call every 5 to 10 ms while Missing is not 0.
func (l *Loss) Due(now int64, rtt time.Duration, dst []uint16) []uint16 {
	again := int64(max(rtt, lossAgain))
	kept := 0
	for _, m := range l.missing[:l.count] {
		if now-m.since >= lossForget {
			continue
		}
		wait, from := lossReorder, m.since
		if m.asks > 0 {
			wait, from = again, m.asked
		}
		if now-from >= wait {
			if m.asks == lossAsks {
				continue
			}
			m.asks++
			m.asked = now
			dst = append(dst, m.seq)
		}
		l.missing[kept] = m
		kept++
	}
	l.count = kept
	return dst
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
