package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/signal/wire"
)

// errLeft is why a client stops that was asked to.
var errLeft = errors.New("left the meeting")

// Client is one participant. Its methods are safe for concurrent use.
//
// A call that asks something of the server returns when the server has answered; a refusal is an *Error. While the socket
// is being resumed such calls return ErrNotConnected.
type Client struct {
	ticket  Ticket
	opts    Options
	log     *slog.Logger
	events  *eventQueue
	roster  *roster
	watch   *stopwatch
	clock   wallClock
	calls   *calls
	network *network
	settle  chan struct{} // closed when the client is in the room or in the lobby
	done    chan struct{} // closed when Run has returned
	unwell  chan struct{} // media needs looking after
	flows   chan struct{} // closed when media can flow for the first time
	once    sync.Once     // closes flows
	shape   chan struct{} // held by whoever changes what is offered
	turn    sync.Mutex    // held while a message of the server is handled; before mu

	mu          sync.Mutex // protects following
	started     bool
	settled     bool
	state       State
	err         error // what Run returned
	sock        *socket
	servers     []ICEServer // STUN and TURN, with the newest credentials
	move        *move       // to another node, or made and not followed yet
	doors       doors
	media       *media
	connections int // made so far
	published   []*Publication
	subscribed  *wire.SubscriptionUpdate // the last wish that was granted
	on          *socket                  // on which it was
	presence    wire.PresenceUpdate      // what was changed of the client's own presence since it joined
	layers      map[string]wire.Layers   // by track: what the server wants, for tracks not known yet
	lastRefusal *Error
	cancel      context.CancelCauseFunc
	spawn       func(func(context.Context)) // starts a goroutine that Run waits for; nil while not running
}

// New prepares a client. It starts nothing: Run does.
func New(ticket Ticket, opts Options) (*Client, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ticket.validate(); err != nil {
		return nil, err
	}
	for _, pub := range opts.Publish {
		if err := pub.claim(); err != nil {
			return nil, err
		}
	}
	return &Client{
		ticket: ticket, opts: opts, log: opts.Log.With("participant_id", ticket.ParticipantID),
		events: newEventQueue(opts.EventBuffer), roster: &roster{}, watch: newStopwatch(ticket.Took), clock: newWallClock(),
		calls: newCalls(), network: newNetwork(opts.Net), settle: make(chan struct{}), done: make(chan struct{}), unwell: make(chan struct{}, 1), flows: make(chan struct{}),
		shape: make(chan struct{}, 1), doors: ticket.doors(), servers: ticket.ICEServers,
		state: StateConnecting, published: slices.Clone(opts.Publish), layers: map[string]wire.Layers{},
	}, nil
}

// Connect joins with a ticket and returns once the client is in the room, or in its lobby: State tells which. The client
// runs until Close, or until the meeting is over for it; Wait says which. The context bounds joining alone.
func Connect(ctx context.Context, ticket Ticket, opts Options) (*Client, error) {
	c, err := New(ticket, opts)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	go c.Run(context.WithoutCancel(ctx)) //nolint:errcheck // Wait returns it
	select {
	case <-c.settle:
		return c, nil
	case <-c.done:
		return nil, fmt.Errorf("connect: %w", c.Wait(ctx))
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("connect: %w", context.Cause(ctx)), c.Close())
	}
}

// Run joins and stays: it resumes a lost socket, restarts lost media and paces what is published. It returns nil after
// Close or when ctx ends, having left the meeting, and otherwise why the meeting is over for this client. A client runs
// once.
func (c *Client) Run(ctx context.Context) error {
	own, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	if err := c.start(own, cancel, &wg); err != nil {
		return err
	}
	err := c.run(own)
	cancel(err)
	c.setState(StateClosed, nil)
	c.calls.failAll(ErrClosed)
	c.mu.Lock()
	c.spawn = nil
	c.mu.Unlock()
	wg.Wait()
	if m := c.currentMedia(); m != nil {
		err = errors.Join(err, m.close())
	}
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	c.events.close()
	close(c.done)
	return err
}

func (c *Client) start(ctx context.Context, cancel context.CancelCauseFunc, wg *sync.WaitGroup) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started {
		return errors.New("a client runs once")
	}
	c.started, c.cancel = true, cancel
	c.spawn = func(f func(context.Context)) { wg.Go(func() { f(ctx) }) }
	return nil
}

// run is the life of the client without its clean-up.
func (c *Client) run(ctx context.Context) error {
	c.watch.begin()
	if c.opts.hasMedia() {
		if err := c.renewMedia(); err != nil {
			return err
		}
		c.background(c.keepMedia)
		c.background(c.reportAll)
		c.background(c.publishAll)
	}
	c.background(c.watchNetwork)
	err := c.serve(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// background starts a goroutine that Run waits for, unless Run is ending. Its context ends when the client leaves.
func (c *Client) background(f func(context.Context)) (started bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spawn != nil {
		c.spawn(f)
	}
	return c.spawn != nil
}

// Close leaves the meeting and waits until everything has stopped. It may be called more than once.
func (c *Client) Close() error {
	c.mu.Lock()
	started, cancel := c.started, c.cancel
	c.mu.Unlock()
	if !started {
		return nil
	}
	cancel(errLeft)
	<-c.done
	return nil
}

// Wait blocks until the client has stopped and returns what Run returned, or until ctx ends.
func (c *Client) Wait(ctx context.Context) error {
	select {
	case <-c.done:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Done is closed when the client has stopped.
func (c *Client) Done() <-chan struct{} { return c.done }

// Events returns the channel of events, which has one reader and is closed when the client has stopped. Events that find
// it full are dropped and told by an Overflow.
func (c *Client) Events() <-chan Event { return c.events.ch }

// State says how the client stands with its server.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// MediaState says whether media can flow; MediaClosed for a client without media.
func (c *Client) MediaState() MediaState {
	if m := c.currentMedia(); m != nil {
		return m.current()
	}
	return MediaClosed
}

// Timings returns the steps of the join measured so far.
func (c *Client) Timings() Timings { return c.watch.snapshot() }

// SlotStats returns what each slot has received.
func (c *Client) SlotStats() []SlotStats {
	if m := c.currentMedia(); m != nil {
		return m.stats(time.Now())
	}
	return nil
}

// isSettled says whether the client has come as far as the room or its lobby.
func (c *Client) isSettled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settled
}

func (c *Client) currentMedia() *media {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.media
}

func (c *Client) setState(state State, err error) {
	c.mu.Lock()
	if c.state == state {
		c.mu.Unlock()
		return
	}
	c.state = state
	if (state == StateJoined || state == StateWaiting) && !c.settled {
		c.settled = true
		close(c.settle)
	}
	c.mu.Unlock()
	c.events.push(StateChanged{State: state, Err: err})
}
