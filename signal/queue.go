package signal

import (
	"encoding/json"
	"sync"

	"github.com/parley-sfu/parley/signal/wire"
)

// outbound is a message on its way to one socket.
type outbound struct {
	head wire.Envelope
	body any // json.RawMessage, or a struct of package wire
}

// size is what the message counts for in a queue: shared bodies are what piles up; structs are few.
func (o outbound) size() int {
	raw, _ := o.body.(json.RawMessage)
	return len(raw)
}

func (o outbound) encode() ([]byte, error) {
	if raw, ok := o.body.(json.RawMessage); ok {
		return wire.Join(o.head, raw)
	}
	return wire.Encode(o.head, o.body)
}

// queue holds what waits for one socket's writer, up to a number of messages and of bytes. It takes memory only while
// something waits.
type queue struct {
	maxMessages, maxBytes int

	mu     sync.Mutex
	items  []outbound
	bytes  int
	closed bool
}

func newQueue(maxMessages, maxBytes int) *queue {
	return &queue{maxMessages: maxMessages, maxBytes: maxBytes}
}

// push appends, and is false when there is no room. One message always has room, and a closed queue swallows all.
func (q *queue) push(o outbound) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return true
	}
	size := o.size()
	if n := len(q.items); n > 0 && (n >= q.maxMessages || q.bytes+size > q.maxBytes) {
		return false
	}
	q.items = append(q.items, o)
	q.bytes += size
	return true
}

// pop takes the oldest.
func (q *queue) pop() (outbound, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return outbound{}, false
	}
	o := q.items[0]
	q.items[0] = outbound{}
	q.items = q.items[1:]
	q.bytes -= o.size()
	if len(q.items) == 0 {
		q.items = nil
	}
	return o, true
}

// close drops what waits and whatever comes.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.items, q.bytes = true, nil, 0
}

// waiting is how many messages wait.
func (q *queue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}
