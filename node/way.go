package node

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/bandwidth"
	"github.com/parley-sfu/parley/internal/packet"
)

const (
	// overhead is what a packet takes on its way beside what was written: the SRTP tag, and the headers of UDP and IPv4.
	overhead = 16 + 28

	// openingBudget is what a viewer is given, in bit/s, until something was too much: on a good link the picture begins as it is to stay, on a bad one
	// too much is sent for a quarter of a second.
	openingBudget = 6_000_000

	// lostMuch is the part lost, of what a receiver reports on, from which a receiver that tells nothing better is estimated.
	lostMuch = 0.1
)

// way is what is known of the way to one receiver: which packets left, and how many bit/s the receiver's account of them says
// it carries. It costs nothing until there is such an account. It is safe for concurrent use; nothing is called with its mutex held.
type way struct {
	measured atomic.Bool // what leaves is noted
	numbered atomic.Bool // packets carry transport-wide sequence numbers
	cfg      bandwidth.Config

	// Of links, where not each packet does; see linkway.go.
	link       bool
	unnumbered atomic.Int64 // bytes that left since the last that did
	narrowed   atomic.Bool  // the link is limited

	manifest manifest

	mu        sync.Mutex
	estimator *bandwidth.Estimator // nil until measured
	strain    strain
	again     allowance
	reported  map[uint32]uint32 // highest sequence number told of, by SSRC; of receivers that number nothing
	allocated int64             // bit/s, as last allocated
	wanted    int64             // likewise: what there would be to send
	planned   int64             // bit/s: the budget that was divided, or is about to be
}

// number has packets numbered from now on, for a receiver that has offered to tell which came.
func (w *way) number() { w.measure(w.cfg); w.numbered.Store(true) }

// measure has what leaves noted from now on.
func (w *way) measure(cfg bandwidth.Config) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.estimator != nil {
		return
	}
	e, err := bandwidth.New(cfg)
	if err != nil {
		return // the configuration was validated: it cannot be
	}
	e.Want(0)
	w.estimator = e
	w.measured.Store(true)
}

// left notes a packet of n bytes that leaves at now, and writes its transport-wide sequence number into number, which is nil when it
// has none. Packets of one way are numbered in the order of these calls.
func (w *way) left(number []byte, n int, kind bandwidth.Kind, now int64) {
	w.mu.Lock()
	seq := w.estimator.Sent(now, n+overhead, kind)
	w.mu.Unlock()
	if number != nil {
		binary.BigEndian.PutUint16(number, seq)
	}
}

// feedback takes what a compound RTCP packet says of the way, and of what is to be sent again unasked if far. It reports whether there is anything else in it.
func (w *way) feedback(b []byte, far bool, find func(ssrc uint32) sending, now int64) (more bool) {
	var round losses
	for {
		p, rest, ok := packet.NextRTCP(b)
		if !ok {
			break
		}
		b = rest
		if f, ok := p.TransportFeedback(); ok {
			w.account(&f, far, now)
			continue
		}
		if bitrate, ok := p.REMB(); ok {
			w.remb(bitrate, now)
			continue
		}
		more = true
		if !w.numbered.Load() {
			w.count(p, find, &round)
		}
	}
	if round.expected > 0 {
		w.report(round, now)
	}
	return more || len(b) > 0
}

// account takes transport-wide feedback.
func (w *way) account(f *packet.TransportFeedback, far bool, now int64) {
	if !w.numbered.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if far {
		w.manifest.look(*f)
	}
	w.estimator.TransportFeedback(f, now)
}

// unlimited is the configuration for a receiver that does not account for each packet: it may have everything until it says that this is
// too much.
func (w *way) unlimited() bandwidth.Config {
	cfg := w.cfg
	cfg.Start = cfg.Max
	return cfg
}

// remb takes a receiver's own estimate.
func (w *way) remb(bitrate, now int64) {
	w.measure(w.unlimited())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.estimator.REMB(bitrate, now)
}

// losses is what one compound packet's reports come to.
type losses struct{ expected, lost float64 }

// count adds a report's blocks about what is sent here, weighted by packets.
func (w *way) count(p packet.RTCP, find func(ssrc uint32) sending, round *losses) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := 0; ; i++ {
		block, ok := p.Report(i)
		if !ok {
			return
		}
		if find(block.SSRC) == nil {
			continue
		}
		if w.reported == nil {
			w.reported = map[uint32]uint32{}
		}
		before, known := w.reported[block.SSRC]
		w.reported[block.SSRC] = block.Highest
		if passed := int32(block.Highest - before); known && passed > 0 {
			round.expected += float64(passed)
			round.lost += float64(passed) * float64(block.FractionLost) / 256
		}
	}
}

// report takes what receiver reports come to, from a receiver that tells nothing better. One that loses little is not even measured.
func (w *way) report(round losses, now int64) {
	lost := round.lost / round.expected
	if !w.measured.Load() && lost <= lostMuch {
		return
	}
	w.measure(w.unlimited())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.estimator.Report(lost, 0, now)
}

