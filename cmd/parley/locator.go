package main

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/parley-sfu/parley/api"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
)

// locator translates between placement, which knows neither HTTP nor tokens, and api.
type locator struct{ place places }

// places is placement for one node or for many.
type places interface {
	Candidates(ctx context.Context, hint placement.Hint) ([]placement.Node, error)
	Regions() []placement.Region
}

// Candidates implements api.Locator.
func (l locator) Candidates(ctx context.Context, req api.JoinRequest) ([]grant.Candidate, error) {
	nodes, err := l.place.Candidates(ctx, placement.Hint{Region: req.Region, RTTs: req.RegionRTTs, Remote: req.RemoteIP, Room: req.Room})
	if err != nil {
		return nil, err
	}
	candidates := make([]grant.Candidate, 0, len(nodes))
	for _, n := range nodes {
		candidates = append(candidates, grant.Candidate{
			Node: n.ID, Region: n.Region, SFUEndpoint: n.SFUEndpoint, SignalEndpoint: n.SignalEndpoint,
		})
	}
	return candidates, nil
}

// Regions implements api.Locator.
func (l locator) Regions() []api.Region {
	regions := make([]api.Region, 0, 1)
	for _, r := range l.place.Regions() {
		regions = append(regions, api.Region{Name: r.Name, ProbeURL: r.ProbeURL})
	}
	return regions
}

// newNodeID makes an id that no other node has.
func newNodeID() string { return "nd_" + strings.ToLower(rand.Text()[:12]) }
