// Package mailbox runs functions one at a time and in order, beside whoever posts them: how a part tells another something
// without waiting for it, and without holding its own locks meanwhile.
package mailbox

import "sync"

// Mailbox is ready to use as its zero value. Its goroutine exists only while there is something to run. It is safe for
// concurrent use, and what it runs may post.
type Mailbox struct {
	mu      sync.Mutex
	queue   []func()
	running bool
}

// Post never blocks. Whoever posts bounds how much: the mailbox does not.
func (m *Mailbox) Post(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(m.queue, f)
	if !m.running {
		m.running = true
		go m.run()
	}
}

func (m *Mailbox) run() {
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
