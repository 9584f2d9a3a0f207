package bandwidth

import (
	"math"

	"github.com/parley-sfu/parley/internal/packet"
)

// own drives this package's Estimator as its users are told to.
type own struct {
	e     *Estimator
	w     *world
	trace func(now int64)
}

func newOwn(w *world, cfg Config) *own {
	e, err := New(cfg)
	if err != nil {
		panic(err)
	}
	w.every(100*milli, func() { e.Tick(w.now) })
	return &own{e: e, w: w}
}

func (o *own) sent(now int64, size int, kind Kind) uint16 { return o.e.Sent(now, size, kind) }
func (o *own) rate() float64                              { return o.e.rate }
func (o *own) pace() float64                              { return float64(o.e.Pacing(o.w.now).Rate) }

func (o *own) feedback(now int64, raw []byte) {
	p, _, _ := packet.NextRTCP(raw)
	if f, ok := p.TransportFeedback(); ok {
		o.e.TransportFeedback(&f, now)
	}
	if o.trace != nil {
		o.trace(now)
	}
}

func (o *own) owed(now int64) int {
	o.e.Probe(now)
	return o.e.Owed(now)
}

const pictureEvery = second / 30

// elastic offers just the estimate, as an encoder would, in pictures of changing size.
func (f *flow) elastic() {
	f.w.every(pictureEvery, func() {
		f.offer(int(f.ctl.rate() / 8 / 30 * (0.8 + 0.4*f.w.random.Float64())))
	})
}

// constant offers a rate whatever the estimate is.
func (f *flow) constant(rate float64) {
	f.w.every(pictureEvery, func() { f.offer(int(rate / 8 / 30 * (0.8 + 0.4*f.w.random.Float64()))) })
}

// tile is one simulcast track; layer 0 is none.
type tile struct{ layer, held int }

// gallery is simulcast tracks and three voices.
type gallery struct {
	rates   [4]float64 // of the layers of a track, 0 for none
	voice   float64
	regular bool // each track has a keyframe every second, in the same moment for all who watch
}

func tilesOf() gallery {
	return gallery{rates: [4]float64{0, 150_000, 500_000, 1_700_000}, voice: 40_000}
}

func reelsOf() gallery {
	return gallery{rates: [4]float64{0, 165_000, 490_000, 1_080_000}, voice: 56_000, regular: true}
}

const keyframeTimes = 4 // the size of a picture

// show offers tracks of a gallery, whole layers, as many as the estimate carries: down at once, up a layer at a time and only after the
// room has been there for half a second, with a keyframe.
func (f *flow) show(g gallery, n int) {
	tracks := make([]tile, n)
	keyframes := make([]bool, n)
	const voices = 3
	f.w.every(20*milli, func() {
		for range voices {
			f.offer(int(g.voice / 8 / 50))
		}
	})
	for i := range tracks {
		f.w.after(g.begins(f, i, n), func() {
			f.w.every(pictureEvery, func() {
				size := g.rates[tracks[i].layer] / 8 / 30 * (0.8 + 0.4*f.w.random.Float64())
				if g.regular {
					size *= 30.0 / (29 + keyframeTimes)
				}
				if keyframes[i] || g.regular && (f.w.now/pictureEvery-int64(i)*30/int64(n))%30 == 0 {
					size, keyframes[i] = keyframeTimes*size, false
				}
				f.offer(int(size))
			})
		})
	}
	f.w.every(100*milli, func() { f.allocate(g, tracks, keyframes, voices*g.voice) })
}

// begins is when pictures of one of so many tracks begin to come.
func (g gallery) begins(f *flow, i, n int) int64 {
	if !g.regular {
		return f.w.random.Int64N(pictureEvery)
	}
	phase := int64(i) * pictureEvery / int64(n)
	return phase + pictureEvery - f.w.now%pictureEvery
}

func (f *flow) allocate(g gallery, tracks []tile, keyframes []bool, used float64) {
	room := f.ctl.rate()
	next := make([]int, len(tracks))
	for layer := 1; layer < len(g.rates); layer++ {
		for i := range tracks {
			more := g.rates[layer] - g.rates[layer-1]
			if next[i] == layer-1 && used+more <= room {
				next[i], used = layer, used+more
			}
		}
	}
	for i := range tracks {
		t := &tracks[i]
		switch {
		case next[i] < t.layer:
			t.layer, t.held, keyframes[i] = next[i], 0, true
		case next[i] == t.layer:
			t.held = 0
		default:
			if t.held++; t.held >= 5 {
				t.layer, t.held, keyframes[i] = next[i], 0, true
			}
		}
	}
}

// rival is a TCP flow with always more to send, after CUBIC (RFC 9438) or Reno (RFC 5681), without slow start beyond the first loss.
type rival struct {
	w        *world
	link     *bottleneck
	cubic    bool
	window   float64 // packets
	most     float64 // window at the last loss
	cut      int64   // when that was
	flight   int
	open     bool // slow start
	received int
}

