package signal

// event is one event as it goes to one or many sessions. The body is encoded JSON, or a struct that the socket's writer
// encodes.
type event struct {
	typ  string
	body any
}

// eventLog numbers the events of one session and keeps the newest for resuming. It is not safe for concurrent use.
type eventLog struct {
	seq  uint64  // of the newest event
	base uint64  // number of the event that was put at kept[0] first
	keep int     // how many events at most
	kept []event // a ring once it is full
}

func newEventLog(keep int) *eventLog { return &eventLog{base: 1, keep: keep} }

// add numbers an event.
func (l *eventLog) add(e event) uint64 {
	l.seq++
	if len(l.kept) < l.keep {
		l.kept = append(l.kept, e)
	} else {
		l.kept[l.index(l.seq)] = e
	}
	return l.seq
}

// restart numbers a snapshot. It stands for everything before it, which is forgotten.
func (l *eventLog) restart() uint64 {
	l.seq++
	l.kept, l.base = nil, l.seq+1
	return l.seq
}

// after returns the events after last; the first of them has the number last+1. It is false when they are not all kept,
// or when last is of the future.
func (l *eventLog) after(last uint64) ([]event, bool) {
	if last > l.seq || last+1+uint64(len(l.kept)) < l.seq+1 {
		return nil, false
	}
	events := make([]event, 0, l.seq-last)
	for n := last + 1; n <= l.seq; n++ {
		events = append(events, l.kept[l.index(n)])
	}
	return events, true
}

func (l *eventLog) index(n uint64) int { return int((n - l.base) % uint64(l.keep)) }
