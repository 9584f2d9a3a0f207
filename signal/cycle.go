package signal

import (
	"sync"
	"time"
)

// cycle calls a function again and again, each time so long after the last call has returned, or a little longer. Nobody waits in between.
type cycle struct {
	every   time.Duration
	running sync.WaitGroup // of one call at most; added to under mu, and never once over

	mu    sync.Mutex
	timer *time.Timer
	call  func() // nil once it is over: the runtime may keep a stopped timer, and what that leads to, until it would have been due
}

// startCycle begins a cycle, which goes on until it is stopped. The function must not stop it.
func startCycle(every time.Duration, call func()) *cycle {
	c := &cycle{every: every, call: call}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(c.wait(time.Now()), c.turn)
	return c
}

// together is the time between two moments at which cycles come due, all of them at the same: for each by itself, waking up would cost more
// than the call. It is short enough for few to come due at one.
const together = 250 * time.Millisecond

// wait is how long it takes from now until the next call.
func (c *cycle) wait(now time.Time) time.Duration {
	apart := min(together, c.every/16)
	due := now.Add(c.every)
	if beyond := due.Sub(due.Truncate(apart)); beyond > 0 {
		return c.every + apart - beyond
	}
	return c.every
}

func (c *cycle) turn() {
	c.mu.Lock()
	call := c.call
	if call == nil {
		c.mu.Unlock()
		return
	}
	c.running.Add(1)
	c.mu.Unlock()
	defer c.running.Done()
	call()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call != nil {
		c.timer.Reset(c.wait(time.Now()))
	}
}

// stop ends the cycle. No call runs any more when it returns.
func (c *cycle) stop() {
	c.mu.Lock()
	c.call = nil
	c.timer.Stop()
	c.mu.Unlock()
	c.running.Wait()
}
