package placement

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/serf/coordinate"
)

// What a node may do. A node without any role named does all of it.
const (
	RoleAPI    = "api"    // serves REST
	RoleSignal = "signal" // serves WebSockets, and may be a room's home
	RoleMedia  = "media"  // forwards media
)

// Node is a member of the cluster. What it points to is shared: do not change it.
type Node struct {
	ID             string           // unique in the cluster
	Region         string           // the operator's name for a place
	SFUEndpoint    string           // host:port of its media, for clients
	SignalEndpoint string           // whole URL of its signalling WebSocket
	ProbeURL       string           // answers quickly and cheaply; clients measure round trips with it
	Media          netip.AddrPort   // where other nodes' links connect to
	MediaToo       []netip.AddrPort // more addresses of its media
	Relay          []string         // where clients reach its relay, in the form of package turn; empty: it has none, or is of a release without
	Fingerprint    string           // of its links' certificate: "sha-256 " and 32 bytes as AA:BB:…; empty: takes no links
	Roles          []string         // what it may do; empty: everything
	Version        string           // of the program, for people
	Protocol       int              // newest way of talking among nodes that it knows; see Protocol
	Capacity       float64          // how much it can carry compared with other nodes; 0 counts as 1
	Draining       bool             // takes nothing new
	Incarnation    uint64           // differs after each start: equal id with another incarnation is a process that lost everything

	Load       Load
	Pressure   Pressure               // what its load means; the node itself says so
	Coordinate *coordinate.Coordinate // where it is on the network; nil: not known yet
}

// Has says whether the node may do what a role stands for.
func (n Node) Has(role string) bool { return len(n.Roles) == 0 || slices.Contains(n.Roles, role) }

// Distance estimates the round trip between two nodes without any packet. It is false while one has not measured.
func (n Node) Distance(to Node) (time.Duration, bool) {
	if n.Coordinate == nil || to.Coordinate == nil || !n.Coordinate.IsCompatibleWith(to.Coordinate) {
		return 0, false
	}
	return n.Coordinate.DistanceTo(to.Coordinate), true
}

// MediaAddresses are all addresses of its media that are known.
func (n Node) MediaAddresses() []netip.AddrPort {
	if !n.Media.IsValid() {
		return nil
	}
	all := []netip.AddrPort{n.Media}
	return append(all, n.MediaToo...)
}

// weight is the node's capacity, or 1 where that makes no sense.
func (n Node) weight() float64 {
	if !(n.Capacity > 0) || n.Capacity > maxCapacity {
		return 1
	}
	return n.Capacity
}

const maxCapacity = 1e6

// CurrentProtocol is the newest way of talking that this release knows. Releases count up by one whenever nodes say something
// to each other that the release before would not understand; see DESIGN.md.
//
// 1: join tokens with a seat, for participants who are moved from a draining node; media that is used from other nodes.
const CurrentProtocol = 1

// Protocol returns the newest way of talking that all nodes know. What a release adds to what nodes say to each other is
// used only once everybody understands it, so that two releases run mixed.
func Protocol(nodes []Node) int {
	if len(nodes) == 0 {
		return 0
	}
	return slices.MinFunc(nodes, func(a, b Node) int { return a.Protocol - b.Protocol }).Protocol
}

// with returns the nodes that may do what a role stands for.
func with(role string, nodes []Node) []Node {
	return keep(nodes, func(n Node) bool { return n.Has(role) })
}

// in returns the nodes of a region.
func in(region string, nodes []Node) []Node {
	return keep(nodes, func(n Node) bool { return n.Region == region })
}

// serving returns the nodes that take something new. Where all are draining it returns them all: better a node that will
// leave than none.
func serving(nodes []Node) []Node {
	staying := keep(nodes, func(n Node) bool { return !n.Draining })
	if len(staying) == 0 {
		return nodes
	}
	return staying
}

func keep(nodes []Node, good func(Node) bool) []Node {
	kept := make([]Node, 0, len(nodes))
	for _, n := range nodes {
		if good(n) {
			kept = append(kept, n)
		}
	}
	return kept
}
