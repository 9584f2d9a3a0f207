package main

import (
	"context"
	"errors"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/placement"
)

const (
	// busAlone is how long the bus has for an introduction before gossip carries it as well. With a bus that works it is enough
	// for all but the longest ways.
	busAlone = 250 * time.Millisecond
	// busAgain is when a bus that is away is asked again: the other node's release may not know of gossip's questions.
	busAgain = time.Second
)

// Introduce implements cascade.Introducer. The bus is asked first, and gossip, too, when the bus is away or slow: so a link can
// be made without NATS. The first answer counts; the other node gives the same one twice.
func (c *cluster) Introduce(ctx context.Context, id string, introduction []byte) ([]byte, error) {
	return introduce(ctx,
		func(ctx context.Context) ([]byte, error) { return c.bus.Request(ctx, linkSubject+id, introduction) },
		func(ctx context.Context) ([]byte, error) { return c.gossip.Ask(ctx, id, introduction) },
	)
}

// reply is what came back over one of the ways.
type reply struct {
	body []byte
	err  error
}

// introduce goes both ways until ctx ends.
func introduce(ctx context.Context, overBus, overGossip func(context.Context) ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of the way that was slower
	replies := make(chan reply, 2)
	ask := func(way func(context.Context) ([]byte, error)) {
		body, err := way(ctx)
		replies <- reply{body, err}
	}
	away := make(chan struct{}, 1) // holds an element when the bus is
	go ask(func(ctx context.Context) ([]byte, error) { return insist(ctx, overBus, away) })
	slow := time.NewTimer(busAlone)
	defer slow.Stop()
	var faults []error
	for gossiping := false; ; gossiping = true {
		select {
		case r := <-replies:
			if r.err == nil || errors.Is(r.err, bus.ErrRemote) || errors.Is(r.err, placement.ErrRefused) { // the node itself refuses
				return r.body, r.err
			}
			if faults = append(faults, r.err); len(faults) == 2 {
				return nil, errors.Join(faults...)
			}
		case <-slow.C:
		case <-away:
		}
		if !gossiping {
			go ask(overGossip)
		}
	}
}

// insist asks the bus again and again while it is away, and says that it is.
func insist(ctx context.Context, overBus func(context.Context) ([]byte, error), away chan<- struct{}) ([]byte, error) {
	for {
		body, err := overBus(ctx)
		if !errors.Is(err, bus.ErrUnavailable) {
			return body, err
		}
		select {
		case away <- struct{}{}:
		default:
		}
		select {
		case <-time.After(busAgain):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return nil, err
		}
	}
}
