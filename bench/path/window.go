package path

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// srtpBytes is what RTP's header and AES-GCM's tag add to a payload.
const srtpBytes = 12 + 16

// floorRunLength is how many equal datagrams to one address the floor sends in a row, as HOTPATH's table has it: a frame of 1.7
// Mbit/s video, or a microphone packet of eight people who speak.
const floorRunLength = 8

// A window is one measurement of one contender.
type window struct {
	volume

	cpu    time.Duration // of the whole process
	took   time.Duration
	others float64 // part of the machine that programs took which have nothing to do with it
}

// micros is the CPU time of a forwarded packet.
func (w window) micros() float64 {
	return float64(w.cpu) / float64(time.Microsecond) / float64(w.forwarded)
}

// cores is how much of a core the process used.
func (w window) cores() float64 { return w.cpu.Seconds() / w.took.Seconds() }

// measure drives a contender for a time, flat out or at the load's pace, waits until all of it has come, and accounts for it.
func (c *contender) measure(ctx context.Context, load Load, paced bool, long time.Duration) (w window, err error) {
	if err := c.rouse(load); err != nil {
		return w, fmt.Errorf("%s: %w", c.name, err)
	}
	before, begun := c.people.tally(), thisMoment()
	cpu, err := c.process.CPU()
	if err != nil {
		return w, err
	}
	p := c.pumping(load)
	switch {
	case c.floor != nil:
		w.published, err = c.runFloor(load, paced, long)
	case paced:
		w.published, err = p.paced(ctx, long)
	default:
		w.published, w.stalls, err = p.flatOut(ctx, long)
	}
	if err != nil {
		return w, fmt.Errorf("%s: %w", c.name, err)
	}
	wanted := w.published * uint64(c.viewers)
	if c.floor != nil {
		wanted = w.published
	}
	p.drain(before, wanted)
	now, err := c.process.CPU()
	if err != nil {
		return w, err
	}
	end := thisMoment()
	w.cpu, w.took = now-cpu, end.at.Sub(begun.at)
	w.others = end.others(begun, w.cpu)
	after := c.people.tally()
	w.dropped = after.dropped - before.dropped
	w.forwarded = after.read - before.read + w.dropped
	return w, w.check(c.name, float64(wanted))
}

// check refuses a window whose figures would mean something else than they say.
func (w window) check(name string, wanted float64) error {
	const tolerated = 0.02 // of what was published: lost before the server, or sent twice
	switch got := float64(w.forwarded); {
	case w.forwarded == 0:
		return fmt.Errorf("%w: %s forwarded nothing", errSpoilt, name)
	case got < wanted*(1-tolerated) || got > wanted*(1+tolerated):
		return fmt.Errorf("%w: %s forwarded %.0f packets of %.0f (%d stalls)", errSpoilt, name, got, wanted, w.stalls)
	}
	return nil
}

// runFloor has the floor send for a time, and reads the sinks meanwhile. It counts each datagram as published.
func (c *contender) runFloor(load Load, paced bool, long time.Duration) (sent uint64, err error) {
	order := struct {
		To       []netip.AddrPort `json:"to"`
		Size     int              `json:"size"`
		Run      int              `json:"run"`
		Offload  bool             `json:"offload"`
		Interval time.Duration    `json:"interval"`
		Duration time.Duration    `json:"duration"`
	}{c.floor.to, load.Size + srtpBytes, floorRunLength, c.floor.offload, 0, long}
	if paced { // every publisher's burst by itself
		order.Run = load.Burst
		order.Interval = load.interval(true) / time.Duration(load.Publishers)
	}
	if err := c.process.Tell(order); err != nil {
		return 0, err
	}
	var answer struct{ Sent uint64 }
	done := make(chan error, 1)
	go func() { done <- c.process.Hear(long+settleLimit, &answer) }()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for seen := uint64(0); ; {
		select {
		case err := <-done:
			return answer.Sent, err
		case <-timer.C:
			media := c.people.sweep()
			if media == seen {
				timer.Reset(nap)
			} else {
				timer.Reset(0)
			}
			seen = media
		}
	}
}
