package bandwidth

import (
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"

	"github.com/parley-sfu/parley/internal/packet"
)

func estimator(tb testing.TB) *Estimator {
	tb.Helper()
	e, err := New(Defaults())
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// tell has e read what a recorder knows.
func tell(tb testing.TB, e *Estimator, r *twcc.Recorder, now int64) {
	tb.Helper()
	for _, p := range r.BuildFeedbackPacket() {
		raw, err := rtcp.Marshal([]rtcp.Packet{p})
		if err != nil {
			tb.Fatal(err)
		}
		one, _, _ := packet.NextRTCP(raw)
		f, ok := one.TransportFeedback()
		if !ok {
			tb.Fatal("not feedback")
		}
		e.TransportFeedback(&f, now)
	}
}

func TestConfig(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
	_, err := New(Config{Min: 1, Start: 0, Max: -1})
	if err == nil || !strings.Contains(err.Error(), "min 1") || !strings.Contains(err.Error(), "start 0") {
		t.Errorf("error = %v, want both faults", err)
	}
}

// TestReceiversClockWraps goes over the end of the receiver's 24 bits of 64 ms in the middle of a call.
func TestReceiversClockWraps(t *testing.T) {
	e, r := estimator(t), twcc.NewRecorder(1)
	const away = int64(packet.ReferenceWrap - 3*second)
	now := int64(second)
	for range 60 {
		for range 10 {
			r.Record(2, e.Sent(now, 1000, Media), (now+away)/micro)
			now += 10 * milli
		}
		tell(t, e, r, now)
	}
	s := e.Stats()
	if s.Queue > time.Millisecond || s.Arriving < 790_000 || s.Arriving > 810_000 || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
}

func TestFlightAndTwiceTold(t *testing.T) {
	e, r, again := estimator(t), twcc.NewRecorder(1), twcc.NewRecorder(1)
	now := int64(second)
	for range 20 {
		n := e.Sent(now, 500, Media)
		r.Record(2, n, now/micro)
		again.Record(2, n, now/micro)
		now += 10 * milli
	}
	e.Sent(now, 700, Retransmission)
	if got := e.Stats().Flight; got != 20*500+700 {
		t.Errorf("in flight %d", got)
	}
	tell(t, e, r, now)
	first := e.Stats()
	if first.Flight != 700 || first.MediaBytes != 10_000 || first.RetransmissionBytes != 700 {
		t.Errorf("%+v", first)
	}
	before := e.arriving
	tell(t, e, again, now)
	if e.arriving != before {
		t.Error("packets counted twice")
	}
}

func TestREMBCapsAndFades(t *testing.T) {
	e := estimator(t)
	e.REMB(200_000, second)
	if s := e.Stats(); s.Rate != 200_000 || s.By != ByREMB {
		t.Errorf("%+v", s)
	}
	e.REMB(1, 2*second)
	if e.Rate() != Defaults().Min {
		t.Errorf("rate %d below the least", e.Rate())
	}
	e.Report(0, 0, 2*second+rembLasts+1)
	if e.Rate() < Defaults().Start {
		t.Errorf("rate %d: a REMB of long ago is held against the receiver", e.Rate())
	}
}

// TestReports: without transport-wide feedback loss decides, and REMB lets the rate rise.
func TestReports(t *testing.T) {
	e := estimator(t)
	now := int64(second)
	for range 40 { // 200 ms each, 600 kbit/s
		for range 15 {
			e.Sent(now, 1000, Media)
			now += 13_333_333
		}
		e.Report(0, 80*time.Millisecond, now)
	}
	grown := e.Rate()
	if grown < 700_000 || grown > 1_200_000 {
		t.Errorf("grown to %d in 8 s", grown)
	}
	e.Report(0.3, 0, now+second)
	if got, want := e.Rate(), int(float64(grown)*0.85); got > want+1 || got < want-1 {
		t.Errorf("after loss %d, want %d", got, want)
	}
	e.REMB(3_000_000, now+2*second)
	e.Report(0.01, 0, now+2*second)
	if got := e.Rate(); got != 3_000_000 {
		t.Errorf("REMB of 3 Mbit/s: %d", got)
	}
	if by := e.Stats().By; by != ByREMB && by != ByReports {
		t.Errorf("by %v", by)
	}
	if _, ok := e.Probe(now + 3*second); !ok {
		t.Error("the probes of the beginning are what may still bring feedback")
	}
}

// TestProbes: they begin with two, keep to their bytes, and end.
func TestProbes(t *testing.T) {
	e := estimator(t)
	now := int64(second)
	for i, rate := range []int{3 * 600_000, 6 * 600_000} {
		p, ok := e.Probe(now)
		if !ok || p.Rate != rate || p.Bytes < probeLeast || p.Duration <= 0 {
			t.Fatalf("probe %d: %+v, %v", i, p, ok)
		}
		if _, ok := e.Probe(now); ok {
			t.Fatal("two at once")
		}
		sent := 0
		for range 100 {
			for owed := e.Owed(now); owed > 0; owed = e.Owed(now) {
				e.Sent(now, min(owed, 900), Padding)
				sent += min(owed, 900)
			}
			now += milli
		}
		if sent != p.Bytes {
			t.Errorf("probe %d: %d bytes, want %d", i, sent, p.Bytes)
		}
	}
	if p, ok := e.Probe(now); ok {
		t.Errorf("a third one without any answer: %+v", p)
	}
}

func TestPacing(t *testing.T) {
	e := estimator(t)
	p := e.Pacing(second)
	if p.Rate != 660_000 || p.Estimate != 600_000 || p.Queue != paceLeast {
		t.Errorf("%+v", p)
	}
	if got := e.Wait(75_000); got != time.Second {
		t.Errorf("75 kB at 600 kbit/s wait %v", got)
	}
	e.Probe(second)
	if p := e.Pacing(second); p.Rate != 1_800_000 {
		t.Errorf("in a probe %+v", p)
	}
}

// TestState holds what a subscriber costs.
func TestState(t *testing.T) {
	p := plain(5*mega, 40, 100)
	w := newWorld(1)
	ctl := newOwn(w, Defaults())
	f := p.flow(w, p.lay(w), ctl)
	f.show(tilesOf(), 9)
	w.run(20 * second)
	fixed := int(unsafe.Sizeof(*ctl.e))
	ring := len(ctl.e.history.ring) * int(unsafe.Sizeof(record{}))
	t.Logf("fixed %d bytes, history at 5 Mbit/s %d bytes, at the beginning %d", fixed, ring, historyLeast*int(unsafe.Sizeof(record{})))
	if fixed+ring > 8192 {
		t.Errorf("%d bytes", fixed+ring)
	}
}

// cycle is the steady state of 5 Mbit/s: 52 packets, then feedback on them, 100 ms in all. Its feedback is built once, for numbers that
// have come around.
type cycle struct {
	e   *Estimator
	raw [][]byte
	now int64
	n   int
}

const cyclePackets, cycles = 64, 65536 / 64

func newCycle(tb testing.TB) *cycle {
	c := &cycle{e: estimator(tb), now: second}
	r := twcc.NewRecorder(1)
	at := int64(second)
	for i := range cycles {
		for j := range cyclePackets {
			r.Record(2, uint16(i*cyclePackets+j), at/micro)
			at += 100 * milli / cyclePackets
		}
		for _, p := range r.BuildFeedbackPacket() {
			raw, err := rtcp.Marshal([]rtcp.Packet{p})
			if err != nil {
				tb.Fatal(err)
			}
			c.raw = append(c.raw, raw)
		}
	}
	if len(c.raw) != cycles {
		tb.Fatalf("%d messages", len(c.raw))
	}
	return c
}

func (c *cycle) send() {
	for range cyclePackets {
		c.e.Sent(c.now, 1000, Media)
		c.now += 100 * milli / cyclePackets
	}
}

func (c *cycle) hear() {
	one, _, _ := packet.NextRTCP(c.raw[c.n%cycles])
	f, _ := one.TransportFeedback()
	c.n++
	c.e.TransportFeedback(&f, c.now)
	c.e.Tick(c.now)
	c.e.Probe(c.now)
}

func TestNothingIsAllocated(t *testing.T) {
	c := newCycle(t)
	for range 100 {
		c.send()
		c.hear()
	}
	if n := testing.AllocsPerRun(200, func() { c.send(); c.hear() }); n != 0 {
		t.Errorf("%v allocations a cycle", n)
	}
	if s := c.e.Stats(); s.Flight != 0 || s.Arriving == 0 {
		t.Errorf("the cycle is broken: %+v", s)
	}
}

func BenchmarkSent(b *testing.B) {
	c := newCycle(b)
	b.ResetTimer()
	for i := range b.N {
		c.e.Sent(c.now, 1000, Media)
		c.now += 100 * milli / cyclePackets
		if i%cyclePackets == cyclePackets-1 {
			b.StopTimer()
			c.hear()
			b.StartTimer()
		}
	}
}

// BenchmarkFeedback is one message about 64 packets, with all that follows from it.
func BenchmarkFeedback(b *testing.B) {
	c := newCycle(b)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		c.send()
		b.StartTimer()
		c.hear()
	}
}

