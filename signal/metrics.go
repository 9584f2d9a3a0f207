package signal

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/signal/wire"
)

// metrics is what the signalling plane tells of itself. What goes up and down is counted when somebody looks.
type metrics struct {
	connections atomic.Int64

	drops  *telemetry.CounterMetric   // slow readers
	tooBig *telemetry.CounterMetric   // messages over the limit that carry no offer
	bigSDP *telemetry.CounterMetric   // offers over the limit, or near it
	pulls  *telemetry.CounterMetric   // parts of rosters fetched from other nodes
	knocks *telemetry.HistogramMetric // time that a home on another node took to answer

	migrations struct{ moved, cut *telemetry.CounterMetric } // participants of a draining node

	messages map[string]*telemetry.CounterMetric
	latency  map[string]*telemetry.HistogramMetric
}

// newMetrics has one counter and one histogram a message type. The functions are called when somebody looks.
func newMetrics(types []string, rooms, participants, homes func() int, queued func() (all, deepest int)) *metrics {
	m := &metrics{
		drops:    telemetry.Counter("parley_signal_slow_readers_total"),
		tooBig:   telemetry.Counter(telemetry.Name("parley_signal_oversized_total", "what", "message")),
		bigSDP:   telemetry.Counter(telemetry.Name("parley_signal_oversized_total", "what", "sdp")),
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
	telemetry.Gauge("parley_signal_queue_messages", func() float64 {
		all, _ := queued()
		return float64(all)
	})
	telemetry.Gauge("parley_signal_queue_deepest_messages", func() float64 {
		_, deepest := queued()
		return float64(deepest)
	})
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

// oversized counts a message over the limit by its beginning, where clients say its type.
func (m *metrics) oversized(data []byte) {
	beginning := data[:min(len(data), 256)]
	for _, typ := range []string{wire.TypeHello, wire.TypeOffer} {
		if bytes.Contains(beginning, []byte(`"`+typ+`"`)) {
			m.bigSDP.Inc()
			return
		}
	}
	m.tooBig.Inc()
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
