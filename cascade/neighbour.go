package cascade

import (
	"context"
	"errors"
	"slices"
	"time"
)

// neighbour is what a Manager knows of its links with one other node. The Manager's mutex guards it.
type neighbour struct {
	link   *Link // the last that came up; it may be dead
	coming *Link // the last that was made and has not come up; it may be dead
	call   *call // nil while this node does not call
	pause  time.Duration
	next   time.Time      // no call before
	met    *acquaintance  // the last introduction of the other node that was taken
	past   []introduction // those before it, newest last
}

// acquaintance is an introduction of another node that made a link.
type acquaintance struct {
	theirs introduction
	own    []byte // the answer
	link   *Link  // nil once it is dead
}

// maxPast bounds the introductions that are remembered: one that comes late must not take the place of a newer one.
const maxPast = 8

// errRepeated refuses a link of an introduction that has made one.
var errRepeated = errors.New("the introduction was answered before")

// call is this node's attempt to make a link.
type call struct {
	peer     string
	cancel   context.CancelFunc
	wait     time.Duration // before it begins
	speaking bool          // the other node may have heard of it; guarded by the Manager's mutex
}

// The time between two calls to a node doubles from least to most while no link comes up.
const (
	leastPause = 50 * time.Millisecond
	mostPause  = time.Second
)

// pauseLocked returns how long the next call has to wait, and puts off the one after it.
func (n *neighbour) pauseLocked(now time.Time) (wait time.Duration) {
	wait = max(0, n.next.Sub(now))
	n.pause = min(max(2*n.pause, leastPause), mostPause)
	n.next = now.Add(wait + n.pause)
	return wait
}

// calling reports whether the other node may be about to take this node's call. That does not end with its answer: an
// introduction that it sent before it had heard of the call may still be on its way.
func (n *neighbour) calling() bool {
	return n.call != nil && n.call.speaking || n.coming.alive() && n.coming.called
}

func (c *call) pause(ctx context.Context) error {
	timer := time.NewTimer(c.wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// speak notes that the other node is about to hear of a call. It returns false when the other's own call came first.
func (m *Manager) speak(c *call) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.speaking = m.neighbourLocked(c.peer).call == c
	return c.speaking
}

// neighbourLocked returns what is known of a node. Nodes that there is nothing to know of any more are forgotten when a
// new one comes.
func (m *Manager) neighbourLocked(node string) *neighbour {
	if n := m.neighbours[node]; n != nil {
		return n
	}
	now := time.Now()
	for id, n := range m.neighbours {
		if n.link == nil && n.coming == nil && n.call == nil && now.After(n.next) {
			delete(m.neighbours, id)
		}
	}
	n := &neighbour{}
	m.neighbours[node] = n
	return n
}

// adopt makes a new link the one that is on its way to its node, and watches over it until it is dead and closed. The
// link came of this node's own call, or (mine is nil) of the other's, which met describes. A link that is up stays until the
// new one is: an introduction that comes late or to nothing changes nothing.
func (m *Manager) adopt(l *Link, mine *call, met *acquaintance) error {
	m.mu.Lock()
	n := m.neighbourLocked(l.Peer)
	var err error
	switch theirs := mine == nil; {
	case m.ctx == nil || m.closed:
		err = ErrStopped
	case theirs && n.knows(met.theirs):
		err = errRepeated
	case theirs && m.node < l.Peer && n.calling(), !theirs && n.call != mine:
		err = ErrBusy
	}
	if err != nil {
		m.mu.Unlock()
		return err
	}
	l.called = mine != nil
	if met != nil {
		n.meet(met)
	}
	given, replaced := n.call, n.coming
	n.call, n.coming = nil, l
	m.running.Go(func() { m.attend(l) })
	m.mu.Unlock()
	if given != nil && given != mine {
		given.cancel()
	}
	if replaced != nil {
		replaced.die(errDead)
	}
	return nil
}

// repeated returns the answer to an introduction that was taken before, or nil. Where its link is dead by now, or a newer
// introduction has come, nothing comes of it any more.
func (m *Manager) repeated(other introduction) (own []byte, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.neighbours[other.From]
	switch {
	case n == nil || !n.knows(other):
		return nil, nil
	case n.met.theirs != other || !n.met.link.alive():
		return nil, errDead
	}
	return n.met.own, nil
}

// knows reports whether an introduction was taken before.
func (n *neighbour) knows(other introduction) bool {
	return n.met != nil && n.met.theirs == other || slices.Contains(n.past, other)
}

// meet notes an introduction that is taken.
func (n *neighbour) meet(with *acquaintance) {
	if n.met != nil {
		n.past = append(n.past[max(0, len(n.past)-maxPast+1):], n.met.theirs)
	}
	n.met = with
}

// attend sees a link through its life.
func (m *Manager) attend(l *Link) {
	l.watch()
	if err := l.transport.Close(); err != nil {
		l.log.Debug("close link", "error", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.neighbourLocked(l.Peer)
	if n.link == l {
		n.link = nil
	}
	if n.coming == l {
		n.coming = nil
	}
	if n.met != nil && n.met.link == l {
		n.met.link = nil
	}
}

// rise gives a link that has come up its place, and returns when the handler has been told that the one before it is
// dead. It returns false when a newer link is on its way, or the Manager stops.
func (m *Manager) rise(l *Link) bool {
	m.mu.Lock()
	n := m.neighbourLocked(l.Peer)
	if m.closed || n.coming != l {
		m.mu.Unlock()
		return false
	}
	old := n.link
	n.link, n.coming, n.pause = l, nil, 0
	m.mu.Unlock()
	if old != nil {
		old.die(errDead)
		<-old.told
	}
	return true
}
