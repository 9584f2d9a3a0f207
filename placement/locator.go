package placement

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
)

// How many nodes a client is given, and how many of them from the first region: one elsewhere survives the loss of it.
const (
	maxCandidates = 3
	fromFirst     = 2
)

// ErrNoNode says that no node that forwards media is alive.
var ErrNoNode = errors.New("placement: no node for media")

// LocatorConfig says where places are.
type LocatorConfig struct {
	// Region is this node's own: where clients go of whom nothing is known.
	Region string `koanf:"-"`
	// GeoIPFile is a MaxMind DB with locations (a "City" one). Empty: clients are not looked up.
	GeoIPFile string `koanf:"geoip_file"`
	// Places has where regions are. A region that is not in it is where its nodes' media addresses are by GeoIPFile.
	Places map[string]Place
}

// Locator sends clients to nodes. It is safe for concurrent use.
type Locator struct {
	cfg   LocatorConfig
	nodes func() []Node
	geo   *geo
}

// NewLocator returns a locator over the nodes that nodes returns: Cluster.Nodes, or what a test says. Close it.
func NewLocator(cfg LocatorConfig, nodes func() []Node) (*Locator, error) {
	g, err := openGeo(cfg.GeoIPFile)
	if err != nil {
		return nil, err
	}
	return &Locator{cfg: cfg, nodes: nodes, geo: g}, nil
}

// Close lets go of the GeoIP file.
func (l *Locator) Close() error { return l.geo.close() }

// Regions returns the regions with nodes for media, sorted by name.
func (l *Locator) Regions() []Region { return regionsOf(serving(with(RoleMedia, l.nodes()))) }

// regionsOf returns the nodes' regions, each with the first probe URL of its nodes.
func regionsOf(nodes []Node) []Region {
	probes := map[string]string{}
	for _, n := range nodes {
		probes[n.Region] = cmp.Or(probes[n.Region], n.ProbeURL)
	}
	regions := make([]Region, 0, len(probes))
	for _, name := range slices.Sorted(maps.Keys(probes)) {
		regions = append(regions, Region{Name: name, ProbeURL: probes[name]})
	}
	return regions
}

// Candidates returns up to three nodes for a client, best first. The best region is the one that the client asks for,
// else the nearest that it has measured, else the nearest by GeoIP, else this node's own. In a region those who join one
// room get one order of nodes: those that carry the room already, then free, then busy ones. Full nodes of all regions
// come after all others; draining ones only where there is nothing else.
//
// A node that serves no WebSockets is returned with the SignalEndpoint of one that does, of its region if possible, and each
// with another's. Places that are left then go to the best node once more, with further SignalEndpoints: the loss of one
// signalling node leaves every client another.
func (l *Locator) Candidates(_ context.Context, hint Hint) ([]Node, error) {
	all := l.nodes()
	media := serving(with(RoleMedia, all))
	if len(media) == 0 {
		return nil, ErrNoNode
	}
	return withSignal(hint.Room, choose(hint, l.order(hint, media), media), serving(with(RoleSignal, all))), nil
}

// choose takes two nodes of the first region that has free ones and one of each next, and fills up in the same order.
func choose(hint Hint, regions []string, media []Node) []Node {
	var first, rest, full []Node
	for _, region := range regions {
		open := queueUp(hint, in(region, media))
		at := slices.IndexFunc(open, func(n Node) bool { return n.Pressure == Full })
		if at >= 0 {
			full = append(full, open[at:]...)
			open = open[:at]
		}
		quota := 1
		if len(first) == 0 {
			quota = fromFirst
		}
		quota = min(quota, len(open))
		first, rest = append(first, open[:quota]...), append(rest, open[quota:]...)
	}
	chosen := slices.Concat(first, rest, full)
	return chosen[:min(maxCandidates, len(chosen))]
}

// queueUp orders a region's nodes for a room.
func queueUp(hint Hint, nodes []Node) []Node {
	class := func(n Node) int {
		if n.Pressure != Full && slices.Contains(hint.Carriers, n.ID) {
			return -1
		}
		return int(n.Pressure)
	}
	ranked := Rank(hint.Room, nodes)
	slices.SortStableFunc(ranked, func(a, b Node) int { return class(a) - class(b) })
	return ranked
}

