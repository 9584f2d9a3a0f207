package bandwidth

import (
	"container/heap"
	"math/rand/v2"
	"slices"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// The simulation: a world of events in order of time, bottlenecks, and flows through them. All chance comes from one seed.

type event struct {
	at int64
	n  int // order among those of one time
	do func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].n < e[j].n
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(v any)   { *e = append(*e, v.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	*e = old[:len(old)-1]
	return last
}

type world struct {
	now    int64
	random *rand.Rand
	events events
	n      int
	wait   func(now int64) // told when time moves on, may be nil
}

func newWorld(seed uint64) *world {
	return &world{now: 1000 * second, random: rand.New(rand.NewPCG(seed, 9))}
}

func (w *world) after(d int64, do func()) {
	w.n++
	heap.Push(&w.events, event{w.now + d, w.n, do})
}

// every calls do now and then periodically.
func (w *world) every(d int64, do func()) {
	w.after(d, func() {
		do()
		w.every(d, do)
	})
}

func (w *world) run(d int64) {
	end := w.now + d
	for len(w.events) > 0 && w.events[0].at <= end {
		e := heap.Pop(&w.events).(event)
		if e.at > w.now {
			w.now = e.at
			if w.wait != nil {
				w.wait(w.now)
			}
		}
		e.do()
	}
	w.now = end
}

// bottleneck is a link that serves packets in order at a rate, with a queue that drops at its tail.
type bottleneck struct {
	w       *world
	rate    float64 // bit/s
	queue   int64   // ns at the rate
	oneWay  int64
	jitter  int64   // at most, without reordering
	loss    float64 // random part
	bursts  bool    // loss comes in runs of about eight
	down    bool
	burst   float64 // bytes of a token bucket, 0 for a plain wire
	tokens  float64
	filled  int64
	waiting []parcel
	bytes   int
	busy    bool
	losing  bool
	last    int64 // arrival
}

type parcel struct {
	size    int
	entered int64
	arrive  func(queued int64)
	drop    func()
}

func (b *bottleneck) lose() bool {
	if b.down {
		return true
	}
	if !b.bursts {
		return b.w.random.Float64() < b.loss
	}
	if b.losing {
		b.losing = b.w.random.Float64() >= 1.0/8
	} else {
		b.losing = b.w.random.Float64() < b.loss/8/(1-b.loss)
	}
	return b.losing
}

func (b *bottleneck) send(size int, arrive func(queued int64), drop func()) {
	if b.lose() || float64(b.bytes+size)*8 > b.rate*float64(b.queue)/second+8*1500+8*b.burst {
		if drop != nil {
			drop()
		}
		return
	}
	b.waiting = append(b.waiting, parcel{size, b.w.now, arrive, drop})
	b.bytes += size
	if !b.busy {
		b.serve()
	}
}

func (b *bottleneck) serve() {
	b.busy = len(b.waiting) > 0
	if !b.busy {
		return
	}
	p := b.waiting[0]
	b.w.after(b.takes(p.size), func() {
		b.waiting = b.waiting[1:]
		b.bytes -= p.size
		at := max(b.w.now+b.oneWay, b.last)
		if b.jitter > 0 {
			at = max(b.w.now+b.oneWay+b.w.random.Int64N(b.jitter), b.last)
		}
		b.last = at
		queued := b.w.now - p.entered
		b.w.after(at-b.w.now, func() { p.arrive(queued) })
		b.serve()
	})
}

// takes is the time that the first packet occupies the link.
func (b *bottleneck) takes(size int) int64 {
	if b.burst == 0 {
		return int64(float64(8*size) / b.rate * second)
	}
	b.tokens = min(b.tokens+float64(b.w.now-b.filled)/second*b.rate/8, b.burst)
	b.filled = b.w.now
	b.tokens -= float64(size)
	if b.tokens >= 0 {
		return int64(float64(8*size) / 1e9 * second)
	}
	return int64(-b.tokens * 8 / b.rate * second)
}

// controller is what a flow asks: this package's estimator, or another's.
type controller interface {
	sent(now int64, size int, kind Kind) uint16
	feedback(now int64, raw []byte)
	rate() float64
	owed(now int64) int
	pace() float64
}

// flow sends what a source makes over a bottleneck, paced, and tells its controller of what arrived.
type flow struct {
	w            *world
	link         *bottleneck
	ctl          controller
	receiver     *twcc.Recorder
	back         int64 // ns of the way back
	feedbackLoss float64
	stopped      bool

	waiting []int // sizes
	free    int64 // when the pacer may send next
	pacing  bool

	samples []sample
	packets []delivery
	sentAt  []delivery
	padding int
	all     int
}

type sample struct {
	at   int64
	rate float64
}

type delivery struct {
	at, queued int64
	size       int
}

func newFlow(w *world, link *bottleneck, ctl controller, feedbackEvery int64) *flow {
	f := &flow{w: w, link: link, ctl: ctl, receiver: twcc.NewRecorder(1), back: link.oneWay}
	w.every(feedbackEvery, f.report)
	w.every(2*milli, f.pad)
	w.every(50*milli, func() { f.samples = append(f.samples, sample{w.now, ctl.rate()}) })
	return f
}

func (f *flow) report() {
	for _, p := range f.receiver.BuildFeedbackPacket() {
		raw, err := rtcp.Marshal([]rtcp.Packet{p})
		if err != nil || f.link.down || f.w.random.Float64() < f.feedbackLoss {
			continue
		}
		f.w.after(f.back, func() { f.ctl.feedback(f.w.now, raw) })
	}
}

func (f *flow) pad() {
	for owed := f.ctl.owed(f.w.now); owed > 0 && !f.stopped; owed -= 900 {
		f.leave(min(max(owed, 100), 900), Padding)
	}
}

// offer has bytes sent, in packets of 1,200 at most.
func (f *flow) offer(bytes int) {
	for ; bytes > 0 && !f.stopped; bytes -= 1200 {
		f.waiting = append(f.waiting, min(max(bytes, 60), 1200))
	}
	if !f.pacing {
		f.paceOut()
	}
}

func (f *flow) paceOut() {
	f.pacing = len(f.waiting) > 0
	if !f.pacing {
		return
	}
	if f.free > f.w.now {
		f.w.after(f.free-f.w.now, f.paceOut)
		return
	}
	size := f.waiting[0]
	f.waiting = f.waiting[1:]
	f.leave(size, Media)
	f.free = f.w.now + int64(float64(8*size)/f.ctl.pace()*second)
	f.paceOut()
}

func (f *flow) leave(size int, kind Kind) {
	n := f.ctl.sent(f.w.now, size, kind)
	f.all += size
	f.sentAt = append(f.sentAt, delivery{at: f.w.now, size: size})
	if kind == Padding {
		f.padding += size
	}
	f.link.send(size, func(queued int64) {
		f.packets = append(f.packets, delivery{f.w.now, queued, size})
		f.receiver.Record(2, n, (f.w.now+12345*second)/micro)
	}, nil)
}

// between returns the mean and least estimate of a span of time, and what arrived in bit/s.
func (f *flow) between(from, to int64) (mean, least, arrived float64) {
	n := 0
	for _, s := range f.samples {
		if s.at > from && s.at <= to {
			if n == 0 || s.rate < least {
				least = s.rate
			}
			mean += s.rate
			n++
		}
	}
	bytes := 0
	for _, p := range f.packets {
		if p.at > from && p.at <= to {
			bytes += p.size
		}
	}
	return mean / float64(max(n, 1)), least, float64(8*bytes) * second / float64(to-from)
}

// queued returns a quantile of the queueing delay in ms, by packet.
func (f *flow) queued(from, to int64, quantile float64) float64 {
	var all []int64
	for _, p := range f.packets {
		if p.at > from && p.at <= to {
			all = append(all, p.queued)
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return float64(all[int(quantile*float64(len(all)-1))]) / milli
}

// settles is how long after a moment the mean estimate of the second that follows comes to lie within bounds, or -1.
func (f *flow) settles(from, to int64, low, high float64) int64 {
	for at := from; at+second <= to; at += 50 * milli {
		if mean, _, _ := f.between(at, at+second); mean >= low && mean <= high {
			return at - from
		}
	}
	return -1
}
