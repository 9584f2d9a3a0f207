package signal

import (
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/telemetry"
)

// metrics is what the signalling plane tells of itself. What goes up and down is counted when somebody looks.
type metrics struct {
	connections atomic.Int64

	drops  *telemetry.CounterMetric   // slow readers
	pulls  *telemetry.CounterMetric   // parts of rosters fetched from other nodes
	knocks *telemetry.HistogramMetric // time that a home on another node took to answer

	migrations struct{ moved, cut *telemetry.CounterMetric } // participants of a draining node

	messages map[string]*telemetry.CounterMetric
	latency  map[string]*telemetry.HistogramMetric
}

// newMetrics has one counter and one histogram a message type. The functions are called when somebody looks.
func newMetrics(types []string, rooms, participants, queued, homes func() int) *metrics {
	m := &metrics{
		drops:    telemetry.Counter("parley_signal_slow_readers_total"),
		pulls:    telemetry.Counter("parley_signal_roster_pulls_total"),
		knocks:   telemetry.Histogram("parley_signal_knock_seconds"),
		messages: map[string]*telemetry.CounterMetric{},
		latency:  map[string]*telemetry.HistogramMetric{},
	}
	m.migrations.moved = telemetry.Counter(telemetry.Name("parley_migrations_total", "result", "moved"))
	m.migrations.cut = telemetry.Counter(telemetry.Name("parley_migrations_total", "result", "cut"))
	for _, typ := range types {
		m.messages[typ] = telemetry.Counter(telemetry.Name("parley_signal_messages_total", "type", typ))
		m.latency[typ] = telemetry.Histogram(telemetry.Name("parley_signal_handler_seconds", "type", typ))
	}
	telemetry.Gauge("parley_signal_connections", func() float64 { return float64(m.connections.Load()) })
	telemetry.Gauge("parley_signal_queue_messages", func() float64 { return float64(queued()) })
	telemetry.Gauge("parley_rooms", func() float64 { return float64(rooms()) })
	telemetry.Gauge("parley_homes", func() float64 { return float64(homes()) })
	telemetry.Gauge("parley_participants", func() float64 { return float64(participants()) })
	return m
}

// handled counts a message of a known type and the time that it took.
func (m *metrics) handled(typ string, start time.Time) {
	m.messages[typ].Inc()
	m.latency[typ].UpdateSince(start)
}

// rejected counts a refused upgrade.
func (m *metrics) rejected(reason string) {
	telemetry.Counter(telemetry.Name("parley_signal_rejected_total", "reason", reason)).Inc()
}

// lent tells how many places the homes of this node have handed out in advance, and are not known to be used.
func (m *metrics) lent(count func() places) {
	telemetry.Gauge(telemetry.Name("parley_signal_lent_places", "kind", "seat"), func() float64 { return float64(count().seats) })
	telemetry.Gauge(telemetry.Name("parley_signal_lent_places", "kind", "camera"), func() float64 { return float64(count().cameras) })
}

// admitted counts a question who may have a seat or a camera by who decided it: "home", this node being the home, "remote",
// the home being another, "allowance", this node out of what the home handed it in advance, or "fallback", the home being
// out of reach.
func (m *metrics) admitted(by string) {
	telemetry.Counter(telemetry.Name("parley_signal_admissions_total", "by", by)).Inc()
}
