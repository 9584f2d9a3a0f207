package signal

import (
	"sync"
	"time"
)

// cycle calls a function again and again, each time so long after the last call has returned. Nobody waits in between.
type cycle struct {
	every time.Duration
	call  func()

	mu    sync.Mutex // held while the function runs, so that stop waits for it
	timer *time.Timer
	over  bool
}

// startCycle begins a cycle, which goes on until it is stopped. The function must not stop it.
func startCycle(every time.Duration, call func()) *cycle {
	c := &cycle{every: every, call: call}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(every, c.turn)
	return c
}

func (c *cycle) turn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.call()
	c.timer.Reset(c.every)
}

// stop ends the cycle. No call runs any more when it returns.
func (c *cycle) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.timer.Stop()
}
