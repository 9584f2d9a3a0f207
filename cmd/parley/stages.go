package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// stage is one living part of the process. Its run blocks until its context ends.
type stage struct {
	name  string
	run   func(ctx context.Context) error
	ready <-chan struct{} // closed once others can stand on it; nil: at once
}

const (
	// stopLimit is how long one stage may take to stop before the next one is told to.
	stopLimit = 8 * time.Second
	// readyLimit is how long the next stage waits for one to be ready. It starts all the same: what it needs may come
	// later, and until then /readyz says what is missing.
	readyLimit = 2 * time.Second
)

// runStages starts the stages in their order and blocks until ctx ends or one of them breaks. Then it stops them in
// reverse, each before the one that it stands on, and waits for each no longer than stopLimit. It returns nil when it
// was asked to stop and every stage stopped well.
func runStages(ctx context.Context, log *slog.Logger, stages []stage) error {
	broken := make(chan error, len(stages))
	var running []runningStage
	for _, s := range stages {
		if ctx.Err() != nil || len(broken) > 0 {
			break
		}
		running = append(running, start(context.WithoutCancel(ctx), s, broken))
		s.awaitReady(ctx)
	}

	var faults []error
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case err := <-broken:
		log.Error("a part of the node broke, stopping", "error", err)
		faults = append(faults, err)
	}
	for _, s := range slices.Backward(running) {
		faults = append(faults, s.stop())
	}
	for len(broken) > 0 {
		faults = append(faults, <-broken)
	}
	return errors.Join(faults...)
}

// awaitReady waits until others can stand on the stage, but not for ever.
func (s stage) awaitReady(ctx context.Context) {
	if s.ready == nil {
		return
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
	case <-time.After(readyLimit):
	}
}

// runningStage is a stage that was started.
type runningStage struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
}

// start runs the stage in a goroutine of its own. A stage that returns before it was asked to, or with an error, is
// reported to broken.
func start(ctx context.Context, s stage, broken chan<- error) runningStage {
	ctx, cancel := context.WithCancel(ctx)
	r := runningStage{name: s.name, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		err := s.run(ctx)
		if err == nil && ctx.Err() == nil {
			err = errors.New("ended by itself")
		}
		if err != nil {
			broken <- fmt.Errorf("%s: %w", s.name, err)
		}
	}()
	return r
}

func (r runningStage) stop() error {
	r.cancel()
	select {
	case <-r.done:
		return nil
	case <-time.After(stopLimit):
		return fmt.Errorf("%s: did not stop within %s", r.name, stopLimit)
	}
}
