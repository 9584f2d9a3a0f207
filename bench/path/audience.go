package path

import (
	"context"
	"sync"
	"time"

	"github.com/parley-sfu/parley/bench/lean"
)

// An audience is the viewers of a contender, as far as their packets are counted.
type audience interface {
	// sweep returns how many packets of media have been read so far. It may read some first.
	sweep() uint64
	tally() tallies
	// silent counts viewers who have received fewer packets than wanted.
	silent(wanted uint64) int
}

// tallies are what viewers' sockets have seen so far.
type tallies struct{ read, dropped uint64 }

// fleet is an audience of lean viewers, which are whole participants of Parley's rooms. Their sockets are read in turns as sinks are.
type fleet struct {
	*lean.Fleet

	mu      sync.Mutex // protects following
	viewers []*lean.Viewer
	counted uint64
	at      time.Time
}

// countTime is about what it takes to ask one viewer, many times over: asking is not to take the sweepers' time.
const countTime = 8 * time.Microsecond

func newFleet(ctx context.Context) (*fleet, func() error, error) {
	inner, err := lean.New(lean.Config{Readers: 1})
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- inner.Run(ctx) }()
	return &fleet{Fleet: inner}, func() error { stop(); return <-done }, nil
}

func (f *fleet) add(v *lean.Viewer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.viewers = append(f.viewers, v)
}

// sweep implements audience. What it returns may be as old as it takes to count.
func (f *fleet) sweep() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.at) >= time.Duration(len(f.viewers))*countTime {
		f.at = now
		f.countLocked()
	}
	return f.counted
}

func (f *fleet) countLocked() {
	f.counted = 0
	for _, v := range f.viewers {
		f.counted += received(v)
	}
}

func received(v *lean.Viewer) (packets uint64) {
	for _, slot := range v.SlotStats() {
		packets += slot.Packets
	}
	return packets
}

// tally implements audience. What sockets drop is missing, and spoils the window.
func (f *fleet) tally() tallies {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.countLocked()
	return tallies{read: f.counted}
}

// silent implements audience.
func (f *fleet) silent(wanted uint64) (count int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.viewers {
		if received(v) < wanted {
			count++
		}
	}
	return count
}
