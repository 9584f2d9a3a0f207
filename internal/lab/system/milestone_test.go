package system_test

import (
	"iter"
	"time"
)

// milestone is something that becomes true some time.
type milestone struct {
	what    string
	is      func() bool
	reached bool
	at      time.Time // when it was seen to be, or waiting ended
}

// await polls until it is true, or so much time has passed.
func (m milestone) await(limit time.Duration) milestone {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(limit); ; <-poll.C {
		if m.reached = m.is(); m.reached || time.Now().After(end) {
			break
		}
	}
	m.at = time.Now()
	return m
}

// together awaits all milestones at the same time and yields them in the order in which they are reached.
func together(limit time.Duration, all ...milestone) iter.Seq[milestone] {
	reached := make(chan milestone, len(all))
	for _, m := range all {
		go func() { reached <- m.await(limit) }()
	}
	return func(yield func(milestone) bool) {
		for range all {
			if !yield(<-reached) {
				return
			}
		}
	}
}
