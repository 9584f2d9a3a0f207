package packet

const (
	nanos        = 1_000_000_000
	jumpSeconds  = 5 // transit times that differ by more are a new timestamp base, not jitter
	maxTotalLost = 1<<23 - 1
	usualOver    = 16 // packets
)

// Reception keeps the statistics of one incoming stream that reception report blocks carry (RFC 3550 section 6.4.1),
// computed as in its appendices A.3 and A.8.
type Reception struct {
	sequence Unwrapper
	started  bool
	base     int64 // extended number of the first packet
	received int64

	expectedBefore int64 // at the last Report
	receivedBefore int64

	transit uint32 // of the newest packet: arrival minus timestamp, in ticks
	usual   uint32 // the moving mean of that
	jitter  uint32 // in sixteenths of a tick
}

// Update counts one packet that arrived at arrival, in monotonic nanoseconds. Packets of the RTX stream that repairs
// this one are not counted (RFC 4588 section 5.2). With a clockRate of 0 jitter is not measured.
func (r *Reception) Update(h *Header, arrival int64, clockRate uint32) {
	newer := !r.started || SeqLess(uint16(r.sequence.highest), h.Sequence)
	n := r.sequence.Unwrap(h.Sequence)
	r.received++
	if !newer {
		return
	}
	transit := ticks(arrival, clockRate) - h.Timestamp
	if !r.started {
		r.started, r.base, r.usual = true, n, transit
	} else {
		r.measure(transit, clockRate)
	}
	r.transit = transit
}

// Lag is by how many nanoseconds the newest packet came later than its stream lately did, negative if it came earlier: what grows while a queue does that
// lies before. It needs the clockRate that Update was given.
func (r *Reception) Lag(clockRate uint32) int64 {
	return TimestampDiff(r.transit, r.usual) * nanos / int64(max(clockRate, 1))
}

// measure is the estimator of appendix A.8, and the mean.
func (r *Reception) measure(transit, clockRate uint32) {
	d := TimestampDiff(transit, r.transit)
	if d < 0 {
		d = -d
	}
	if d > jumpSeconds*int64(clockRate) {
		r.usual = transit
		return
	}
	r.usual += uint32(TimestampDiff(transit, r.usual) / usualOver)
	r.jitter += uint32(d) - (r.jitter+8)>>4
}

// Report returns the fields of a report block: the fraction lost since the last Report in 1/256, the total lost within
// 24 signed bits, the highest sequence number with its wraps above it, and the jitter in ticks. Duplicates count as
// received, so that either loss can be hidden, and the total can be negative.
func (r *Reception) Report() (fractionLost uint8, totalLost int32, highest, jitter uint32) {
	if !r.started {
		return 0, 0, 0, 0
	}
	expected := r.sequence.highest - r.base + 1
	lost := min(max(expected-r.received, -maxTotalLost-1), maxTotalLost)
	during := expected - r.expectedBefore
	missed := during - (r.received - r.receivedBefore)
	r.expectedBefore, r.receivedBefore = expected, r.received
	if during > 0 && missed > 0 {
		fractionLost = uint8(min(missed<<8/during, 255))
	}
	return fractionLost, int32(lost), uint32(r.sequence.highest), r.jitter >> 4
}

// ticks converts nanoseconds to ticks of rate, modulo 2^32, without overflow.
func ticks(ns int64, rate uint32) uint32 {
	return uint32(ns/nanos*int64(rate) + ns%nanos*int64(rate)/nanos)
}
