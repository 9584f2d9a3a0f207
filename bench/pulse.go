package bench

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// The stages of a run.
const (
	stageWaiting   = "waiting for agents"
	stageJoining   = "joining"
	stageMeasuring = "measuring"
	stageLeaving   = "leaving"
)

// A pulse is how it goes with the people of one agent.
type pulse struct {
	Agent      string
	Stage      string
	Second     int // of the stage
	In         int // people
	Failed     int // joins
	Reconnects int
	Received   uint64 // packets since measuring began, likewise the following
	Missed     uint64
	Lost       uint64
	Voice      *tally // latency since the last pulse
	Video      *tally
	Own        Usage // since the last pulse
}

// beat sends a pulse a second until it is stopped, counted from a moment.
func (c *cast) beat(ctx context.Context, stage string, begin time.Time) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		own := newMeter()
		for second := 0; ; second++ {
			if pause(ctx, time.Until(begin.Add(time.Duration(second)*time.Second))) != nil {
				return
			}
			if second == 0 {
				c.times[timeVoice].take()
				c.times[timeVideo].take()
			}
			c.pulse(c.look(stage, second, own.read("")))
			own = newMeter()
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
}

// look takes one pulse.
func (c *cast) look(stage string, second int, own Usage) pulse {
	c.mu.Lock()
	k, all := c.counts, slices.Collect(maps.Values(c.people)) // who leaves now is counted once
	c.mu.Unlock()
	if now := time.Now(); stage == stageMeasuring {
		for _, p := range all {
			got := p.received.enter(now, p.SlotStats)
			k.add(&got)
		}
	}
	return pulse{
		Stage: stage, Second: second, In: len(all), Failed: k.Failed, Reconnects: k.Reconnects,
		Received: k.Received, Missed: k.Missed, Lost: k.Lost,
		Voice: c.times[timeVoice].take(), Video: c.times[timeVideo].take(), Own: own,
	}
}
