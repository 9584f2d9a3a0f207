package signal

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/signal/wire"
)

func TestMetricsTellWhatHappens(t *testing.T) {
	r := newRig(t)
	a := r.join("pt_a", grant.Attendee)
	a.ok(wire.TypeChat, wire.ChatSend{Text: "hi"})
	r.refusedUpgrade(nil)
	page := httptest.NewRecorder()
	telemetry.Handler().ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	for _, want := range []string{
		"parley_rooms 1\n",
		"parley_participants 1\n",
		"parley_signal_connections 1\n",
		"parley_signal_queue_messages 0\n",
		"parley_signal_queue_deepest_messages 0\n",
		"parley_signal_slow_readers_total ",
		`parley_signal_oversized_total{what="message"} `,
		`parley_signal_oversized_total{what="sdp"} `,
		"parley_signal_roster_pulls_total ",
		`parley_signal_messages_total{type="chat.message"} `,
		`parley_signal_handler_seconds_count{type="participant.hello"} `,
		`parley_signal_rejected_total{reason="token_invalid"} `,
		`parley_migrations_total{result="moved"} `,
		`parley_signal_lent_places{kind="seat"} 0`,
		`parley_signal_lent_places{kind="camera"} 0`,
		`parley_migrations_total{result="cut"} `,
	} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
}

// A handler that waits is in the histogram with all its time: that is where late events are looked for.
func TestMetricsTellOfSlowHandlers(t *testing.T) {
	r := newRig(t)
	a := r.join("pt_a", grant.Attendee)
	before := shown(t, `_sum{type="participant.offer"}`)
	hold := make(chan struct{})
	r.media.mu.Lock()
	r.media.hold = hold
	r.media.mu.Unlock()
	timer := time.AfterFunc(300*time.Millisecond, func() { close(hold) })
	defer timer.Stop()
	a.request(wire.TypeOffer, wire.Offer{SDPOffer: "x"})
	eventually(t, "the histogram shows some 0.3 s", func() bool { // a handler ends after its answer
		return shown(t, `_sum{type="participant.offer"}`)-before > 0.05
	})
}

// shown is what /metrics shows of the time that handlers take.
func shown(t *testing.T, suffix string) float64 {
	t.Helper()
	page := httptest.NewRecorder()
	telemetry.Handler().ServeHTTP(page, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	for line := range strings.Lines(page.Body.String()) {
		text, ok := strings.CutPrefix(line, "parley_signal_handler_seconds"+suffix+" ")
		if !ok {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	return 0
}
