package api

import (
	"context"
	"sync/atomic"
)

// alone is the cluster of a node that was given none: it lists itself, so that nobody who looks at one node needs to know
// that it is the only one. Its id and its addresses are those of the Locator's only candidate. Of its load it knows
// nothing but the participants, for there is nobody to share it with.
type alone struct {
	locator  Locator
	signal   Signal
	draining atomic.Bool
}

// Nodes implements Cluster.
func (a *alone) Nodes() []ClusterNode {
	candidates, err := a.locator.Candidates(context.Background(), JoinRequest{})
	if err != nil || len(candidates) == 0 {
		return nil
	}
	self := candidates[0]
	n := ClusterNode{
		ID: self.Node, Region: self.Region, SFUEndpoint: self.SFUEndpoint, SignalEndpoint: self.SignalEndpoint,
		Draining: a.draining.Load(), Self: true,
	}
	for _, participants := range a.signal.Occupancy() {
		n.Load.Participants += participants
	}
	return []ClusterNode{n}
}

// Rooms implements Cluster.
func (a *alone) Rooms(context.Context) (rooms []ClusterRoom, silent []string) {
	for _, n := range a.Nodes() {
		for meeting, participants := range a.signal.Occupancy() {
			rooms = append(rooms, ClusterRoom{MeetingID: meeting, Node: n.ID, Participants: participants, Home: true})
		}
	}
	return rooms, nil
}

// Links implements Cluster: there is nobody to have one with.
func (a *alone) Links(context.Context) (links []ClusterLink, silent []string) { return nil, nil }

// People implements Cluster.
func (a *alone) People(context.Context, string) (int, error) { return a.signal.People(), nil }

// SetDraining implements Cluster. The joins that come all the same are let in: there is no other node for them.
func (a *alone) SetDraining(_ context.Context, _ string, draining bool) error {
	a.draining.Store(draining)
	return nil
}
