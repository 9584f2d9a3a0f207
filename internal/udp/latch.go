package udp

import "sync"

// latch is a flag that can be waited for and is set once.
type latch struct {
	once sync.Once
	done chan struct{} // closed when set
}

func newLatch() *latch { return &latch{done: make(chan struct{})} }

func (l *latch) set() { l.once.Do(func() { close(l.done) }) }
