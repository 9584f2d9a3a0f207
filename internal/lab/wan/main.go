// Command wan is the lab's network between regions, in a process of its own. It is steered over its standard input and output
// (network.Control), until they end.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/parley-sfu/parley/internal/lab/network"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "wan:", err)
		os.Exit(1)
	}
}

func run() error {
	wan, err := network.New()
	if err != nil {
		return err
	}
	control, err := wan.Control()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		control.ServeConn(standard{os.Stdin, os.Stdout})
		stop()
	}()
	wan.Run(ctx)
	return nil
}

// standard is this process's input and output.
type standard struct {
	io.Reader
	io.Writer
}

// Close implements io.Closer; there is nothing to do.
func (standard) Close() error { return nil }
