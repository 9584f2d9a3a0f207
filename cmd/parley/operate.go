package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/parley-sfu/parley/api"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/placement"
)

// The part of cluster that operators see. It implements api.Cluster.

// Nodes implements api.Cluster.
func (c *cluster) Nodes() []api.ClusterNode {
	known := c.gossip.Nodes()
	nodes := make([]api.ClusterNode, 0, len(known))
	for _, n := range known {
		nodes = append(nodes, api.ClusterNode{
			ID: n.ID, Region: n.Region, SFUEndpoint: n.SFUEndpoint, SignalEndpoint: n.SignalEndpoint,
			Roles: append([]string{}, n.Roles...), Version: n.Version, Draining: n.Draining, Self: n.ID == c.id,
			Load: api.ClusterLoad{
				CPU: n.Load.CPU, PacketsPerSecond: n.Load.PacketsPerSecond, BitsPerSecond: n.Load.BitsPerSecond,
				Participants: n.Load.Participants,
			},
		})
	}
	return nodes
}

// SetDraining implements api.Cluster.
func (c *cluster) SetDraining(ctx context.Context, id string, draining bool) error {
	if id == c.id {
		c.gossip.SetDraining(draining)
		return nil
	}
	_, err := c.bus.Request(ctx, drainSubject+id, strconv.AppendBool(nil, draining))
	return err
}

// howMany asks a node how many people are on it. One of a release that does not know the question answers with an error.
const howMany = "people"

// People implements api.Cluster.
func (c *cluster) People(ctx context.Context, id string) (int, error) {
	if id == c.id {
		return c.people(), nil
	}
	if n, known := c.gossip.Lookup(id); known && n.Protocol == 0 {
		return n.Load.Participants, nil // as far as gossip knows
	}
	answer, err := c.bus.Request(ctx, drainSubject+id, []byte(howMany))
	if err != nil {
		return 0, err
	}
	people, err := strconv.Atoi(string(answer))
	if err != nil {
		return 0, fmt.Errorf("people on %s: %w", id, err)
	}
	return people, nil
}

// drained is told by another node what SetDraining was called with there, or asked what People wants to know.
func (c *cluster) drained(_ context.Context, b []byte) ([]byte, error) {
	if string(b) == howMany {
		return strconv.AppendInt(nil, int64(c.people()), 10), nil
	}
	draining, err := strconv.ParseBool(string(b))
	if err != nil {
		return nil, fmt.Errorf("drain: %w", err)
	}
	c.gossip.SetDraining(draining)
	return nil, nil
}

// sampleEvery is how often this node's load is measured; each measurement counts for an eighth.
const sampleEvery = time.Second

// sample tells the cluster how busy this node is, until ctx ends.
func (c *cluster) sample(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var load placement.Load
	before, at := c.traffic(), time.Now()
	cpu := processTime()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, traffic, used := time.Now(), c.traffic(), processTime()
		seconds := now.Sub(at).Seconds()
		smooth(&load.CPU, min(1, (used-cpu).Seconds()/seconds/float64(runtime.GOMAXPROCS(0))))
		smooth(&load.PacketsPerSecond, float64(traffic.Packets-before.Packets)/seconds)
		smooth(&load.BitsPerSecond, float64(traffic.Bytes-before.Bytes)*8/seconds)
		load.Participants = 0
		for _, people := range c.occupancy() {
			load.Participants += people
		}
		before, at, cpu = traffic, now, used
		c.gossip.SetLoad(load)
	}
}

// traffic is the media that this node has moved.
func (c *cluster) traffic() node.Traffic {
	if c.node == nil {
		return node.Traffic{}
	}
	return c.node.Traffic()
}

func smooth(to *float64, measured float64) { *to += (measured - *to) / 8 }

// processTime is the processor time that this process has used so far.
func processTime() time.Duration {
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
