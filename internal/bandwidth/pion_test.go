package bandwidth

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/gcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// pion drives the estimator of pion/interceptor, which reads the clock itself: inside a bubble of synctest that clock is the simulation's.
type pion struct {
	e        *gcc.SendSideBWE
	writer   interceptor.RTPWriter
	sequence uint16
}

func newPion(t *testing.T, cfg Config) *pion {
	t.Helper()
	e, err := gcc.NewSendSideBWE(gcc.SendSideBWEInitialBitrate(cfg.Start), gcc.SendSideBWEMinBitrate(cfg.Min),
		gcc.SendSideBWEMaxBitrate(cfg.Max), gcc.SendSideBWEPacer(gcc.NewNoOpPacer()))
	if err != nil {
		t.Fatal(err)
	}
	info := &interceptor.StreamInfo{SSRC: 2, RTPHeaderExtensions: []interceptor.RTPHeaderExtension{
		{URI: "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", ID: 5},
	}}
	return &pion{e: e, writer: e.AddStream(info, interceptor.RTPWriterFunc(
		func(*rtp.Header, []byte, interceptor.Attributes) (int, error) { return 0, nil },
	))}
}

func (p *pion) sent(_ int64, size int, _ Kind) uint16 {
	n := p.sequence
	p.sequence++
	h := rtp.Header{Version: 2, SSRC: 2, SequenceNumber: n}
	if err := h.SetExtension(5, []byte{byte(n >> 8), byte(n)}); err != nil {
		panic(err)
	}
	if _, err := p.writer.Write(&h, make([]byte, max(size-h.MarshalSize(), 0)), nil); err != nil {
		panic(err)
	}
	return n
}

func (p *pion) feedback(_ int64, raw []byte) {
	packets, err := rtcp.Unmarshal(raw)
	if err != nil {
		panic(err)
	}
	if err := p.e.WriteRTCP(packets, nil); err != nil {
		panic(err)
	}
	synctest.Wait()
}

func (p *pion) rate() float64  { return float64(p.e.GetTargetBitrate()) }
func (p *pion) owed(int64) int { return 0 }
func (p *pion) pace() float64  { return paceAhead * p.rate() }

// TestBesidePion puts pion's estimator on the same links, with the same media, as this one. It is what decided that this one was written.
func TestBesidePion(t *testing.T) {
	for _, p := range []path{stepPaths()[0], stepPaths()[3]} {
		for _, s := range sources() {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(1)
				began := w.now
				start := time.Now()
				w.wait = func(now int64) { time.Sleep(time.Until(start.Add(time.Duration(now - began)))) }
				theirs := newPion(t, Defaults())
				defer theirs.e.Close()
				got, p95, _ := walk(w, p, theirs, s)
				t.Logf("%-20s %-8s pion%s | p95 %3.0f ms", p, s.name, table(got), p95)
			})
			w := newWorld(1)
			got, p95, _ := walk(w, p, newOwn(w, Defaults()), s)
			t.Logf("%-20s %-8s own %s | p95 %3.0f ms", p, s.name, table(got), p95)
		}
	}
}
