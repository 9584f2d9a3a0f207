package bandwidth

const (
	burstSpan   = 5 * milli   // packets that leave within are one group
	burstGap    = 5 * milli   // and so are those that arrive closer than this after a pause of the path
	burstLength = 100 * milli // at most
)

// group is packets that left together, as one sample of the path's delay.
type group struct {
	firstSent, lastSent       int64
	firstArrival, lastArrival int64
}

// grouping cuts a flow into groups and compares each with the one before it (draft-ietf-rmcat-gcc-02 sections 5.1 and 5.2). One packet
// says little: pacing, batches and the receiver's kernel move it by milliseconds.
type grouping struct {
	started           bool
	current, previous group
	groups            int
}

// add takes a packet, in the order of leaving. When it is the first of a new group, the two before that are compared: ok is true and
// sent and arrived tell how much later the younger of them left and arrived.
func (g *grouping) add(sentAt, arrival int64) (sent, arrived int64, ok bool) {
	switch {
	case !g.started:
		g.started = true
		g.current = group{sentAt, sentAt, arrival, arrival}
		return 0, 0, false
	case g.belongs(sentAt, arrival):
		g.current.lastSent = max(g.current.lastSent, sentAt)
		g.current.lastArrival = max(g.current.lastArrival, arrival)
		return 0, 0, false
	}
	if g.groups > 0 {
		sent = g.current.lastSent - g.previous.lastSent
		arrived = g.current.lastArrival - g.previous.lastArrival
		ok = true
	}
	g.groups++
	g.previous, g.current = g.current, group{sentAt, sentAt, arrival, arrival}
	return sent, arrived, ok
}

// belongs reports whether a packet is of the current group: it left within the burst, or it was held up on the way and came right
// behind it, as when a radio lets go of all that waited (section 5.1).
func (g *grouping) belongs(sentAt, arrival int64) bool {
	if sentAt-g.current.firstSent < burstSpan {
		return true
	}
	gap := arrival - g.current.lastArrival
	shrank := gap < sentAt-g.current.lastSent
	return shrank && gap <= burstGap && arrival-g.current.firstArrival < burstLength
}