const segment = 1448

func newRival(w *world, link *bottleneck, cubic bool) *rival {
	r := &rival{w: w, link: link, cubic: cubic, window: 10, open: true}
	w.after(0, r.fill)
	return r
}

func (r *rival) fill() {
	for r.flight < int(r.window) {
		r.flight++
		r.link.send(segment, func(int64) {
			r.received += segment
			r.w.after(r.link.oneWay, r.acknowledged)
		}, func() { r.w.after(2*r.link.oneWay+r.link.queue, r.lost) })
	}
}

func (r *rival) acknowledged() {
	r.flight--
	switch {
	case r.open:
		r.window++
	case r.cubic:
		const c, beta = 0.4, 0.7
		t := float64(r.w.now-r.cut) / second
		k := math.Cbrt(r.most * (1 - beta) / c)
		target := c*(t-k)*(t-k)*(t-k) + r.most
		r.window += min(max((target-r.window)/r.window, 0.01/r.window), 0.5)
	default:
		r.window += 1 / r.window
	}
	r.fill()
}

func (r *rival) lost() {
	r.flight--
	if r.w.now-r.cut > 2*r.link.oneWay+r.link.queue {
		r.cut, r.most, r.open = r.w.now, r.window, false
		if r.cubic {
			r.window *= 0.7
		} else {
			r.window /= 2
		}
		r.window = max(r.window, 2)
	}
	r.fill()
}

// bbr is a TCP flow with always more to send, after BBR (draft-cardwell-iccrg-bbr-congestion-control-00). It takes no loss and no
// delay for a reason to go down, keeps up to twice what it has measured in flight, and lets the queue go for 200 ms every 10 s.
type bbr struct {
	w        *world
	link     *bottleneck
	received int

	flight    int
	delivered float64 // bytes
	rounds    []round // the last ten
	trip      int64   // least round trip of the last 10 s
	seen      int64   // when that was
	resting   int64   // until when hardly anything is in flight
	phase     int     // of the eight between which the pace changes
	turned    int64   // when it changed last
	settled   bool    // the rate has stopped growing by a quarter each round trip
	full      float64 // the rate when it grew last
	flat      int     // round trips since
	sending   bool
}

// round is the most that was delivered in one round trip, in bytes a second.
type round struct {
	at   int64
	rate float64
}

func newBBR(w *world, link *bottleneck) *bbr {
	b := &bbr{w: w, link: link, trip: 2 * link.oneWay, seen: w.now}
	w.after(0, b.send)
	return b
}

func (b *bbr) rate() float64 {
	if len(b.rounds) == 0 {
		return 10 * segment / (float64(b.trip) / second)
	}
	most := 0.0
	for _, r := range b.rounds {
		most = max(most, r.rate)
	}
	return most
}

// gains are the factors of pace and window.
func (b *bbr) gains() (pace, window float64) {
	if !b.settled {
		return 2.885, 2.885
	}
	if b.w.now-b.turned > b.trip {
		b.turned, b.phase = b.w.now, (b.phase+1)%8
	}
	return [8]float64{1.25, 0.75, 1, 1, 1, 1, 1, 1}[b.phase], 2
}

func (b *bbr) send() {
	pace, times := b.gains()
	window := 4
	if b.resting <= b.w.now {
		window = max(4, int(times*b.rate()*float64(b.trip)/second/segment))
	}
	if b.sending = b.flight < window; !b.sending {
		return
	}
	b.flight++
	left, before := b.w.now, b.delivered
	b.link.send(segment, func(int64) {
		b.received += segment
		b.w.after(b.link.oneWay, func() { b.acknowledged(left, before) })
	}, func() { b.w.after(2*b.link.oneWay+b.link.queue, b.answered) })
	b.w.after(int64(segment/(pace*b.rate())*second), b.send)
}

// answered has one packet less in flight.
func (b *bbr) answered() {
	b.flight--
	if !b.sending {
		b.send()
	}
}

func (b *bbr) acknowledged(left int64, before float64) {
	now := b.w.now
	b.delivered += segment
	trip := now - left
	if trip <= b.trip {
		b.trip, b.seen = trip, now
	}
	if now-b.seen > 10*second {
		b.resting, b.seen, b.trip = now+200*milli+trip, now, trip
	}
	rate := (b.delivered - before) / (float64(trip) / second)
	if n := len(b.rounds); n > 0 && now-b.rounds[n-1].at <= trip {
		b.rounds[n-1].rate = max(b.rounds[n-1].rate, rate)
	} else {
		b.rounds = append(b.rounds[max(0, n-9):], round{now, rate})
		if b.rate() > 1.25*b.full {
			b.full, b.flat = b.rate(), 0
		}
		b.flat++
		b.settled = b.settled || b.flat > 3
	}
	b.answered()
}
