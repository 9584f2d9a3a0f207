package main

import (
	"context"
	"sync"

	"github.com/parley-sfu/parley/bench"
	"github.com/parley-sfu/parley/bench/lean"
)

// receivers starts a fleet of lean receivers, which the caller dismisses once all of them have left.
func receivers(ctx context.Context) (join bench.Connector, dismiss func(), err error) {
	fleet, err := lean.New(lean.Config{})
	if err != nil {
		return nil, nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { _ = fleet.Run(running) }) // which only ends when it is stopped
	return bench.Lean(fleet), func() { stop(); wg.Wait() }, nil
}
