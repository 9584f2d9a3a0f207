package path

import (
	"context"
	"errors"

	"github.com/parley-sfu/parley/bench/server"
)

// newFloor starts the floor with a sink for each viewer of a load.
func newFloor(ctx context.Context, binary string, load Load) (c *contender, err error) {
	c = &contender{name: Floor, floor: &floorRun{}, viewers: load.Viewers}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	sinks := c.attend(ctx)
	for range load.Viewers {
		s, err := sinks.open()
		if err != nil {
			return nil, err
		}
		c.later(s.Close)
		c.floor.to = append(c.floor.to, s.address())
	}
	if c.process, err = server.Start(ctx, binary); err != nil {
		return nil, err
	}
	c.later(c.process.Stop)
	return c, nil
}

// withOffload is the same floor, sending runs of equal datagrams as one message.
func (c *contender) withOffload() *contender {
	return &contender{
		name: Offload, process: c.process, people: c.people, viewers: c.viewers, floor: &floorRun{to: c.floor.to, offload: true},
	}
}
