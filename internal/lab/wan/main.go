// Command wan is the lab's network between regions, in a process of its own. Its arguments are the regions' prefixes; their
// TUN devices are its files from 3 on; over its standard input and output it is steered (network.Control), until they end.
package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/parley-sfu/parley/internal/lab/network"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "wan:", err)
		os.Exit(1)
	}
}

func run(prefixes []string) error {
	var ends []network.End
	for i, text := range prefixes {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return err
		}
		ends = append(ends, network.End{Prefix: prefix, TUN: 3 + i})
	}
	wan, err := network.New(ends)
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
