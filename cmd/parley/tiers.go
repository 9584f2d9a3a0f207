package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/signal"
	"github.com/parley-sfu/parley/signal/sfu"
)

// tiers are the two ends of media over the bus: what this node's signalling uses of other nodes, and what this node's SFU does
// for them. A node on its own has neither.
type tiers struct {
	fleet  *sfu.Fleet
	server *sfu.Server // nil for a node without media
}

func newTiers(media signal.Media, b *bus.Bus, nodes sfu.Cluster, id string, speakers *signal.Speakers, log *slog.Logger) tiers {
	t := tiers{fleet: sfu.NewFleet(b, nodes, id, log)}
	if media != nil {
		t.server = sfu.NewServer(media, b, nodes, id, log)
		speakers.Listen(t.server.SpeakersChanged)
	}
	return t
}

// run serves both ends until ctx ends or one of them breaks.
func (t tiers) run(ctx context.Context) error {
	own, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for _, end := range t.ends() {
		wg.Go(func() { stop(end(own)) })
	}
	<-own.Done()
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(own)
}

func (t tiers) ends() (runs []func(context.Context) error) {
	if t.fleet != nil {
		runs = append(runs, t.fleet.Run)
	}
	if t.server != nil {
		runs = append(runs, t.server.Run)
	}
	return runs
}

// endpoint is where clients reach this node's media, or empty.
func (p *process) endpoint() string {
	if p.node == nil {
		return ""
	}
	return p.node.Endpoint()
}

func (p *process) runMedia(ctx context.Context) error {
	if p.node == nil {
		<-ctx.Done()
		return nil
	}
	return p.node.Run(ctx)
}

func (p *process) runSignal(ctx context.Context) error {
	if p.signal == nil {
		<-ctx.Done()
		return nil
	}
	return p.signal.Run(ctx)
}

// occupancy counts, by room, who is seated through this node and whose media it carries for others.
func (p *process) occupancy() map[string]int {
	rooms := map[string]int{}
	if p.signal != nil {
		rooms = p.signal.Occupancy()
	}
	if p.tiers.server != nil {
		for room, peers := range p.tiers.server.Occupancy() {
			rooms[room] += peers
		}
	}
	return rooms
}

// people counts who is on this node: with a socket, or expected back, and those whose media it carries for others.
func (p *process) people() (n int) {
	if p.signal != nil {
		n = p.signal.People()
	}
	if p.tiers.server != nil {
		for _, peers := range p.tiers.server.Occupancy() {
			n += peers
		}
	}
	return n
}

// homes are the meetings whose home this node is.
func (p *process) homes() []string {
	if p.signal == nil {
		return nil
	}
	return p.signal.Homes()
}
