package bandwidth

import (
	"fmt"
	"time"
)

const (
	rttStart  = 100 * milli
	rttWindow = 5 * second
)

// Kind says what a packet is there for.
type Kind uint8

// Kinds of packets.
const (
	Media Kind = iota
	Retransmission
	Padding
	kinds
)

// Estimator is the estimate of one path. It is made for one goroutine at a time, and its owner calls
//
//	Sent               for each packet that leaves, retransmissions and padding included
//	TransportFeedback  for each message that comes; or REMB and Report from a remote that sends none
//	Want               when what should be sent changes
//	Probe, Owed        every few milliseconds: begin a probe that is due, and the bytes that it lacks now
//	Tick               every 50 to 200 ms
//	Rate               whenever it decides what to send
type Estimator struct {
	cfg  Config
	rate float64 // the estimate
	by   Limit
	want float64

	history  history
	leaving  throughput // by this end's clock
	arriving throughput // by the receiver's
	delay    delay
	aimd     aimd
	lately   passage
	loss     loss
	prober   prober
	reports  reports

	heard     bool  // transport-wide feedback has come
	reported  bool  // something else has
	reference int64 // of the newest message, never wrapped
	round     minimum
	rtt       int64
	newest    int64 // when feedback came last
	sent      int64 // when a packet left last
	over      int64 // when the path was last overused
	woke      int64 // when a packet left first after a pause
	outage    outage
	opening   opening
	bytes     [kinds]uint64
}

// New makes an estimator that begins at cfg.Start with probes for more.
func New(cfg Config) (*Estimator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("bandwidth estimate: %w", err)
	}
	e := &Estimator{
		cfg: cfg, rate: float64(cfg.Start), want: float64(cfg.Max),
		delay: newDelay(), round: minimum{window: rttWindow}, rtt: rttStart,
		aimd: aimd{rate: float64(cfg.Start), short: cfg.Short},
	}
	e.prober.queue(3*e.rate, 6*e.rate)
	return e, nil
}

// Sent notes a packet that leaves at now and returns its transport-wide sequence number. While a probe runs, whatever leaves belongs to it.
func (e *Estimator) Sent(now int64, size int, kind Kind) uint16 {
	if now-e.sent >= int64(e.cfg.Silence) {
		e.woke = now
	}
	e.sent = now
	e.bytes[min(kind, Padding)] += uint64(size)
	if !e.heard {
		e.leaving.add(now, size)
	}
	var id uint8
	if c := e.prober.running(now); c != nil {
		id = c.id
		c.sent += size
		c.count++
		c.last = e.history.next
	}
	return e.history.push(now, size, id)
}

// REMB takes the bit/s that the receiver says it can take.
func (e *Estimator) REMB(bitrate, now int64) {
	e.reported = true
	if !e.heard {
		e.opening.end()
	}
	e.reports.remb, e.reports.rembAt = float64(bitrate), now
	e.settle(now)
}

// Report takes the part lost of all that was sent, from one round of receiver reports, with the round trip they tell or 0. It means nothing
// once there is transport-wide feedback.
func (e *Estimator) Report(lost float64, rtt time.Duration, now int64) {
	if e.heard {
		return
	}
	e.reported = true
	e.opening.end()
	if rtt > 0 {
		e.rtt = int64(rtt)
	}
	e.loss.last = lost
	leaving, known := e.leaving.rate()
	e.aimd.rate = e.reports.next(e.aimd.rate, lost, leaving, known, e.rtt, now)
	e.settle(now)
}

// Want says how many bit/s would be sent if the path carried them. Nobody probes for more than that.
func (e *Estimator) Want(bitrate int) { e.want = min(float64(bitrate), float64(e.cfg.Max)) }

// Rate is the estimate in bit/s.
func (e *Estimator) Rate() int { return int(e.rate) }

// Budget is what there is to plan with, in bit/s: the estimate, or more while that is low only for a queue to go. Who plans with it has to have what
// is too much until then wait: see Pacing.
func (e *Estimator) Budget() int {
	if e.by != ByDelay {
		return e.Rate()
	}
	return int(max(e.rate, min(e.aimd.budget(), float64(e.cfg.Max))))
}
