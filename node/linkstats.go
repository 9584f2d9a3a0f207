package node

import (
	"math/bits"
	"time"

	"github.com/parley-sfu/parley/internal/telemetry"
)

// Traffic is media that this node has moved since it started, received and sent.
type Traffic struct{ Packets, Bytes uint64 }

// Traffic counts the datagrams of the media port.
func (n *Node) Traffic() Traffic {
	s := n.endpoint.Stats()
	return Traffic{Packets: s.Sent + s.Received, Bytes: s.SentBytes + s.ReceivedBytes}
}

// LinkStats is what this node has to do with one other node.
type LinkStats struct {
	Peer         string        // the other node's id
	Up           bool          // there is a link now
	RTT          time.Duration // to the other node and back; 0 while it is not known
	Sent         uint64        // bytes of media sent there, over all links so far
	Received     uint64        // likewise
	PulledTracks int           // that come from there
	PulledLayers int           // likewise
	ServedTracks int           // that are sent there
	ServedLayers int           // likewise
	Requested    uint64        // packets that were lost on their way here and asked for again
	Resent       uint64        // packets that were lost on their way there and sent again
}

// LinkStats returns one entry for each node that this one has had a link with, or wants one.
func (n *Node) LinkStats() []LinkStats {
	relays := n.relayList()
	all := make([]LinkStats, 0, len(relays))
	for _, r := range relays {
		all = append(all, r.stats())
	}
	return all
}

func (r *relay) stats() LinkStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := LinkStats{
		Peer: r.peer, Up: r.link != nil, Sent: r.sent.Load(), Received: r.received.Load(),
		Requested: r.in.requested.Load(), Resent: r.resent.Load(),
	}
	if s.Up {
		s.RTT = time.Duration(r.in.rtt.Load())
	}
	for _, p := range r.pulls {
		if layers := bits.OnesCount32(p.sent.Load()); layers > 0 {
			s.PulledTracks++
			s.PulledLayers += layers
		}
	}
	for _, o := range r.outlets {
		if layers := bits.OnesCount32(o.sends.Load()); layers > 0 {
			s.ServedTracks++
			s.ServedLayers += layers
		}
	}
	return s
}

// measure shows the relay's figures as metrics.
func (r *relay) measure() {
	gauge := func(family string, value func() float64, labels ...string) {
		telemetry.Gauge(telemetry.Name(family, append([]string{"peer", r.peer}, labels...)...), value)
	}
	for direction, bytes := range map[string]func() uint64{"out": r.sent.Load, "in": r.received.Load} {
		gauge("parley_link_bytes_total", func() float64 { return float64(bytes()) }, "direction", direction)
	}
	for direction, packets := range map[string]func() uint64{"out": r.resent.Load, "in": r.in.requested.Load} {
		gauge("parley_link_repairs_total", func() float64 { return float64(packets()) }, "direction", direction)
	}
	gauge("parley_link_up", func() float64 {
		if r.current() == nil {
			return 0
		}
		return 1
	})
	gauge("parley_link_rtt_seconds", func() float64 { return r.stats().RTT.Seconds() })
	gauge("parley_link_layers", func() float64 { return float64(r.stats().ServedLayers) }, "direction", "out")
	gauge("parley_link_layers", func() float64 { return float64(r.stats().PulledLayers) }, "direction", "in")
}