// budget is how many bit/s may be sent at now; limited is false when nothing is known that speaks against any number.
func (w *way) budget() (bitrate int64, limited bool) {
	if !w.measured.Load() {
		return 0, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.budgetLocked()
}

func (w *way) budgetLocked() (bitrate int64, limited bool) {
	switch e := w.estimator; {
	case !e.Heard():
		return 0, false
	case e.Opening():
		return max(int64(e.Rate()), openingBudget), true
	default:
		return int64(e.Budget()), true
	}
}

// pacing is how packets should leave at now. What is estimated and paced of a link is pictures alone: there is no more room for them, since voices leave
// beside them.
func (w *way) pacing(now int64) bandwidth.Pacing {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.estimator.Pacing(now)
	if w.link && !w.estimator.Probing(now) {
		p.Rate = min(p.Rate, p.Estimate)
	}
	return p
}

// queue is how long packets wait on the way, as last told; 0 where nothing is measured.
func (w *way) queue() time.Duration {
	if !w.measured.Load() {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.estimator.Stats().Queue
}

// narrow reports whether the end of what the way carries is known, and is near to what there would be to send.
func (w *way) narrow() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.estimator
	return e.Heard() && !e.Opening() && float64(e.Rate()) < plenty*float64(w.wanted)
}

// A dip of the budget by less than dipMost, for less than dipFor, takes nothing away from a viewer: what is too much meanwhile waits.
const (
	dipMost = 0.25
	dipFor  = 600 * time.Millisecond

	// dipMostFor is how long it may last where hardly anything waits for it.
	dipMostFor = 2 * time.Second
)

// dip remembers what the budget was before it came to be less.
type dip struct {
	from  int64 // bit/s
	since int64 // when; 0 while there is none
}

// grace returns how many bit/s what is shown may take at now, given the budget.
func (d *dip) grace(budget int64, waits bool, now int64) int64 {
	switch {
	case budget >= d.from, float64(budget) < (1-dipMost)*float64(d.from), d.since != 0 && (now-d.since > int64(dipMostFor) || waits && now-d.since > int64(dipFor)):
		d.from, d.since = budget, 0
	case d.since == 0:
		d.since = now
	}
	return d.from
}

// fallen reports, once, that the budget has come to be so much less than the one that was divided that this should not wait for its turn.
func (w *way) fallen() bool {
	if !w.measured.Load() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	budget, limited := w.budgetLocked()
	if !limited || float64(budget) >= (1-dipMost)*float64(w.planned) {
		return false
	}
	w.planned = budget
	return true
}

// divided notes a budget, what it was spent on, and what there would be to spend it on. Probes look for a fifth
// more, since nothing new is granted into the last tenth of a budget; at first they look for what is usual, so that who comes next does not have to wait.
func (w *way) divided(budget, allocated, wanted int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.planned, w.allocated, w.wanted = budget, allocated, wanted
	search := wanted + wanted/5
	if wanted > 0 && w.estimator.Opening() {
		search = max(search, openingBudget)
	}
	w.estimator.Want(int(search))
}

// tick does what is due by time, and reports whether a probe has begun.
func (w *way) tick(now int64) (probing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.estimator.Tick(now)
	return w.probeLocked(now)
}

// probeLocked begins the probe that is due, if one is.
func (w *way) probeLocked(now int64) bool {
	if !w.numbered.Load() || w.allocated >= w.wanted {
		return false // nobody could use more: there is nothing to find out
	}
	_, begun := w.estimator.Probe(now)
	return begun
}

// lacks is how many bytes the probe under way should have sent by now and has not. When there is none, the next begins, if one is due.
func (w *way) lacks(now int64) (bytes int, running bool) {
	if !w.measured.Load() {
		return 0, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.estimator.Probing(now) && !w.probeLocked(now) {
		return 0, false
	}
	return w.estimator.Owed(now), true
}

// Bandwidth is what is known of the way to a participant. Rates are bit/s of UDP and IP and all.
type Bandwidth struct {
	Estimate  int64   // what the way carries; 0 while nothing is known of it
	Limit     string  // what keeps the estimate from being higher: "delay", "loss", "remb", "reports", "silence"; empty while nothing is known
	Wanted    int64   // what there would be to send: all slots with all that they could use
	Allocated int64   // what is granted of it
	Queue     float64 // ms that packets wait on the way
	Lost      float64 // part of the packets, lately
}

// known returns what is known.
func (w *way) known() Bandwidth {
	if !w.measured.Load() {
		return Bandwidth{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	b := Bandwidth{Wanted: w.wanted, Allocated: w.allocated}
	if w.estimator.Heard() {
		s := w.estimator.Stats()
		b.Estimate, b.Limit, b.Lost, b.Queue = int64(s.Rate), s.By.String(), s.Lost, float64(s.Queue.Microseconds())/1000
	}
	return b
}

// Bandwidth returns what is known of the way to the peer, and false while nothing is measured: the client does not say what comes.
func (p *Peer) Bandwidth() (b Bandwidth, ok bool) { return p.way.known(), p.way.measured.Load() }

// Bandwidth returns what is known of the way to a participant, and false for one who is not here or does not say what comes.
func (n *Node) Bandwidth(room, participant string) (b Bandwidth, ok bool) {
	n.mu.Lock()
	r := n.rooms[room]
	n.mu.Unlock()
	if r == nil {
		return Bandwidth{}, false
	}
	r.mu.Lock()
	p := r.peers[participant]
	r.mu.Unlock()
	if p == nil {
		return Bandwidth{}, false
	}
	return p.Bandwidth()
}
