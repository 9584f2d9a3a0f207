package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/api"
	"github.com/parley-sfu/parley/node"
)

// reportSubject is where a node answers what it carries.
const reportSubject = "parley.report." // + node

// report is what one node carries.
type report struct {
	Rooms []api.ClusterRoom `json:"rooms"`
	Links []api.ClusterLink `json:"links"`
}

// Rooms implements api.Cluster.
func (c *cluster) Rooms(ctx context.Context) (rooms []api.ClusterRoom, silent []string) {
	reports, silent := c.gather(ctx)
	for _, r := range reports {
		rooms = append(rooms, r.Rooms...)
	}
	return rooms, silent
}

// Links implements api.Cluster.
func (c *cluster) Links(ctx context.Context) (links []api.ClusterLink, silent []string) {
	reports, silent := c.gather(ctx)
	for _, r := range reports {
		for _, l := range r.Links {
			l.Role = cmp.Or(l.Role, api.LinkStandby) // an older node does not say
			links = append(links, l)
		}
	}
	return links, silent
}

// own is what this node carries.
func (c *cluster) own() report {
	var r report
	rooms := c.occupancy()
	homes := c.homes()
	for _, meeting := range homes {
		rooms[meeting] += 0 // also without anybody here
	}
	for meeting, people := range rooms {
		r.Rooms = append(r.Rooms, api.ClusterRoom{
			MeetingID: meeting, Node: c.id, Participants: people, Home: slices.Contains(homes, meeting),
		})
	}
	if c.node == nil {
		return r
	}
	for _, l := range c.node.LinkStats() {
		peer, _ := c.gossip.Lookup(l.Peer)
		r.Links = append(r.Links, api.ClusterLink{
			Node: c.id, Peer: l.Peer, Region: peer.Region, Up: l.Up, SentBytes: l.Sent, ReceivedBytes: l.Received,
			Role: roleOf(l), RTT: float64(l.RTT) / float64(time.Millisecond), PulledTracks: l.PulledTracks, PulledLayers: l.PulledLayers,
			ServedTracks: l.ServedTracks, ServedLayers: l.ServedLayers, RequestedPackets: l.Requested, ResentPackets: l.Resent,
		})
	}
	return r
}

// roleOf says which way tracks go over a link.
func roleOf(l node.LinkStats) api.LinkRole {
	switch pulls, serves := l.PulledTracks > 0, l.ServedTracks > 0; {
	case pulls && serves:
		return api.LinkBoth
	case pulls:
		return api.LinkParent
	case serves:
		return api.LinkChild
	}
	return api.LinkStandby
}

// gather asks all nodes at once what they carry.
func (c *cluster) gather(ctx context.Context) (reports []report, silent []string) {
	reports = []report{c.own()}
	var wg sync.WaitGroup
	var mu sync.Mutex // guards reports and silent
	for _, n := range c.gossip.Nodes() {
		if n.ID == c.id {
			continue
		}
		wg.Go(func() {
			r, err := c.ask(ctx, n.ID)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				c.log.Warn("a node does not say what it carries", "of_node", n.ID, "error", err)
				silent = append(silent, n.ID)
				return
			}
			reports = append(reports, r)
		})
	}
	wg.Wait()
	return reports, silent
}

func (c *cluster) ask(ctx context.Context, id string) (r report, err error) {
	body, err := c.bus.Request(ctx, reportSubject+id, nil)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("report: %w", err)
	}
	return r, nil
}

// asked answers another node's ask.
func (c *cluster) asked(context.Context, []byte) ([]byte, error) { return json.Marshal(c.own()) }
