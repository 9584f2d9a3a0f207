package bandwidth

import "time"

// Limit names the part that keeps the estimate from being higher.
type Limit uint8

// Limits.
const (
	ByDelay   Limit = iota // queues, or nobody has tried for more
	ByLoss                 // loss that grows with the rate
	ByREMB                 // the receiver's word
	ByReports              // receiver reports; there is no transport-wide feedback
	BySilence              // nothing comes back
)

// String is the name in metrics and statistics.
func (l Limit) String() string {
	switch l {
	case ByLoss:
		return "loss"
	case ByREMB:
		return "remb"
	case ByReports:
		return "reports"
	case BySilence:
		return "silence"
	default:
		return "delay"
	}
}

// Stats is what is known of a path.
type Stats struct {
	Rate      int // the estimate, bit/s
	By        Limit
	Arriving  int           // bit/s, 0 before it is known
	Lost      float64       // part, lately
	OwnLoss   float64       // part that the path loses at any rate
	Queue     time.Duration // that stands on the path
	RoundTrip time.Duration // shortest lately, the receiver's wait for the next message included
	Flight    int           // bytes that the receiver has not told of

	MediaBytes, RetransmissionBytes, PaddingBytes uint64 // sent since the beginning
}

// Stats returns what is known at this moment.
func (e *Estimator) Stats() Stats {
	arriving, _ := e.arriving.rate()
	return Stats{
		Rate: e.Rate(), By: e.by, Arriving: int(arriving), Lost: e.loss.last, OwnLoss: e.loss.own,
		Queue: time.Duration(e.delay.queue), RoundTrip: time.Duration(e.rtt), Flight: e.history.flight,
		MediaBytes: e.bytes[Media], RetransmissionBytes: e.bytes[Retransmission], PaddingBytes: e.bytes[Padding],
	}
}
