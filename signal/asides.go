package signal

import (
	"context"
	"sync"
)

// asides is work that nobody waits for, until the Service stops. It is safe for concurrent use, under any lock.
type asides struct {
	spawn func(f func(ctx context.Context))
	halt  context.CancelFunc

	mu      sync.Mutex
	stopped bool
	wg      sync.WaitGroup // added to under mu while not stopped
}

func newAsides() *asides {
	ctx, halt := context.WithCancel(context.Background())
	a := &asides{halt: halt}
	a.spawn = func(f func(ctx context.Context)) { a.wg.Go(func() { f(ctx) }) }
	return a
}

// start runs f on a goroutine of its own. It is false when the Service has stopped.
func (a *asides) start(f func(ctx context.Context)) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return false
	}
	a.spawn(f)
	return true
}

// end stops what runs, and waits for it.
func (a *asides) end() {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.halt()
	a.wg.Wait()
}
