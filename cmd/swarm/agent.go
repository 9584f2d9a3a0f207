package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/parley-sfu/parley/bench"
	"github.com/parley-sfu/parley/internal/bus"
)

const dialLimit = 10 * time.Second // for NATS to answer

// dial connects to NATS. The caller hangs up.
func dial(ctx context.Context, url string) (messenger bench.Messenger, hangUp func(), err error) {
	cfg := bus.Defaults()
	cfg.URL = url
	b, err := bus.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, fmt.Errorf("nats: %w", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	var (
		wg    sync.WaitGroup
		broke error // of the bus; known once it has stopped
	)
	wg.Go(func() { broke = b.Run(running) })
	hangUp = func() {
		stop()
		wg.Wait()
	}
	limit := time.After(dialLimit)
	for !b.Connected() {
		select {
		case <-b.Relinked():
		case <-time.After(dialLimit / 100):
		case <-ctx.Done():
			hangUp()
			return nil, nil, context.Cause(ctx)
		case <-limit:
			hangUp()
			return nil, nil, errors.Join(fmt.Errorf("nats: no connection within %s: is the address right, and the password?", dialLimit), broke)
		}
	}
	return b, hangUp, nil
}

// agent plays a part in one run.
func (c *cli) agent(ctx context.Context, stderr io.Writer) int {
	if c.NATS == "" {
		fmt.Fprintln(stderr, "swarm: nats: an agent needs to know where NATS is")
		return exitUsage
	}
	messenger, hangUp, err := dial(ctx, c.NATS)
	if err != nil {
		fmt.Fprintln(stderr, "swarm:", err)
		return exitFailed
	}
	defer hangUp()
	show := newView(stderr, c.Quiet)
	defer show.close()
	show.say("waiting for a coordinator")
	lean, dismiss, err := receivers(ctx)
	if err != nil {
		show.close()
		fmt.Fprintln(stderr, "swarm:", err)
		return exitFailed
	}
	defer dismiss()
	a := bench.Agent{Messenger: messenger, Tell: show.tell, Lean: lean}
	if err := a.Run(ctx); err != nil {
		show.close()
		fmt.Fprintln(stderr, "swarm:", err)
		return exitFailed
	}
	return exitOK
}
