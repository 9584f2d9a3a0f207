// Command measure runs the measurements that are too long for a test, each against real servers as processes of their own:
//
//	measure path       CPU of a forwarded packet: the floor, Parley, plain pion
//	measure curves     what a node uses against its viewers and cameras
//	measure soak       whether a node uses more and more while people come and go
//	measure rest-rate  meetings created at a steady rate
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

// A command is one measurement.
type command struct {
	name string
	run  func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func commands() []command {
	return []command{{"path", runPath}, {"curves", runCurves}, {"soak", runSoak}, {"rest-rate", runREST}}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var names []string
	for _, c := range commands() {
		if len(args) > 0 && args[0] == c.name {
			return c.run(ctx, args[1:], stdout, stderr)
		}
		names = append(names, c.name)
	}
	return fmt.Errorf("say what to measure: %v", names)
}
