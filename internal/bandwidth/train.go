package bandwidth

const (
	trainLeast     = 4    // packets
	trainSaturated = 0.9  // slower than this part of its own rate, the train filled the link
	trainUse       = 0.95 // of a link that is filled
	trainSqueezed  = 2    // times faster out than in: it waited together somewhere
	trainLongest   = second
	trainHead      = 1500 * micro // packets that come together as soon as the first does: the receiver was busy with something else
)

// train is what came of a probe.
type train struct {
	count                int
	bytes                int
	firstSent, lastSent  int64
	firstCame, lastCame  int64
	headCame             int64 // the last of those that came with the first
	headBytes, lastBytes int   // of them, and of the last sent: they span no interval
}

func (t *train) add(d departure, arrival int64) {
	if t.count == 0 || d.at < t.firstSent {
		t.firstSent = d.at
	}
	if t.count == 0 || d.at >= t.lastSent {
		t.lastSent, t.lastBytes = d.at, d.size
	}
	switch {
	case t.count == 0 || arrival < t.firstCame-trainHead:
		t.firstCame, t.headCame, t.headBytes = arrival, arrival, d.size
	case arrival <= t.firstCame+trainHead:
		t.headCame = max(t.headCame, arrival)
		t.headBytes += d.size
	}
	if t.count == 0 || arrival > t.lastCame {
		t.lastCame = arrival
	}
	t.count++
	t.bytes += d.size
}

// rate is what the path was shown to carry, given that it loses the part own by itself, and whether that is all that it carries. It
// reports false when the train tells nothing.
func (t *train) rate(sent int, own float64) (rate float64, filled, ok bool) {
	in, out := t.lastSent-t.firstSent, t.lastCame-t.headCame
	if t.count < trainLeast || float64(t.count) < probeReceived*(1-own)*float64(sent) ||
		in <= 0 || out <= 0 || in > trainLongest || out > trainLongest {
		return 0, false, false
	}
	into := float64(8*(t.bytes-t.lastBytes)) * second / float64(in) / (1 - own)
	outOf := float64(8*(t.bytes-t.headBytes)) * second / float64(out) / (1 - own)
	switch {
	case outOf > trainSqueezed*into:
		return 0, false, false
	case outOf < trainSaturated*into:
		return trainUse * outOf, true, true
	}
	return min(into, outOf), false, true
}
