package path

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/rtp"

	"github.com/parley-sfu/parley/bench/server"
)

// A source takes the packets of one publisher. The packet is not kept.
type source interface {
	WriteRTP(packet *rtp.Packet) error
}

// A contender is a server with a whole room in it, ready to be measured.
type contender struct {
	name    string
	process *server.Process
	people  audience
	sources []source  // of the publishers; none at the floor, which needs no packets to send some
	floor   *floorRun // of the floor alone
	viewers int
	pump    *pump // nil before the first packet

	end []func() error // in the order in which they were made
}

// floorRun is how the floor sends.
type floorRun struct {
	to      []netip.AddrPort
	offload bool
}

// settleLimit is for all viewers to receive, and for all packets of a window to have come.
const settleLimit = time.Minute

// later has close call a function.
func (c *contender) later(f func() error) { c.end = append(c.end, f) }

// close ends everything, the last first.
func (c *contender) close() error {
	var err error
	for _, end := range slices.Backward(c.end) {
		err = errors.Join(err, end())
	}
	return err
}

// attend has sinks read until the contender is closed.
func (c *contender) attend(ctx context.Context) *sweeper {
	w := newSweeper()
	c.people = w
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx)
	}()
	c.later(func() error { stop(); <-done; return nil })
	return w
}
