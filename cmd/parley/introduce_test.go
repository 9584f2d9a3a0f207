package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/placement"
)

func TestIntroductionsTakeTwoWays(t *testing.T) {
	away, busy := fmt.Errorf("cut: %w", bus.ErrUnavailable), fmt.Errorf("busy: %w", bus.ErrRemote)
	type way struct {
		takes time.Duration
		err   error
		until int // so often it is err, unless this is 0
	}
	const never = time.Hour
	for name, tc := range map[string]struct {
		bus, gossip way
		want        string
		err         error
		took        time.Duration
	}{
		"the bus answers":                     {bus: way{takes: 100 * time.Millisecond}, gossip: way{takes: never}, want: "bus", took: 100 * time.Millisecond},
		"the bus is away":                     {bus: way{err: away}, gossip: way{takes: 80 * time.Millisecond}, want: "gossip", took: 80 * time.Millisecond},
		"the bus says nothing":                {bus: way{takes: never}, gossip: way{takes: 80 * time.Millisecond}, want: "gossip", took: busAlone + 80*time.Millisecond},
		"the bus is slow":                     {bus: way{takes: 300 * time.Millisecond}, gossip: way{takes: never}, want: "bus", took: 300 * time.Millisecond},
		"gossip is not answered, the bus is":  {bus: way{takes: 3 * time.Second}, gossip: way{takes: never}, want: "bus", took: 3 * time.Second},
		"the bus is away after a while":       {bus: way{takes: 700 * time.Millisecond, err: away}, gossip: way{takes: time.Second}, want: "gossip", took: busAlone + time.Second},
		"the node refuses":                    {bus: way{takes: time.Millisecond, err: busy}, gossip: way{takes: never}, err: bus.ErrRemote, took: time.Millisecond},
		"the node refuses over gossip":        {bus: way{takes: never}, gossip: way{err: placement.ErrRefused}, err: placement.ErrRefused, took: busAlone},
		"the bus is away all the time":        {bus: way{err: away}, gossip: way{takes: never}, err: bus.ErrUnavailable, took: 5 * time.Second},
		"an older node, and the bus is back":  {bus: way{takes: 10 * time.Millisecond, err: away, until: 3}, gossip: way{takes: never}, want: "bus", took: 3*busAgain + 40*time.Millisecond},
		"nobody answers until the time is up": {bus: way{takes: never}, gossip: way{takes: never}, err: context.DeadlineExceeded, took: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				over := func(name string, w way) func(context.Context) ([]byte, error) {
					tries := 0
					return func(ctx context.Context) ([]byte, error) {
						select {
						case <-ctx.Done():
							return nil, ctx.Err()
						case <-time.After(w.takes):
						}
						if tries++; w.err != nil && (w.until == 0 || tries <= w.until) {
							return nil, w.err
						}
						return []byte(name), nil
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				start := time.Now()
				got, err := introduce(ctx, over("bus", tc.bus), over("gossip", tc.gossip))
				if string(got) != tc.want || !errors.Is(err, tc.err) {
					t.Errorf("%q, %v, want %q, %v", got, err, tc.want, tc.err)
				}
				if took := time.Since(start); took != tc.took {
					t.Errorf("it took %s, want %s", took, tc.took)
				}
			})
		})
	}
}
