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
	hurried = time.Millisecond       // between turns for viewers that are joining: each is waited for
	calm    = 5 * time.Millisecond   // for the others, at least
	missing = 20 * time.Millisecond  // at most, while one of them misses something
	calmest = 40 * time.Millisecond  // at most
	silent  = 100 * time.Millisecond // at most, where nobody watches pictures: what is lost of sound is not asked for again

	full = 8 // packets that a viewer's socket is to hold at its turn
)

// reader is one goroutine that reads the sockets of its viewers in turns.
type reader struct {
	joining *udp.Sweep[*Viewer]
	settled *udp.Sweep[*Viewer]
	wake    chan struct{} // there is somebody again
	watched atomic.Int32  // viewers with slots for pictures

	// Of run alone, about turns for settled viewers.
	last, next time.Time
	pace       time.Duration
	lacks      bool // somebody misses something

	mu      sync.Mutex
	viewers atomic.Pointer[[]*Viewer] // never changed in place; mu is held to replace it
}

func newReader() *reader {
	r := &reader{joining: udp.NewSweep[*Viewer](), settled: udp.NewSweep[*Viewer](), wake: make(chan struct{}, 1), pace: calm}
	r.viewers.Store(&[]*Viewer{})
	return r
}

// add begins to read for a viewer that joins.
func (r *reader) add(v *Viewer) error {
	if err := r.joining.Add(v.conn, v); err != nil {
		return err
	}
	if v.opts.VideoSlots > 0 {
		r.watched.Add(1)
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
	r.joining.Remove(v.conn)
	r.settled.Remove(v.conn)
	if v.opts.VideoSlots > 0 {
		r.watched.Add(-1)
	}
	r.replace(func(all []*Viewer) []*Viewer { return slices.DeleteFunc(all, func(o *Viewer) bool { return o == v }) })
}

// run takes turns until ctx ends. Nobody is woken by a packet: what comes lies in the kernel for a turn, whose timestamps
// keep the latency true.
func (r *reader) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-r.wake:
		case <-ctx.Done():
			return
		}
		viewers := *r.viewers.Load()
		now := time.Now()
		wait := r.turn(now)
		for _, v := range viewers {
			if v.due.Load() <= now.UnixNano() {
				v.tend(now)
			}
		}
		if len(viewers) == 0 {
			timer.Stop() // until there is somebody
			continue
		}
		timer.Reset(wait)
	}
}

// turn reads whatever is to be read now, and returns how long to wait for the next turn.
func (r *reader) turn(now time.Time) time.Duration {
	receive := func(v *Viewer, ps []udp.Piece) { r.lacks = v.receive(ps) || r.lacks }
	r.joining.Turn(receive)
	if !now.Before(r.next) {
		r.lacks = false
		packets := r.settled.Turn(receive)
		r.pace = r.paced(now.Sub(r.last), packets, r.settled.Len())
		r.last, r.next = now, now.Add(r.pace)
		if r.lacks {
			r.next = now.Add(min(r.pace, missing))
		}
	}
	wait := time.Until(r.next)
	if r.joining.Len() > 0 {
		wait = min(wait, hurried)
	}
	return wait
}

// paced moves the time between turns towards one in which sockets have enough to say: a system call costs more than the
// packets that it brings.
func (r *reader) paced(took time.Duration, packets, viewers int) time.Duration {
	most := silent
	if r.watched.Load() > 0 {
		most = calmest
	}
	ideal := min(took, time.Second) * time.Duration(full*viewers) / time.Duration(max(packets, 1))
	return (3*r.pace + min(max(ideal, calm), most)) / 4
}
