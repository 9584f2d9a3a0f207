package doctor

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	deepQueue   = 64                     // messages that wait for one reader
	slowHandler = 250 * time.Millisecond // the 95th percentile
)

// metrics are the values of a node's /metrics by name, labels included.
type metrics map[string]float64

// scrape reads /metrics; a node that does not show them has none.
func (r rest) scrape(ctx context.Context) metrics {
	ctx, cancel := context.WithTimeout(ctx, restTime)
	defer cancel()
	a, err := r.call(ctx, http.MethodGet, "/metrics", nil)
	if err != nil || a.status != http.StatusOK {
		return nil
	}
	return parseMetrics(string(a.body))
}

// parseMetrics reads the Prometheus text format as far as it is used here.
func parseMetrics(text string) metrics {
	m := metrics{}
	for line := range strings.Lines(text) {
		at := strings.LastIndexByte(line, ' ')
		if at <= 0 || line[0] == '#' {
			continue
		}
		if value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64); err == nil {
			m[line[:at]] = value
		}
	}
	return m
}

// plane are the steps that read what the node tells of itself. before is what it told when the examination began; what it
// does since then is what counts.
func (r rest) plane(before metrics) []step {
	var now metrics
	ask := func(judge func(metrics) finding) func(context.Context) finding {
		return func(ctx context.Context) finding {
			if now == nil {
				now = r.scrape(ctx)
			}
			if _, ok := now["parley_signal_queue_messages"]; !ok {
				return skipped("because the node shows no metrics here")
			}
			return judge(now)
		}
	}
	needs := []string{"rest.livez"}
	return []step{
		{id: "signalling.queue", plane: "signalling", name: "queue depth", needs: needs, limit: restTime, ask: ask(queueDepth)},
		{id: "signalling.handlers", plane: "signalling", name: "handler latency", needs: needs, limit: restTime, ask: ask(func(now metrics) finding {
			return handlerLatency(before, now)
		})},
		{id: "signalling.sdp", plane: "signalling", name: "SDP size", needs: needs, limit: restTime, ask: ask(oversized)},
		{id: "rooms.microphones", plane: "rooms", name: "microphones", needs: needs, limit: restTime, ask: ask(silentMicrophones)},
		{id: "rooms.self", plane: "rooms", name: "self in the grid", needs: needs, limit: restTime, ask: ask(selfSlots)},
	}
}

func queueDepth(now metrics) finding {
	deepest, all := now["parley_signal_queue_deepest_messages"], now["parley_signal_queue_messages"]
	f := fine("%.0f messages wait", all)
	if deepest >= deepQueue {
		f = doubtful(fmt.Sprintf("mute and join events late: signalling queue depth, %.0f messages wait for one reader", deepest),
			"Somebody's network does not take what is sent; who stays slow is dropped (parley_signal_slow_readers_total).")
	}
	f.figures = map[string]float64{"queue_messages": all, "deepest_messages": deepest}
	return f
}

func handlerLatency(before, now metrics) finding {
	name, p95, handled := slowest(before, now)
	if handled == 0 {
		return skipped("because the node has handled nothing meanwhile")
	}
	f := fine("p95 at most %s (%s)", brief(p95), name)
	if p95 > slowHandler {
		f = doubtful(fmt.Sprintf("mute and join events late: handler latency, p95 of %s is up to %s", name, brief(p95)),
			"The node or its NATS is too slow: look at its CPU, and at /readyz.")
	}
	f.figures = map[string]float64{"handler_p95_ms": ms(p95)}
	return f
}

// slowest finds the type of message whose handling has the highest 95th percentile since before. A message may wait for
// a lobby or a camera's place, but none waits in its handler.
func slowest(before, now metrics) (name string, p95 time.Duration, handled float64) {
	const prefix, infix = `parley_signal_handler_seconds_count{type="`, `"}`
	for key, count := range now {
		typ, ok := strings.CutPrefix(key, prefix)
		count -= before[key]
		if !ok || count <= 0 {
			continue
		}
		typ = strings.TrimSuffix(typ, infix)
		handled += count
		if p := percentile95(before, now, typ, count); name == "" || p > p95 {
			name, p95 = typ, p
		}
	}
	return name, p95, handled
}

// percentile95 is the upper bound of the bucket that the 95th percentile is in.
func percentile95(before, now metrics, typ string, count float64) time.Duration {
	prefix := `parley_signal_handler_seconds_bucket{type="` + typ + `",le="`
	var bounds []float64
	for key, value := range now {
		le, ok := strings.CutPrefix(key, prefix)
		if !ok || value-before[key] < 0.95*count {
			continue
		}
		if bound, err := strconv.ParseFloat(strings.TrimSuffix(le, `"}`), 64); err == nil && !math.IsInf(bound, 0) {
			bounds = append(bounds, bound)
		}
	}
	if len(bounds) == 0 {
		return time.Minute // beyond the last bucket
	}
	return time.Duration(slices.Min(bounds) * float64(time.Second))
}

func oversized(now metrics) finding {
	count := now[`parley_signal_oversized_total{what="sdp"}`]
	if count == 0 {
		return fine("none above 100 KB since the node began")
	}
	return doubtful(fmt.Sprintf("oversized SDP (> 100 KB) on the socket: %.0f since the node began", count),
		"The node's log names who sent it: fewer slots or codecs make it smaller.")
}

func silentMicrophones(now metrics) finding {
	count := now["parley_silent_microphones"]
	if count == 0 {
		return fine("packets come of all that are open")
	}
	return doubtful(fmt.Sprintf("no inbound packets from that participant's microphone: %.0f on this node", count),
		"The node's log names them, and so do their tiles in the meeting.")
}

func selfSlots(now metrics) finding {
	if count := now["parley_self_slots"]; count > 0 {
		return broken(fmt.Sprintf("self-track in the subscription table: %.0f slots", count), "That is a fault of the server: please report it.")
	}
	return fine("nobody is shown their own track")
}
