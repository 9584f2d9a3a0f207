// Package placement says who is there and who carries what. Cluster gossips with the other nodes and knows those that
// live; Rank, Home, Elect, Gateway and Locator choose among nodes, and touch neither network nor clock, so that every
// node that knows the same chooses the same. It knows nodes, regions and the names of rooms; of what happens in rooms, of
// tokens and of HTTP it knows nothing.
//
// Single is the whole truth about a cluster of one node.
package placement

import "net/netip"

// Region is a place with at least one live node.
type Region struct {
	Name     string
	ProbeURL string // of a node in the region; empty if none has one
}

// Hint is what is known about a joining client. All of it may be empty; where the client is has the order of precedence
// in which it stands here.
type Hint struct {
	Region   string             // asked for by name
	RTTs     map[string]float64 // measured by the client, milliseconds by region
	Remote   netip.Addr         // where its request came from
	Room     string             // what it joins: those who join the same are sent to the same nodes
	Carriers []string           // ids of nodes that already carry the room, as far as the caller knows: they come first
}
