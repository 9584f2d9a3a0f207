package lean

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/udp"
)

// Config says how a fleet works.
type Config struct {
	Readers int // goroutines that read media; 0 is one for two CPUs
}

// Validate reports what is wrong.
func (c Config) Validate() error {
	if c.Readers < 0 {
		return errors.New("readers: must not be negative")
	}
	return nil
}

// Fleet is any number of viewers, and what reads their sockets. It is safe for concurrent use.
type Fleet struct {
	cfg         Config
	certificate tls.Certificate
	fingerprint fingerprint
	readers     []*reader
	next        atomic.Uint32 // reader
	buffers     sync.Pool     // of *bytes.Buffer, for messages

	reroute func([]udp.Addr) []udp.Addr // for tests: where to go in place of the node's candidates
}

// New prepares a fleet. It starts nothing: Run does.
func New(cfg Config) (*Fleet, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("lean receivers: %w", err)
	}
	if cfg.Readers == 0 {
		cfg.Readers = (runtime.NumCPU() + 1) / 2
	}
	certificate, err := newCertificate()
	if err != nil {
		return nil, fmt.Errorf("lean receivers: certificate: %w", err)
	}
	f := &Fleet{cfg: cfg, certificate: certificate, fingerprint: fingerprintOf(certificate.Certificate[0])}
	for range cfg.Readers {
		f.readers = append(f.readers, newReader())
	}
	return f, nil
}

// Run reads media until ctx ends. Viewers join meanwhile, and are closed by their owner before or after.
func (f *Fleet) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, r := range f.readers {
		wg.Go(func() { r.run(ctx) })
	}
	wg.Wait()
	return nil
}

const (
	hurried = time.Millisecond      // between turns for viewers that are joining: each is waited for
	calm    = 5 * time.Millisecond  // for the others, at least
	missing = 10 * time.Millisecond // at most, while one of them misses something
	calmest = 40 * time.Millisecond // at most

	full = 8 // packets that a viewer's socket is to hold at its turn
)

// reader is one goroutine that reads the sockets of its viewers in turns.
type reader struct {
	joining *udp.Sweep[*Viewer]
	settled *udp.Sweep[*Viewer]
	wake    chan struct{} // there is somebody again
	lacks   bool          // somebody misses something; run's own

	mu      sync.Mutex
	viewers atomic.Pointer[[]*Viewer] // never changed in place; mu is held to replace it
}

func newReader() *reader {
	r := &reader{joining: udp.NewSweep[*Viewer](), settled: udp.NewSweep[*Viewer](), wake: make(chan struct{}, 1)}
	r.viewers.Store(&[]*Viewer{})
	return r
}

// add begins to read for a viewer that joins.
func (r *reader) add(v *Viewer) error {
	if err := r.joining.Add(v.conn, v); err != nil {
		return err
	}
	r.replace(func(all []*Viewer) []*Viewer { return append(all, v) })
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

func (r *reader) replace(change func([]*Viewer) []*Viewer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := change(slices.Clone(*r.viewers.Load()))
	r.viewers.Store(&all)
}

// settle reads from now on at leisure.
func (r *reader) settle(v *Viewer) error {
	r.joining.Remove(v.conn)
	return r.settled.Add(v.conn, v)
}

func (r *reader) remove(v *Viewer) {
	if v.conn == nil {
		return
	}
	r.joining.Remove(v.conn)
	r.settled.Remove(v.conn)
	r.replace(func(all []*Viewer) []*Viewer { return slices.DeleteFunc(all, func(o *Viewer) bool { return o == v }) })
}

// run takes turns until ctx ends. Nobody is woken by a packet: what comes lies in the kernel for a turn, whose timestamps
// keep the latency true.
func (r *reader) run(ctx context.Context) {
	receive := func(v *Viewer, ps []udp.Piece) { r.lacks = v.receive(ps) || r.lacks }
	timer := time.NewTimer(0)
	defer timer.Stop()
	pace, turn := calm, time.Now()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		viewers := *r.viewers.Load()
		if len(viewers) == 0 {
			select {
			case <-r.wake:
			case <-ctx.Done():
				return
			}
		}
		now := time.Now()
		r.joining.Turn(receive)
		if !now.Before(turn) {
			r.lacks = false
			pace = paced(pace, r.settled.Turn(receive), r.settled.Len())
			turn = now.Add(pace)
			if r.lacks {
				turn = now.Add(min(pace, missing))
			}
		}
		for _, v := range viewers {
			if v.due.Load() <= now.UnixNano() {
				v.tend(now)
			}
		}
		wait := time.Until(turn)
		if r.joining.Len() > 0 {
			wait = min(wait, hurried)
		}
		timer.Reset(wait)
	}
}

// paced moves the time between turns towards one in which sockets have enough to say: a system call costs more than the
// packets that it brings.
func paced(pace time.Duration, packets, viewers int) time.Duration {
	ideal := min(max(pace*time.Duration(full*viewers)/time.Duration(max(packets, 1)), calm), calmest)
	return (3*pace + ideal) / 4
}
