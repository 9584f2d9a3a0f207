package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/bench/rate"
	"github.com/parley-sfu/parley/bench/server"
)

// runREST creates meetings at a steady rate on a real node, whose store puts each on disk before it answers.
func runREST(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	set := flag.NewFlagSet("measure rest-rate", flag.ContinueOnError)
	set.SetOutput(stderr)
	perSecond := set.Float64("rate", 500, "meetings a second")
	long := set.Duration("for", time.Minute, "how long")
	p99 := set.Duration("p99", 80*time.Millisecond, "the 99th percentile must be below this")
	if err := set.Parse(args); err != nil {
		return err
	}
	node, err := startParley(ctx)
	if err != nil {
		return err
	}
	report, readBack, err := createMeetings(ctx, node, *perSecond, *long)
	if err = errors.Join(err, node.Stop()); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "meetings created at %g a second for %s: %s\n%s\n", *perSecond, *long, report, readBack)
	const kept = 0.99                      // of the rate
	const punctual = 40 * time.Millisecond // half of what an answer may take
	switch {
	case report.Late > punctual:
		return fmt.Errorf("the figures are not valid: this program asked up to %s late", report.Late)
	case report.Failed > 0:
		return fmt.Errorf("%d meetings were not created: %w", report.Failed, report.Fault)
	case report.P99 >= *p99:
		return fmt.Errorf("p99 is %s, not below %s", report.P99, *p99)
	case report.Rate() < kept**perSecond:
		return fmt.Errorf("%.1f a second were created, fewer than %g", report.Rate(), *perSecond)
	}
	return nil
}

func startParley(ctx context.Context) (*server.Parley, error) {
	binary, err := build(ctx, "cmd/parley")
	if err != nil {
		return nil, err
	}
	return server.StartParley(ctx, binary)
}

// createMeetings asks for meetings over kept-alive connections, and reads the last one back.
func createMeetings(ctx context.Context, node *server.Parley, perSecond float64, long time.Duration) (r rate.Report, said string, err error) {
	if transport, ok := http.DefaultTransport.(*http.Transport); ok {
		transport.MaxIdleConnsPerHost = 256 // node.Call uses it
	}
	const guests = 10
	if _, err := node.Meeting(ctx, guests, 1); err != nil { // the first opens the store
		return r, "", err
	}
	before, err := node.CPU()
	if err != nil {
		return r, "", err
	}
	var last atomic.Pointer[string]
	r = rate.Run(ctx, perSecond, long, func(ctx context.Context) error {
		id, err := node.Meeting(ctx, guests, 1)
		if err == nil {
			last.Store(&id)
		}
		return err
	})
	used, err := node.CPU()
	if err != nil || last.Load() == nil {
		return r, "", errors.Join(err, r.Fault)
	}
	err = node.Call(ctx, http.MethodGet, "/v1/meetings/"+*last.Load(), nil, nil)
	return r, fmt.Sprintf("the node used %.2f cores, %.2f ms a meeting", (used-before).Seconds()/r.Took.Seconds(),
		float64(used-before)/float64(time.Millisecond)/float64(max(r.Asked, 1))), err
}
