package node

import "github.com/parley-sfu/parley/internal/telemetry"

// counters are the node's metrics. They are counted in runs, not packet by packet.
type counters struct {
	received, sent, nacked, resent *telemetry.CounterMetric
	keyframesAsked, keyframesSent  *telemetry.CounterMetric
}

func (n *Node) register() {
	n.count = counters{
		received:       telemetry.Counter("parley_rtp_packets_received_total"),
		sent:           telemetry.Counter("parley_rtp_packets_sent_total"),
		nacked:         telemetry.Counter("parley_nack_requested_packets_total"),
		resent:         telemetry.Counter("parley_rtx_packets_sent_total"),
		keyframesAsked: telemetry.Counter("parley_keyframe_requests_received_total"),
		keyframesSent:  telemetry.Counter("parley_keyframe_requests_sent_total"),
	}
	telemetry.Gauge("parley_udp_sent_bytes", func() float64 { return float64(n.endpoint.Stats().SentBytes) })
	telemetry.Gauge("parley_udp_received_bytes", func() float64 { return float64(n.endpoint.Stats().ReceivedBytes) })
	telemetry.Gauge("parley_udp_send_drops", func() float64 { return float64(n.endpoint.Stats().SendDrops) })
	telemetry.Gauge("parley_udp_receive_drops", func() float64 { return float64(n.endpoint.Stats().ReceiveDrops) })
}
