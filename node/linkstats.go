package node

import "github.com/parley-sfu/parley/internal/telemetry"

// Traffic is media that this node has moved since it started, received and sent.
type Traffic struct{ Packets, Bytes uint64 }

// Traffic counts the datagrams of the media port.
func (n *Node) Traffic() Traffic {
	s := n.endpoint.Stats()
	return Traffic{Packets: s.Sent + s.Received, Bytes: s.SentBytes + s.ReceivedBytes}
}

// LinkStats is what this node has to do with one other node.
type LinkStats struct {
	Peer     string // the other node's id
	Up       bool   // there is a link now
	Sent     uint64 // bytes of media sent there, over all links so far
	Received uint64 // likewise
	Pulled   int    // tracks that are shown here
	Served   int    // tracks that are sent there
}

// LinkStats returns one entry for each node that this one has had a link with, or wants one.
func (n *Node) LinkStats() []LinkStats {
	relays := n.relayList()
	all := make([]LinkStats, 0, len(relays))
	for _, r := range relays {
		r.mu.Lock()
		s := LinkStats{Peer: r.peer, Up: r.link != nil, Sent: r.sent.Load(), Received: r.received.Load(), Served: len(r.outlets)}
		for _, p := range r.pulls {
			if p.Layers != 0 {
				s.Pulled++
			}
		}
		r.mu.Unlock()
		all = append(all, s)
	}
	return all
}

// measure shows the relay's figures as metrics.
func (r *relay) measure() {
	for direction, bytes := range map[string]func() uint64{"out": r.sent.Load, "in": r.received.Load} {
		telemetry.Gauge(telemetry.Name("parley_link_bytes_total", "peer", r.peer, "direction", direction),
			func() float64 { return float64(bytes()) })
	}
}
