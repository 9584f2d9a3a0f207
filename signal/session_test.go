package signal

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// overContext is over, and counts how often somebody asks.
type overContext struct {
	context.Context
	asked atomic.Int32
}

func (c *overContext) Err() error {
	c.asked.Add(1)
	return context.Canceled
}

// While a handler waits, a room whose lock and settings change has a session look again no more than once.
func TestLooksDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &session{held: &heldHello{}}
		handling := &overContext{Context: t.Context()}
		look, free := s.looker(handling), make(chan struct{})
		s.desk.Post(func() { <-free })
		for range 100 {
			look()
		}
		close(free)
		synctest.Wait()
		if n := handling.asked.Load(); n != 1 {
			t.Errorf("looked %d times, want once", n)
		}
		look()
		synctest.Wait()
		if n := handling.asked.Load(); n != 2 {
			t.Errorf("looked %d times in all, want once more", n)
		}
	})
}
