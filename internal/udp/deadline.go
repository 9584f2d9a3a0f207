package udp

import (
	"sync"
	"time"
)

// latch is a flag that can be waited for and is set once.
type latch struct {
	once sync.Once
	done chan struct{} // closed when set
}

func newLatch() *latch { return &latch{done: make(chan struct{})} }

func (l *latch) set() { l.once.Do(func() { close(l.done) }) }

func (l *latch) isSet() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// deadline is a moment that can be moved, also while somebody waits for it.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	moves int           // how often set was called
	ch    chan struct{} // closed when the moment has passed, and replaced when it is moved after that
}

func newDeadline() deadline { return deadline{ch: make(chan struct{})} }

// passed is closed once the moment has passed.
func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ch
}

// set moves the moment to t; the zero time never comes.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.moves++
	if d.timer != nil {
		d.timer.Stop()
	}
	select {
	case <-d.ch:
		d.ch = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		close(d.ch)
		return
	}
	moves := d.moves
	d.timer = time.AfterFunc(left, func() { d.expire(moves) })
}

// expire closes the channel, unless the moment was moved while the timer went off.
func (d *deadline) expire(moves int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.moves == moves {
		close(d.ch)
	}
}
