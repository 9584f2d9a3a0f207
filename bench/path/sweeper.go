package path

import (
	"context"
	"sync"
	"time"
)

// sweepIdly is how often sinks are read while nothing is measured: often enough for ICE and DTLS.
const sweepIdly = 5 * time.Millisecond

// A sweeper reads the sinks of a crowd in turn.
type sweeper struct {
	mu    sync.Mutex // protects following
	scoop *scoop
	sinks []*sink
	media uint64 // packets read so far
}

func newSweeper() *sweeper { return &sweeper{scoop: newScoop()} }

// add has the sweeper read one more sink from now on.
func (w *sweeper) add(s *sink) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sinks = append(w.sinks, s)
}

// sweep reads all that has come, and returns how many packets of media have been read so far, by whomever.
func (w *sweeper) sweep() (media uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sinks {
		w.media += uint64(w.scoop.empty(s))
	}
	return w.media
}

// run sweeps now and then until ctx ends.
func (w *sweeper) run(ctx context.Context) {
	tick := time.NewTicker(sweepIdly)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.sweep()
		case <-ctx.Done():
			return
		}
	}
}

func (w *sweeper) tally() (t tallies) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sinks {
		t.read += s.media.Load()
		t.dropped += s.drops()
	}
	return t
}

// silent counts sinks that have seen fewer packets of media than wanted.
func (w *sweeper) silent(wanted uint64) (count int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sinks {
		if s.media.Load() < wanted {
			count++
		}
	}
	return count
}
