package path

import (
	"context"
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/udp"
)

// sweepIdly is how often sinks are read while nothing is measured: often enough for ICE and DTLS.
const sweepIdly = 5 * time.Millisecond

// A sweeper reads the sinks of a crowd in turn.
type sweeper struct {
	sockets *udp.Sweep[*sink]

	mu    sync.Mutex // held during a turn of sockets; protects following
	sinks []*sink
	media uint64 // packets read so far
}

func newSweeper() *sweeper { return &sweeper{sockets: udp.NewSweep[*sink]()} }

// open makes one more sink, which is read from now on. The caller closes it.
func (w *sweeper) open() (*sink, error) {
	s, err := newSink(w.sockets)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sinks = append(w.sinks, s)
	return s, nil
}

// sweep reads all that has come, and returns how many packets of media have been read so far, by whomever.
func (w *sweeper) sweep() (media uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sockets.Turn(func(s *sink, ps []udp.Piece) { w.media += s.receive(ps) })
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
