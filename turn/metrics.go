package turn

import (
	"slices"

	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/internal/udp"
)

// Why something was refused.
const (
	reasonRate        = "rate"        // too many requests
	reasonMalformed   = "malformed"   // no message that a client has reason to send
	reasonCredential  = "credential"  // forged, revoked, or of another secret
	reasonExpired     = "expired"     // a credential whose time is over
	reasonPeer        = "peer"        // not an SFU of the cluster
	reasonQuota       = "quota"       // too many allocations
	reasonRequest     = "request"     // anything else that is wrong with an authentic request
	reasonConnections = "connections" // too many connections
	reasonNoRoute     = "no_route"    // data without an allocation, a channel or a permission
	reasonUnsent      = "unsent"      // data of who is no peer of the client, or for a client that does not take it
)

// meters are the relay's metrics. Packets are counted in runs.
type meters struct {
	refusals                                 map[string]*telemetry.CounterMetric
	allocations                              map[string]*telemetry.CounterMetric
	packetsIn, packetsOut, bytesIn, bytesOut *telemetry.CounterMetric
}

func newMeters() meters {
	m := meters{refusals: map[string]*telemetry.CounterMetric{}, allocations: map[string]*telemetry.CounterMetric{}}
	for _, reason := range []string{
		reasonRate, reasonMalformed, reasonCredential, reasonExpired, reasonPeer, reasonQuota, reasonRequest, reasonConnections,
		reasonNoRoute, reasonUnsent,
	} {
		m.refusals[reason] = telemetry.Counter(telemetry.Name("parley_turn_refused_total", "reason", reason))
	}
	for _, kind := range []string{overUDP, overTCP, overTLS} {
		m.allocations[kind] = telemetry.Counter(telemetry.Name("parley_turn_allocations_total", "transport", kind))
	}
	m.packetsIn = telemetry.Counter(telemetry.Name("parley_turn_packets_total", "direction", "to_peer"))
	m.packetsOut = telemetry.Counter(telemetry.Name("parley_turn_packets_total", "direction", "to_client"))
	m.bytesIn = telemetry.Counter(telemetry.Name("parley_turn_bytes_total", "direction", "to_peer"))
	m.bytesOut = telemetry.Counter(telemetry.Name("parley_turn_bytes_total", "direction", "to_client"))
	return m
}

func (m *meters) refused(reason string) { m.refusals[reason].Inc() }

func (m *meters) allocated(kind string) { m.allocations[kind].Inc() }

// tally is what one run adds to the metrics.
type tally struct {
	packetsIn, packetsOut, bytesIn, bytesOut, noRoute, lost int
}

// from counts data of a client.
func (t *tally) from(n int, ok bool) {
	if !ok {
		t.noRoute++
		return
	}
	t.packetsIn++
	t.bytesIn += n
}

// to counts data of a peer.
func (t *tally) to(n int, ok bool) {
	if !ok {
		t.lost++
		return
	}
	t.packetsOut++
	t.bytesOut += n
}

// batch is what one goroutine sends with, and counts on.
type batch struct {
	*udp.Batch
	tally   tally
	streams []*stream // that something was queued for
}

// touch has a connection's queue written with the batch.
func (b *batch) touch(st *stream) {
	if !slices.Contains(b.streams, st) {
		b.streams = append(b.streams, st)
	}
}

// flush sends and counts.
func (b *batch) flush(m *meters) {
	_ = b.Flush() // a socket that was closed meanwhile is no news
	for _, st := range b.streams {
		st.flush()
	}
	clear(b.streams)
	b.streams = b.streams[:0]
	t := &b.tally
	if t.packetsIn > 0 {
		m.packetsIn.Add(t.packetsIn)
		m.bytesIn.Add(t.bytesIn)
	}
	if t.packetsOut > 0 {
		m.packetsOut.Add(t.packetsOut)
		m.bytesOut.Add(t.bytesOut)
	}
	if t.noRoute > 0 {
		m.refusals[reasonNoRoute].Add(t.noRoute)
	}
	if t.lost > 0 {
		m.refusals[reasonUnsent].Add(t.lost)
	}
	*t = tally{}
}
