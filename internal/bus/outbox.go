package bus

import (
	"sync"
	"sync/atomic"
)

// message is one publication.
type message struct {
	subject string
	data    []byte
}

// cost is what a message counts against the outbox's limit: its bytes, and something for keeping it.
func (m message) cost() int { return len(m.subject) + len(m.data) + 64 }

// outbox holds what was published until the network takes it. When it is full, the oldest goes: receivers want the
// newest state, and notice gaps.
type outbox struct {
	limit   int           // of the sum of costs
	wake    chan struct{} // holds one token while something may be waiting
	dropped atomic.Uint64

	mu    sync.Mutex // protects following
	queue []message
	cost  int
}

func newOutbox(limit int) *outbox {
	return &outbox{limit: limit, wake: make(chan struct{}, 1)}
}

// push adds m and never blocks.
func (o *outbox) push(m message) {
	o.mu.Lock()
	o.queue = append(o.queue, m)
	o.cost += m.cost()
	o.trimLocked()
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take empties the outbox, oldest message first.
func (o *outbox) take() []message {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.queue
	o.queue, o.cost = nil, 0
	return all
}

// putBack returns messages that could not be sent to the front.
func (o *outbox) putBack(unsent []message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range unsent {
		o.cost += m.cost()
	}
	o.queue = append(unsent, o.queue...)
	o.trimLocked()
}

func (o *outbox) trimLocked() {
	n := 0
	for n < len(o.queue) && o.cost > o.limit {
		o.cost -= o.queue[n].cost()
		o.queue[n] = message{} // lets go of the data at once
		n++
	}
	o.queue = o.queue[n:]
	o.dropped.Add(uint64(n))
}
