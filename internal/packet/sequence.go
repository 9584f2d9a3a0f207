package packet

// SeqDiff returns how far a is ahead of b on the circle of 16-bit sequence numbers: negative when it is behind. At the
// exact opposite of the circle a counts as behind.
func SeqDiff(a, b uint16) int { return int(int16(a - b)) }

// SeqLess reports whether a comes before b.
func SeqLess(a, b uint16) bool { return int16(a-b) < 0 }

// TimestampDiff returns how far a is ahead of b on the circle of RTP timestamps, in ticks.
func TimestampDiff(a, b uint32) int64 { return int64(int32(a - b)) }

// Unwrapper extends 16-bit sequence numbers to 64 bits that never wrap. The first number keeps its value; each other is
// the one nearest to the highest so far, so that numbers in front of the first may become negative.
type Unwrapper struct {
	started bool
	highest int64
}

// Unwrap returns the extended number of seq.
func (u *Unwrapper) Unwrap(seq uint16) int64 {
	if !u.started {
		u.started, u.highest = true, int64(seq)
		return u.highest
	}
	extended := u.highest + int64(SeqDiff(seq, uint16(u.highest)))
	u.highest = max(u.highest, extended)
	return extended
}

// TimestampUnwrapper does for 32-bit RTP timestamps what Unwrapper does for sequence numbers.
type TimestampUnwrapper struct {
	started bool
	highest int64
}

// Unwrap returns the extended timestamp of ts.
func (u *TimestampUnwrapper) Unwrap(ts uint32) int64 {
	if !u.started {
		u.started, u.highest = true, int64(ts)
		return u.highest
	}
	extended := u.highest + TimestampDiff(ts, uint32(u.highest))
	u.highest = max(u.highest, extended)
	return extended
}
