// Package rate asks something of a server at a steady rate and tells how long the answers took, counted from the moment when each
// question was due. A server that stalls is not asked less for it (no coordinated omission): what could not be asked in time
// has waited all the same.
package rate

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Report is what came of it.
type Report struct {
	Asked, Failed int64
	Took          time.Duration // from the first due time to the last answer
	Late          time.Duration // the most that a question was asked after it was due: this program's own slowness
	P50, P95, P99 time.Duration // from due time to answer
	Max           time.Duration
	Fault         error // the first one
}

// Rate is the number of answers a second.
func (r Report) Rate() float64 { return float64(r.Asked-r.Failed) / r.Took.Seconds() }

func (r Report) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
	return fmt.Sprintf("%d asked, %d failed, %.1f a second; p50 %s, p95 %s, p99 %s, max %s; asked at most %s late",
		r.Asked, r.Failed, r.Rate(), ms(r.P50), ms(r.P95), ms(r.P99), ms(r.Max), ms(r.Late))
}

const longest = time.Minute // that an answer is measured to take

// Run calls ask so many times a second for a time, each call on a goroutine of its own, and returns when all have returned.
// When ctx ends it stops early.
func Run(ctx context.Context, perSecond float64, long time.Duration, ask func(context.Context) error) Report {
	histogram := hdrhistogram.New(1, longest.Microseconds(), 3)
	var (
		mu     sync.Mutex // protects histogram and report
		report Report
		asked  int64
		wg     sync.WaitGroup
	)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	begun := time.Now()
	for i := range int(perSecond * long.Seconds()) {
		due := begun.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		asked++
		wg.Go(func() {
			late := time.Since(due)
			err := ask(ctx)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			report.Late = max(report.Late, late)
			_ = histogram.RecordValue(min(max(took.Microseconds(), 1), longest.Microseconds())) // within its bounds
			if err != nil {
				if report.Failed++; report.Fault == nil {
					report.Fault = err
				}
			}
		})
	}
	wg.Wait()
	report.Asked, report.Took = asked, time.Since(begun)
	at := func(q float64) time.Duration { return time.Duration(histogram.ValueAtQuantile(q)) * time.Microsecond }
	report.P50, report.P95, report.P99, report.Max = at(50), at(95), at(99), time.Duration(histogram.Max())*time.Microsecond
	return report
}
