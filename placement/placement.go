// Package placement says who carries what: which nodes a joining client should be sent to, best first, and which regions
// there are. It knows nodes and regions; of rooms, tokens and HTTP it knows nothing.
//
// Single is the whole truth about a cluster of one node.
package placement

import (
	"context"
	"errors"
	"net/netip"
)

// Node is a member of the cluster as clients need to know it.
type Node struct {
	ID             string // unique in the cluster
	Region         string // the operator's name for a place
	SFUEndpoint    string // host:port of its media
	SignalEndpoint string // whole URL of its signalling WebSocket
	ProbeURL       string // answers quickly and cheaply; clients measure round trips with it
}

// Region is a place with at least one live node.
type Region struct {
	Name     string
	ProbeURL string // of a node in the region
}

// Hint is what is known about where a client is, in the order of precedence.
type Hint struct {
	Region string             // asked for by name; empty: no wish
	RTTs   map[string]float64 // measured by the client, milliseconds by region
	Remote netip.Addr         // where its request came from
}

// Single places everything on the one node there is. Safe for concurrent use.
type Single struct {
	self Node
}

// NewSingle returns the placement of a cluster whose only node is self.
func NewSingle(self Node) (*Single, error) {
	var faults []error
	for field, value := range map[string]string{
		"ID": self.ID, "Region": self.Region, "SFUEndpoint": self.SFUEndpoint, "SignalEndpoint": self.SignalEndpoint,
	} {
		if value == "" {
			faults = append(faults, errors.New("placement: the node has no "+field))
		}
	}
	return &Single{self: self}, errors.Join(faults...)
}

// Candidates returns the nodes to send a client to, best first: here always the one node, wherever the client is, for
// the only node is the best one also for a client that asked for a region without any.
func (s *Single) Candidates(context.Context, Hint) ([]Node, error) {
	return []Node{s.self}, nil
}

// Regions returns all regions, sorted by name.
func (s *Single) Regions() []Region {
	return []Region{{Name: s.self.Region, ProbeURL: s.self.ProbeURL}}
}
