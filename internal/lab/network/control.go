package network

import (
	"net/rpc"

	"golang.org/x/sys/unix"
)

// Control lets another process steer a WAN (net/rpc), as "WAN".
type Control struct{ wan *WAN }

// Pair is the arguments of Control.Set, Control.SetOneWay and Control.Passages.
type Pair struct {
	A, B int
	Path Path
}

// Cut is the arguments of Control.SetDown.
type Cut struct {
	Number int
	Down   bool
}

// Nothing is no arguments, or no answer.
type Nothing struct{}

// Control returns a server that steers the WAN.
func (w *WAN) Control() (*rpc.Server, error) {
	server := rpc.NewServer()
	return server, server.RegisterName("WAN", &Control{w})
}

// Attach is WAN.Attach.
func (c *Control) Attach(e End, number *int) (err error) {
	*number, err = c.wan.Attach(e)
	return err
}

// SetAll is WAN.SetAll.
func (c *Control) SetAll(each Path, _ *Nothing) error {
	c.wan.SetAll(each)
	return nil
}

// Set is WAN.Set.
func (c *Control) Set(p Pair, _ *Nothing) error {
	c.wan.Set(p.A, p.B, p.Path)
	return nil
}

// SetOneWay is WAN.SetOneWay, from A to B.
func (c *Control) SetOneWay(p Pair, _ *Nothing) error {
	c.wan.SetOneWay(p.A, p.B, p.Path)
	return nil
}

// Passages is WAN.Passages, from A to B.
func (c *Control) Passages(p Pair, all *[]Passage) error {
	*all = c.wan.Passages(p.A, p.B)
	return nil
}

// Rebind is WAN.Rebind.
func (c *Control) Rebind(number int, _ *Nothing) error {
	c.wan.Rebind(number)
	return nil
}

// SetDown is WAN.SetDown.
func (c *Control) SetDown(r Cut, _ *Nothing) error {
	c.wan.SetDown(r.Number, r.Down)
	return nil
}

// Flows is WAN.Flows.
func (c *Control) Flows(_ Nothing, all *[]Counted) error {
	*all = c.wan.Flows()
	return nil
}

// Late is WAN.Late, in nanoseconds.
func (c *Control) Late(_ Nothing, late *int64) error {
	*late = int64(c.wan.Late())
	return nil
}

// CPU is what this process has used of the processors, in nanoseconds.
func (c *Control) CPU(_ Nothing, used *int64) error {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	*used = usage.Utime.Nano() + usage.Stime.Nano()
	return nil
}
