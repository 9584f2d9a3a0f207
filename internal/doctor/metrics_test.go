package doctor

import (
	"strings"
	"testing"
)

// told is a node's page with what is usual, and more.
func told(more ...string) metrics {
	return parseMetrics(strings.Join(append([]string{
		"# HELP nothing", "parley_signal_queue_messages 0", "parley_signal_queue_deepest_messages 0",
		`parley_signal_oversized_total{what="sdp"} 0`, "parley_silent_microphones 0", "parley_self_slots 0",
	}, more...), "\n"))
}

// handlers are the metrics of one type of message: of 100, so many took up to 10 ms, and the others up to 2.5 s.
func handlers(quick string) []string {
	const name = "parley_signal_handler_seconds"
	return []string{
		name + `_count{type="presence.update"} 100`,
		name + `_bucket{type="presence.update",le="0.01"} ` + quick,
		name + `_bucket{type="presence.update",le="2.5"} 100`,
		name + `_bucket{type="presence.update",le="+Inf"} 100`,
	}
}

func TestWhatTheNodeTells(t *testing.T) {
	for _, tc := range []struct {
		name   string
		judge  func(metrics) finding
		before metrics
		now    metrics
		state  State
		cause  string
	}{
		{"an empty queue", queueDepth, nil, told(), OK, ""},
		{"a deep queue", queueDepth, nil, told("parley_signal_queue_deepest_messages 812"), Warn, "mute and join events late: signalling queue depth, 812 messages"},
		{"small offers", oversized, nil, told(), OK, ""},
		{"large offers", oversized, nil, told(`parley_signal_oversized_total{what="sdp"} 3`), Warn, "oversized SDP (> 100 KB) on the socket: 3"},
		{"all are heard", silentMicrophones, nil, told(), OK, ""},
		{"two are not", silentMicrophones, nil, told("parley_silent_microphones 2"), Warn, "no inbound packets from that participant's microphone: 2"},
		{"nobody sees themselves", selfSlots, nil, told(), OK, ""},
		{"somebody does", selfSlots, nil, told("parley_self_slots 1"), Fail, "self-track in the subscription table: 1"},
		{"quick handlers", nil, told(), told(handlers("97")...), OK, ""},
		{"slow handlers", nil, told(), told(handlers("90")...), Warn, "mute and join events late: handler latency, p95 of presence.update is up to 2500 ms"},
		{"handlers that were slow once", nil, told(handlers("90")...), told(handlers("90")...), Skipped, "handled nothing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.judge == nil {
				tc.judge = func(now metrics) finding { return handlerLatency(tc.before, now) }
			}
			expect(t, tc.judge(tc.now), tc.state, tc.cause)
		})
	}
}

func TestANodeThatShowsNoMetrics(t *testing.T) {
	for _, s := range serve(t, says(404, "")).plane(nil) {
		expect(t, s.ask(t.Context()), Skipped, "shows no metrics")
	}
}

func FuzzMetrics(f *testing.F) {
	f.Add("parley_rooms 1\n# x\nparley_x{a=\"b c\"} 2.5\n\n ")
	f.Fuzz(func(_ *testing.T, text string) {
		now := parseMetrics(text)
		handlerLatency(nil, now)
		queueDepth(now)
	})
}
