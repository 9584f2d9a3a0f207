package packet

// Clock ties the RTP timestamps of one stream to its sender's wall clock: the pair of times of one sender report
// (RFC 3550 section 6.4.1). Two layers of one camera share that wall clock, which aligns them. It is a value.
type Clock struct {
	NTP     uint64 // sender's wall clock, in 2^-32 seconds since 1900
	RTP     uint32 // timestamp of the same instant
	Rate    uint32 // ticks a second
	Arrival int64  // when the report came, in monotonic nanoseconds
}

// Valid reports whether c was ever set.
func (c Clock) Valid() bool { return c.NTP != 0 && c.Rate != 0 }

// At returns the timestamp of the instant ntp, rounded to the nearest tick.
func (c Clock) At(ntp uint64) uint32 {
	delta := int64(ntp - c.NTP)
	seconds, fraction := delta>>32, uint64(uint32(delta))
	ticks := seconds*int64(c.Rate) + int64((fraction*uint64(c.Rate)+1<<31)>>32)
	return c.RTP + uint32(ticks)
}

// NTPAt returns the instant of the timestamp rtp, which is taken to lie within half a wrap of the report. It returns 0
// for a Clock that is not valid.
func (c Clock) NTPAt(rtp uint32) uint64 {
	if c.Rate == 0 {
		return 0
	}
	return c.NTP + uint64(TimestampDiff(rtp, c.RTP)<<32/int64(c.Rate))
}

// Align returns the hint for switching from a stream with the clock previous to the packet with timestamp ts of a stream
// with the clock next. Both must be clocks of one sender. Without a report of both the hint knows only the rate, which
// next must have in any case.
func Align(previous, next Clock, ts uint32) TimestampHint {
	hint := TimestampHint{ClockRate: next.Rate}
	if previous.Valid() && next.Valid() && previous.Rate == next.Rate {
		hint.Aligned, hint.Timestamp = true, previous.At(next.NTPAt(ts))
	}
	return hint
}
