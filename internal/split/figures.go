package split

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/parley-sfu/parley/internal/telemetry"
)

// figures count what becomes of connections.
type figures struct {
	port       string
	http, turn *telemetry.CounterMetric
	handshake  *telemetry.HistogramMetric
}

func newFigures(port string) figures {
	to := func(side string) *telemetry.CounterMetric {
		return telemetry.Counter(telemetry.Name("parley_tls_handed_total", "port", port, "to", side))
	}
	return figures{
		port: port, http: to("http"), turn: to("turn"),
		handshake: telemetry.Histogram(telemetry.Name("parley_tls_handshake_seconds", "port", port)),
	}
}

func (f figures) took(start time.Time) { f.handshake.UpdateSince(start) }

func (f figures) handed(toTURN bool) {
	if toTURN {
		f.turn.Inc()
		return
	}
	f.http.Inc()
}

func (f figures) refused(why refusal) {
	telemetry.Counter(telemetry.Name("parley_tls_refused_total", "port", f.port, "reason", string(why))).Inc()
}

// failed counts a connection that was closed before it was handed on; one that was closed to make room, or because the port
// was, is counted elsewhere or not at all.
func (f figures) failed(err error) {
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, errChallenge):
	case errors.Is(err, errTooMany):
		f.refused("rate")
	case errors.Is(err, errTooMuch), errors.Is(err, errUnknown):
		f.refused("not_http_nor_turn")
	case errors.Is(err, errNoReceiver):
		f.refused("no_receiver")
	case errors.Is(err, os.ErrDeadlineExceeded):
		f.refused("timeout")
	default:
		f.refused("handshake")
	}
}
