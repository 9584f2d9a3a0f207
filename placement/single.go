package placement

import (
	"context"
	"errors"
)

// Single places everything on the one node there is. Safe for concurrent use.
type Single struct {
	self Node
}

// NewSingle returns the placement of a cluster whose only node is self.
func NewSingle(self Node) (*Single, error) {
	return &Single{self: self}, errors.Join(missing(map[string]string{
		"ID": self.ID, "Region": self.Region, "SFUEndpoint": self.SFUEndpoint, "SignalEndpoint": self.SignalEndpoint,
	})...)
}

// Nodes returns the one node.
func (s *Single) Nodes() []Node { return []Node{s.self} }

// Watch never calls f: nothing comes, goes or changes.
func (s *Single) Watch(func(joined, left []string)) (stop func()) { return func() {} }

// missing finds what must not be empty, yet is.
func missing(fields map[string]string) (faults []error) {
	for field, value := range fields {
		if value == "" {
			faults = append(faults, errors.New("placement: the node has no "+field))
		}
	}
	return faults
}

// Candidates returns the nodes to send a client to, best first: here always the one node, wherever the client is, for
// the only node is the best one also for a client that asked for a region without any.
func (s *Single) Candidates(context.Context, Hint) ([]Node, error) {
	return []Node{s.self}, nil
}

// Regions returns all regions, sorted by name.
func (s *Single) Regions() []Region { return regionsOf([]Node{s.self}) }
