// Package bus is the one door to NATS: messages between nodes, requests, and small durable buckets of keys.
//
// It owns the embedded NATS server, or the connection to an external one, and promises three things:
//
//   - A NATS outage harms nobody. The connection is retried forever; meanwhile every call returns ErrUnavailable within
//     a bounded time, and Publish keeps what it is given up to a limit. A call that failed is not kept to be sent later.
//   - What a bucket acknowledges is on disk. JetStream, left alone, syncs to disk every two minutes only and loses
//     acknowledged writes with the machine; the embedded server therefore syncs every write (sync_always). It costs a
//     disk flush per write, which the rate of meetings made and people removed can afford. Media and rosters never
//     pass through a bucket.
//   - Messages are at most once, in order per publisher and subject. Who needs more keeps versions and notices gaps.
//
// It is not a general NATS client, and knows nothing of what its subjects and keys mean.
package bus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	callTimeout = 5 * time.Second        // of every call that waits for NATS
	retryDelay  = 200 * time.Millisecond // between attempts of the background loops
	workers     = 64                     // requests answered at the same time; some wait for other nodes
	maxRequests = 4 * workers            // that wait for a worker
)

// Bus is the process's NATS. All methods are safe for concurrent use, before, during and after Run.
type Bus struct {
	cfg       Config
	log       *slog.Logger
	out       *outbox
	requests  chan request
	ready     chan struct{}
	connected atomic.Bool

	mu       sync.Mutex // protects following
	link     *link      // nil before Run has connected and after it ended
	subs     map[*subscription]struct{}
	relinked chan struct{} // closed, and replaced, when the connection is made or made again
}

// link is a client of NATS; it outlives reconnects.
type link struct {
	conn *nats.Conn
	js   jetstream.JetStream
}

// New checks cfg and returns a Bus that Run brings to life.
func New(cfg Config, log *slog.Logger) (*Bus, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	return &Bus{
		cfg:      cfg,
		log:      log,
		out:      newOutbox(cfg.OutboxBytes),
		requests: make(chan request, maxRequests),
		ready:    make(chan struct{}),
		subs:     make(map[*subscription]struct{}),
		relinked: make(chan struct{}),
	}, nil
}

// Run starts the embedded server, if it is wanted, connects, and serves until ctx ends: then it sends what was
// published, closes the connection and then the server, and returns nil. An error means that the embedded server
// cannot start or that the configuration is unusable; an external NATS that is away is not an error. Run once.
func (b *Bus) Run(ctx context.Context) error {
	var srv *embedded
	if b.cfg.URL == "" {
		var err error
		if srv, err = startEmbedded(b.cfg, b.log); err != nil {
			return fmt.Errorf("bus: %w", err)
		}
		defer srv.stop()
	}
	l, err := b.dial(srv)
	if err != nil {
		return fmt.Errorf("bus: connect: %w", err)
	}
	b.attach(l)

	var wg sync.WaitGroup
	wg.Go(func() { b.awaitReady(ctx, l) })
	wg.Go(func() { b.pump(ctx, l.conn) })
	for range workers {
		wg.Go(func() { b.work(ctx) })
	}
	<-ctx.Done()
	wg.Wait()
	b.detach(l)
	return nil
}

// Ready is closed once NATS is connected and JetStream answered for the first time.
func (b *Bus) Ready() <-chan struct{} { return b.ready }

// Connected says whether there is a connection to NATS now.
func (b *Bus) Connected() bool { return b.connected.Load() }

// Dropped counts the publications that were dropped because NATS was away for too long.
func (b *Bus) Dropped() uint64 { return b.out.dropped.Load() }

// attach makes l the connection in use and starts the subscriptions that were made before it.
func (b *Bus) attach(l *link) {
	b.mu.Lock()
	b.link = l
	waiting := make([]*subscription, 0, len(b.subs))
	for s := range b.subs {
		waiting = append(waiting, s)
	}
	b.mu.Unlock()
	for _, s := range waiting {
		if err := s.start(l.conn); err != nil {
			b.log.Error("bus: subscribe", "subject", s.subject, "err", err)
		}
	}
	b.signalRelinked()
}

// detach sends what is left to send, for a short while, and closes the connection.
func (b *Bus) detach(l *link) {
	b.mu.Lock()
	b.link = nil
	b.mu.Unlock()
	if b.Connected() {
		b.send(l.conn)
		if err := l.conn.FlushTimeout(time.Second); err != nil {
			b.log.Warn("bus: last messages may be lost", "err", err)
		}
	}
	l.conn.Close()
	b.connected.Store(false)
}

// awaitReady closes Ready when JetStream answers.
func (b *Bus) awaitReady(ctx context.Context, l *link) {
	for {
		again := b.Relinked()
		call, cancel := context.WithTimeout(ctx, callTimeout)
		_, err := l.js.AccountInfo(call)
		cancel()
		if err == nil {
			close(b.ready)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-time.After(retryDelay):
		}
	}
}

// current returns the connection, or ErrUnavailable at once when there is none: nothing is queued, so that nothing
// happens after its caller was told that it failed.
func (b *Bus) current() (*link, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link == nil || !b.Connected() {
		return nil, ErrUnavailable
	}
	return b.link, nil
}

// Relinked returns a channel that is closed when the connection is next made, or made again.
func (b *Bus) Relinked() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.relinked
}

func (b *Bus) signalRelinked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.relinked)
	b.relinked = make(chan struct{})
}
