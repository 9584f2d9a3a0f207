package telemetry_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/parley-sfu/parley/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scrape returns the lines of /metrics by metric name.
func scrape(t *testing.T) map[string]string {
	t.Helper()
	rec := httptest.NewRecorder()
	telemetry.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if ct := rec.Header().Get("Content-Type"); !strings.HasPrefix(ct, "text/plain; version=0.0.4") {
		t.Errorf("Content-Type = %q", ct)
	}
	lines := map[string]string{}
	for line := range strings.Lines(rec.Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(line, "#") {
			lines[name] = value
		}
	}
	return lines
}

func TestCounterIsSharedByName(t *testing.T) {
	telemetry.Counter("parley_test_total").Inc()
	telemetry.Counter("parley_test_total").Add(2)
	if got := scrape(t)["parley_test_total"]; got != "3" {
		t.Errorf("parley_test_total = %q, want 3", got)
	}
	if got := telemetry.Counter("parley_test_total").Value(); got != 3 {
		t.Errorf("Value() = %d, want 3", got)
	}
}

func TestGaugeShowsTheNewestFunction(t *testing.T) {
	telemetry.Gauge("parley_test_rooms", func() float64 { return 1 })
	telemetry.Gauge("parley_test_rooms", func() float64 { return 7 })
	if got := scrape(t)["parley_test_rooms"]; got != "7" {
		t.Errorf("parley_test_rooms = %q, want 7", got)
	}
}

func TestHistogramBucketsAreCumulative(t *testing.T) {
	h := telemetry.Histogram(telemetry.Name("parley_test_seconds", "step", "ice"))
	for _, v := range []float64{0.003, 0.05, 0.05, 99} {
		h.Update(v)
	}
	h.UpdateSince(time.Now())
	got := scrape(t)
	for name, want := range map[string]string{
		`parley_test_seconds_bucket{step="ice",le="0.0025"}`: "1",
		`parley_test_seconds_bucket{step="ice",le="0.005"}`:  "2",
		`parley_test_seconds_bucket{step="ice",le="0.08"}`:   "4",
		`parley_test_seconds_bucket{step="ice",le="30"}`:     "4",
		`parley_test_seconds_bucket{step="ice",le="+Inf"}`:   "5",
		`parley_test_seconds_count{step="ice"}`:              "5",
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
	if !strings.HasPrefix(got[`parley_test_seconds_sum{step="ice"}`], "99.10") {
		t.Errorf("sum = %q, want 99.10…", got[`parley_test_seconds_sum{step="ice"}`])
	}
}

func TestHandlerShowsTheProcess(t *testing.T) {
	got := scrape(t)
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "process_open_fds"} {
		if got[name] == "" {
			t.Errorf("/metrics lacks %s", name)
		}
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	c := telemetry.Counter("parley_test_packets_total")
	if n := testing.AllocsPerRun(100, func() { c.Inc(); c.Add(3) }); n != 0 {
		t.Errorf("counting allocates %v times", n)
	}
}
