package node

import "sync"

// mailbox runs functions one at a time and in order, on a goroutine that exists only while there are any: how a peer or
// a room tells its owner something without waiting for it.
type mailbox struct {
	mu      sync.Mutex
	queue   []func()
	running bool
}

// post never blocks.
func (m *mailbox) post(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(m.queue, f)
	if !m.running {
		m.running = true
		go m.run()
	}
}

func (m *mailbox) run() {
	for {
		m.mu.Lock()
		if len(m.queue) == 0 {
			m.running, m.queue = false, nil
			m.mu.Unlock()
			return
		}
		f := m.queue[0]
		m.queue = m.queue[1:]
		m.mu.Unlock()
		f()
	}
}