// BenchmarkSecond is a second of 640 packets and 10 messages.
func BenchmarkSecond(b *testing.B) {
	c := newCycle(b)
	b.ResetTimer()
	for range b.N {
		for range 10 {
			c.send()
			c.hear()
		}
	}
}

// FuzzFeedback: whatever a stranger tells, the estimate keeps within its bounds.
func FuzzFeedback(f *testing.F) {
	c := newCycle(f)
	f.Add(c.raw[0], uint16(64), int64(milli))
	f.Add(append(c.raw[1], c.raw[0]...), uint16(300), int64(second))
	f.Fuzz(func(t *testing.T, raw []byte, packets uint16, step int64) {
		e, err := New(Defaults())
		if err != nil {
			t.Fatal(err)
		}
		now := int64(second)
		step = min(max(step, 0), 10*second)
		for range packets % 1000 {
			e.Probe(now)
			e.Sent(now, 1000, Kind(packets)%4)
			now += step
		}
		for {
			p, rest, ok := packet.NextRTCP(raw)
			if !ok {
				break
			}
			raw = rest
			if feedback, ok := p.TransportFeedback(); ok {
				e.TransportFeedback(&feedback, now)
			}
			if rate, ok := p.REMB(); ok {
				e.REMB(rate, now)
			}
			if r, ok := p.Report(0); ok {
				e.Report(float64(r.FractionLost)/256, 0, now)
			}
			now += step
			e.Tick(now)
			if rate := e.Rate(); rate < e.cfg.Min || rate > e.cfg.Max {
				t.Fatalf("rate %d", rate)
			}
		}
		if s := e.Stats(); s.Flight < 0 || s.Flight > 1000*1000 {
			t.Fatalf("%+v", s)
		}
	})
}

// TestPauseIsNoOutage: who sent nothing for a while, and nothing came back, has lost nothing.
func TestPauseIsNoOutage(t *testing.T) {
	e, r := estimator(t), twcc.NewRecorder(1)
	now := int64(second)
	send := func(packets int) {
		for range packets {
			r.Record(2, e.Sent(now, 1000, Media), now/micro)
			now += 10 * milli
			e.Tick(now)
		}
	}
	send(20)
	tell(t, e, r, now)
	before := e.Rate()
	now += 10 * second
	send(20)
	if s := e.Stats(); s.By == BySilence || s.Rate != before {
		t.Errorf("after a pause %+v", s)
	}
	send(60)
	if s := e.Stats(); s.By != BySilence || s.Rate >= before {
		t.Errorf("after 0.8 s without an answer %+v", s)
	}
}
