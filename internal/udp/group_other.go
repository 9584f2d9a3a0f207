//go:build !linux

package udp

import (
	"net"
	"sync"
)

// Group reads any number of Conns. Add and Remove are safe for concurrent use.
type Group[T any] struct {
	arrived chan arrival[T]
	closed  chan struct{}
	once    sync.Once
	wg      sync.WaitGroup

	mu      sync.Mutex
	members map[*Conn]chan struct{}
}

type arrival[T any] struct {
	tag  T
	m    Message
	done chan<- struct{} // the message's memory is free again
}

// NewGroup returns a group without members. The caller runs it, or closes it.
func NewGroup[T any]() (*Group[T], error) {
	return &Group[T]{arrived: make(chan arrival[T]), closed: make(chan struct{}), members: map[*Conn]chan struct{}{}}, nil
}

// Add has the group read c, which nobody else may read from now on; tag comes with its datagrams. The Conn stays the caller's:
// it removes it before it closes it.
func (g *Group[T]) Add(c *Conn, tag T) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.closed:
		return net.ErrClosed
	default:
	}
	gone := make(chan struct{})
	g.members[c] = gone
	g.wg.Go(func() { g.read(c, tag, gone) })
	return nil
}

func (g *Group[T]) read(c *Conn, tag T, gone <-chan struct{}) {
	ms := []Message{{Buf: make([]byte, 2048)}}
	done := make(chan struct{})
	for {
		if _, err := c.Read(ms); err != nil {
			return
		}
		select {
		case g.arrived <- arrival[T]{tag, ms[0], done}:
			<-done
		case <-gone:
			return
		case <-g.closed:
			return
		}
	}
}

// Remove takes c out. A call of read for it may still be under way.
func (g *Group[T]) Remove(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gone, ok := g.members[c]; ok {
		close(gone)
		delete(g.members, c)
	}
}

// Run calls read with the datagrams of each member that has some, and turn after each round of such calls, until Close.
func (g *Group[T]) Run(_ []Message, read func(tag T, ms []Message), turn func()) error {
	for {
		select {
		case a := <-g.arrived:
			read(a.tag, []Message{a.m})
			turn()
			a.done <- struct{}{}
		case <-g.closed:
			return nil
		}
	}
}

// Close ends Run.
func (g *Group[T]) Close() error {
	g.once.Do(func() { close(g.closed) })
	return nil
}