// withSignal gives nodes that serve no WebSockets the endpoints of edges, which do.
func withSignal(room string, chosen, edges []Node) []Node {
	used := map[string]bool{}
	for i, n := range chosen {
		if !n.Has(RoleSignal) {
			n = nextEdge(room, n.Region, edges, used)
			chosen[i].SignalEndpoint = n.SignalEndpoint
		}
		used[n.ID] = true
	}
	if len(chosen) == 0 || chosen[0].Has(RoleSignal) {
		return chosen
	}
	for best := chosen[0]; len(chosen) < maxCandidates; chosen = append(chosen, best) {
		edge := nextEdge(room, best.Region, edges, used)
		if used[edge.ID] {
			break
		}
		best.SignalEndpoint, used[edge.ID] = edge.SignalEndpoint, true
	}
	return chosen
}

// nextEdge returns the first edge for a room that is not used yet, those of the region before others; where all are used,
// the first.
func nextEdge(room, region string, edges []Node, used map[string]bool) Node {
	ranked := Rank(room, in(region, edges))
	ranked = append(ranked, Rank(room, keep(edges, func(n Node) bool { return n.Region != region }))...)
	for _, n := range ranked {
		if !used[n.ID] {
			return n
		}
	}
	if len(ranked) == 0 {
		return Node{}
	}
	return ranked[0]
}

// order returns all regions that have nodes, the best for the client first.
func (l *Locator) order(hint Hint, media []Node) []string {
	var order []string
	alive := map[string]Node{} // a region's first node that knows where it is on the network, or any
	for _, n := range media {
		if had, ok := alive[n.Region]; !ok || had.Coordinate == nil && n.Coordinate != nil {
			alive[n.Region] = n
		}
	}
	add := func(regions ...string) {
		for _, r := range regions {
			if _, ok := alive[r]; ok && !slices.Contains(order, r) {
				order = append(order, r)
			}
		}
	}
	names := slices.Sorted(maps.Keys(alive))
	add(hint.Region)
	add(byRTT(hint.RTTs, alive, l.cfg.Region)...)
	if from, ok := l.geo.find(hint.Remote); ok {
		add(l.byPlace(from, names, media)...)
	}
	add(l.cfg.Region)
	if len(order) > 0 {
		add(byNetwork(alive[order[0]], names, alive)...)
	}
	add(names...)
	return order
}

// asNear is how much longer than the shortest a round trip may be, in milliseconds, and still count as none the longer:
// measured by a client, a few times, it is not more exact.
const asNear = 5

// byRTT returns the living regions that a client has measured, nearest first. What is no time is left out. Of several that
// are as near, the one that answers the client goes first.
func byRTT(rtts map[string]float64, alive map[string]Node, own string) []string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(alive)), func(r string) bool { return !(rtts[r] > 0) })
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(rtts[a], rtts[b]) })
	if at := slices.Index(names, own); at > 0 && rtts[own]-rtts[names[0]] <= asNear {
		names = slices.Insert(slices.Delete(names, at, at+1), 0, own)
	}
	return names
}

// byPlace returns the regions of which is known where they are, nearest first.
func (l *Locator) byPlace(from Place, names []string, media []Node) []string {
	km := map[string]float64{}
	for _, name := range names {
		if at, ok := l.placeOf(name, media); ok {
			km[name] = from.kmTo(at)
		}
	}
	known := slices.DeleteFunc(slices.Clone(names), func(r string) bool { _, ok := km[r]; return !ok })
	slices.SortStableFunc(known, func(a, b string) int { return cmp.Compare(km[a], km[b]) })
	return known
}

// placeOf returns where a region is: where the operator says, or where the first of its nodes is that can be looked up.
func (l *Locator) placeOf(region string, media []Node) (Place, bool) {
	if at, ok := l.cfg.Places[region]; ok {
		return at, true
	}
	for _, n := range media {
		if n.Region != region {
			continue
		}
		if at, ok := l.geo.find(n.Media.Addr()); ok {
			return at, true
		}
	}
	return Place{}, false
}

// byNetwork returns the regions that are known to be near a node on the network, nearest first.
func byNetwork(from Node, names []string, alive map[string]Node) []string {
	near := slices.DeleteFunc(slices.Clone(names), func(r string) bool { _, ok := from.Distance(alive[r]); return !ok })
	slices.SortStableFunc(near, func(a, b string) int {
		to, other := alive[a], alive[b]
		one, _ := from.Distance(to)
		two, _ := from.Distance(other)
		return cmp.Or(cmp.Compare(one, two), strings.Compare(a, b))
	})
	return near
}
