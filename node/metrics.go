package node

import "github.com/parley-sfu/parley/internal/telemetry"

// counters are the node's metrics. They are counted in runs, not packet by packet.
type counters struct {
	received, sent, nacked, resent *telemetry.CounterMetric
	keyframesAsked, keyframesSent  *telemetry.CounterMetric
	probed                         *telemetry.CounterMetric
}

func (n *Node) register() {
	n.count = counters{
		received:       telemetry.Counter("parley_rtp_packets_received_total"),
		sent:           telemetry.Counter("parley_rtp_packets_sent_total"),
		nacked:         telemetry.Counter("parley_nack_requested_packets_total"),
		resent:         telemetry.Counter("parley_rtx_packets_sent_total"),
		keyframesAsked: telemetry.Counter("parley_keyframe_requests_received_total"),
		keyframesSent:  telemetry.Counter("parley_keyframe_requests_sent_total"),
		probed:         telemetry.Counter("parley_probe_bytes_sent_total"),
	}
	telemetry.Gauge("parley_silent_microphones", func() float64 { return float64(n.silentMicrophones()) })
	telemetry.Gauge("parley_self_slots", func() float64 { return float64(n.selfSlots()) })
	n.registerWays()
	telemetry.Gauge("parley_udp_sent_bytes", func() float64 { return float64(n.endpoint.Stats().SentBytes) })
	telemetry.Gauge("parley_udp_received_bytes", func() float64 { return float64(n.endpoint.Stats().ReceivedBytes) })
	telemetry.Gauge("parley_udp_send_drops", func() float64 { return float64(n.endpoint.Stats().SendDrops) })
	telemetry.Gauge("parley_udp_receive_drops", func() float64 { return float64(n.endpoint.Stats().ReceiveDrops) })
}

// registerWays shows what is known of the ways to all participants together, in bit/s.
func (n *Node) registerWays() {
	for name, of := range map[string]func(Bandwidth) float64{
		"parley_ways_measured":       func(Bandwidth) float64 { return 1 },
		"parley_ways_estimated_bits": func(b Bandwidth) float64 { return float64(b.Estimate) },
		"parley_ways_wanted_bits":    func(b Bandwidth) float64 { return float64(b.Wanted) },
		"parley_ways_allocated_bits": func(b Bandwidth) float64 { return float64(b.Allocated) },
		"parley_ways_short": func(b Bandwidth) float64 {
			if b.Allocated < b.Wanted {
				return 1
			}
			return 0
		},
	} {
		telemetry.Gauge(name, func() float64 { return n.sumWays(of) })
	}
}

// sumWays adds something up over all participants to whom the way is measured.
func (n *Node) sumWays(of func(Bandwidth) float64) (sum float64) {
	for _, r := range n.snapshot() {
		for _, p := range r.everyone() {
			if b, ok := p.Bandwidth(); ok {
				sum += of(b)
			}
		}
	}
	return sum
}

// selfSlots counts the slots that show somebody their own track. It is 0, whatever happens.
func (n *Node) selfSlots() (count int) {
	for _, r := range n.snapshot() {
		for _, p := range r.everyone() {
			for _, s := range p.slotList() {
				if bound := s.state().bound; bound != nil && bound.ParticipantID == p.id {
					count++
				}
			}
		}
	}
	return count
}
