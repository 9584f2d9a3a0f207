package telemetry

import (
	"net/http"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// A CounterMetric counts up. Safe for concurrent use; Inc and Add do not allocate.
type CounterMetric struct{ c *metrics.Counter }

// Counter returns the process's counter of that name, which Name builds when it has labels. It panics, as a mistake in
// the program, on a name that ValidateName refuses.
func Counter(name string) *CounterMetric {
	return &CounterMetric{metrics.GetOrCreateCounter(name)}
}

// Inc adds one.
func (c *CounterMetric) Inc() { c.c.Inc() }

// Add adds n, which is not negative.
func (c *CounterMetric) Add(n int) { c.c.Add(n) }

// Value is the count so far.
func (c *CounterMetric) Value() uint64 { return c.c.Get() }

// Gauge shows what f returns at each scrape. The newest f of a name counts, so that a part of the process that was
// stopped and built again is the one that is shown. f is called from scrapes: it is quick and safe for concurrent use.
func Gauge(name string, f func() float64) {
	metrics.UnregisterMetric(name)
	metrics.GetOrCreateGauge(name, f)
}

// Handler writes all metrics, those of the Go runtime and of the process included, in the Prometheus text format.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		metrics.WritePrometheus(w, true)
		metrics.WriteFDMetrics(w)
	})
}

// secondsBounds are the upper bounds of a histogram's buckets, in seconds: fine around the budgets of a join, wide at
// both ends.
func secondsBounds() []float64 {
	return []float64{.0005, .001, .0025, .005, .01, .02, .04, .08, .15, .25, .4, .6, 1, 2.5, 5, 10, 30}
}

// A HistogramMetric counts observations in cumulative buckets as Prometheus knows them (le). Safe for concurrent use.
// An update costs one atomic addition a bucket: right for joins and calls, not for every packet.
type HistogramMetric struct {
	bounds  []float64
	buckets []*metrics.Counter // buckets[i] counts observations up to bounds[i]
	count   *metrics.Counter
	inf     *metrics.Counter
	sum     *metrics.FloatCounter
}

// Histogram returns the process's histogram of that name, whose unit is the second (the name ends in _seconds). It
// panics, as a mistake in the program, on a name that ValidateName refuses.
func Histogram(name string) *HistogramMetric {
	h := &HistogramMetric{
		bounds: secondsBounds(),
		count:  metrics.GetOrCreateCounter(suffixed(name, "_count")),
		inf:    metrics.GetOrCreateCounter(bucketName(name, "+Inf")),
		sum:    metrics.GetOrCreateFloatCounter(suffixed(name, "_sum")),
	}
	for _, bound := range h.bounds {
		h.buckets = append(h.buckets, metrics.GetOrCreateCounter(bucketName(name, formatBound(bound))))
	}
	return h
}

// Update counts one observation.
func (h *HistogramMetric) Update(v float64) {
	h.count.Inc()
	h.inf.Inc()
	for i := len(h.bounds) - 1; i >= 0 && v <= h.bounds[i]; i-- {
		h.buckets[i].Inc()
	}
	h.sum.Add(v)
}

// UpdateSince counts the time from start to now, in seconds.
func (h *HistogramMetric) UpdateSince(start time.Time) { h.Update(time.Since(start).Seconds()) }
