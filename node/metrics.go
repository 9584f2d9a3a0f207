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
	telemetry.Gauge("parley_udp_sent_bytes", func() float64 { return float64(n.endpoint.Stats().SentBytes) })
	telemetry.Gauge("parley_udp_received_bytes", func() float64 { return float64(n.endpoint.Stats().ReceivedBytes) })
	telemetry.Gauge("parley_udp_send_drops", func() float64 { return float64(n.endpoint.Stats().SendDrops) })
	telemetry.Gauge("parley_udp_receive_drops", func() float64 { return float64(n.endpoint.Stats().ReceiveDrops) })
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
