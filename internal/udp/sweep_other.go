//go:build !linux

package udp

import "time"

// Sweep reads any number of Conns, in turns. Where no better is known it is a Group whose datagrams wait for the turn. Add
// and Remove are safe for concurrent use; one goroutine at a time calls Turn.
type Sweep[T any] struct{ group *Group[T] }

// NewSweep returns a sweep without members. It needs no closing once all of them have been closed.
func NewSweep[T any]() *Sweep[T] {
	g, _ := NewGroup[T]() // which cannot fail here
	return &Sweep[T]{g}
}

// Add has the sweep read c, which nobody else may read from now on; tag comes with its datagrams. The Conn stays the
// caller's: it removes it before it closes it.
func (s *Sweep[T]) Add(c *Conn, tag T) error { return s.group.Add(c, tag) }

// Remove takes c out. A call of Turn that began before may still read it.
func (s *Sweep[T]) Remove(c *Conn) { s.group.Remove(c) }

// Len is the number of members.
func (s *Sweep[T]) Len() int {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	return len(s.group.members)
}

// Turn calls read with what has come, and returns how many datagrams that were.
func (s *Sweep[T]) Turn(read func(tag T, ps []Piece)) (datagrams int) {
	for {
		select {
		case a := <-s.group.arrived:
			read(a.tag, []Piece{{B: a.m.Buf[:a.m.N], Size: a.m.N, At: time.Now().UnixNano(), From: a.m.From}})
			datagrams++
			a.done <- struct{}{}
		default:
			return datagrams
		}
	}
}
