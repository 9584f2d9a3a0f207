package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/parley-sfu/parley/signal/wire"
)

const (
	moveTime = 15 * time.Second       // for all of a move
	flowTime = 6 * time.Second        // for media to flow through the new node; shorter than the server keeps the old path
	showTime = 2 * time.Second        // from then on, for the new connection to show what the old one does
	movePoll = 20 * time.Millisecond  // between looks
	farewell = time.Second            // that the old connection stays, for the others to find what is published on the new node
	restTime = 500 * time.Millisecond // without a packet, after which an old slot is not waited for
)

// errNoFlow ends a move to a node that takes the client in, but has no way for its media.
var errNoFlow = fmt.Errorf("no media within %s", flowTime)

// errOldLost ends a move that had not come far enough when the old socket was lost.
var errOldLost = errors.New("the old socket was lost first")

// move is the client's way to another node while it is still on the old one: a socket, a session, a roster and a media
// connection of their own. They become the client's once they can do what the old ones do.
type move struct {
	client *Client
	to     wire.Migrate
	from   *socket
	sock   *socket
	reads  bool   // somebody reads sock, and will close ended
	media  *media // nil for a client without media; written under the client's mu

	decided chan struct{} // closed when the client has moved, or will not
	ended   chan struct{} // closed when the new socket has ended
	entered chan struct{} // closed by the new node's first snapshot
	waiting chan struct{} // closed when the new node keeps the client in its lobby
	err     error         // why the new socket ended; set before ended is closed

	said wire.PresenceUpdate // to the old node meanwhile; guarded by the client's mu

	// The following are guarded by the client's turn.
	session session
	roster  *roster
	layers  map[string]wire.Layers
	chats   []Event           // heard on the new node alone, so far
	heard   map[wire.Chat]int // on the old one alone
	moved   bool
}

// beginMove follows the server's wish, unless a move is under way.
func (c *Client) beginMove(to wire.Migrate, from *socket) {
	mv := &move{
		client: c, to: to, from: from, roster: &roster{}, layers: map[string]wire.Layers{}, heard: map[wire.Chat]int{},
		session: session{joinToken: to.JoinToken},
		decided: make(chan struct{}), ended: make(chan struct{}), entered: make(chan struct{}), waiting: make(chan struct{}),
	}
	c.mu.Lock()
	busy := c.move != nil
	if !busy {
		c.move = mv
	}
	c.mu.Unlock()
	if !busy && !c.background(mv.run) {
		close(mv.decided)
	}
}

// takeMove returns the move that is under way or was made, and forgets it.
func (c *Client) takeMove() *move {
	c.mu.Lock()
	defer c.mu.Unlock()
	mv := c.move
	c.move = nil
	return mv
}

// follow goes on where the client has moved to after its socket has ended. It returns the session that it has then, and
// what ended the last socket.
func (c *Client) follow(s *session, err error) (*session, error) {
	for {
		mv := c.takeMove()
		if mv == nil {
			return s, err
		}
		if <-mv.decided; mv.isMoved() {
			<-mv.ended
			s, err = &mv.session, mv.err
		}
	}
}

func (mv *move) isMoved() bool {
	mv.client.turn.Lock()
	defer mv.client.turn.Unlock()
	return mv.moved
}

// run moves, or leaves everything as it was.
func (mv *move) run(ctx context.Context) {
	c := mv.client
	old, err := mv.goOver(ctx)
	if err != nil {
		c.log.Info("the client stays on its node", "to", mv.to.SignalEndpoint, "error", err)
		mv.giveUp()
		return
	}
	c.log.Info("the client has moved", "to", mv.to.SignalEndpoint)
	close(mv.decided)
	mv.sayAgain(ctx, old)
	mv.depart(ctx, old)
}

// goOver makes the move, and returns the media that it has left behind.
func (mv *move) goOver(ctx context.Context) (old *media, err error) {
	limited, cancel := context.WithTimeoutCause(ctx, moveTime, fmt.Errorf("not moved within %s", moveTime))
	defer cancel()
	dialing, stop := context.WithTimeout(limited, dialTimeout)
	defer stop()
	if mv.sock, err = dial(dialing, mv.to.SignalEndpoint, mv.to.JoinToken, mv.client.opts); err != nil {
		return nil, err
	}
	release, err := mv.client.reshape(limited) // nothing else is offered meanwhile
	if err != nil {
		return nil, err
	}
	defer release()
	if err := mv.arrive(limited); err != nil {
		return nil, err
	}
	return mv.client.switchTo(ctx, mv)
}

// giveUp lets go of what the move has come to.
func (mv *move) giveUp() {
	c := mv.client
	switch {
	case mv.reads:
		mv.sock.leave()
		<-mv.ended
	case mv.sock != nil:
		mv.sock.abort()
	}
	if mv.media != nil {
		mv.media.retired.Store(true)
		_ = mv.media.close() // nothing ever came of it
	}
	for _, pub := range c.publications() {
		pub.lookAhead(wire.Layers{})
	}
	c.mu.Lock()
	if c.move == mv {
		c.move = nil
	}
	c.mu.Unlock()
	close(mv.decided)
}

// relays are those that the server names for the new node; none: those from before stay.
func (mv *move) relays() []ICEServer {
	relays := make([]ICEServer, 0, len(mv.to.ICEServers))
	for _, s := range mv.to.ICEServers {
		relays = append(relays, ICEServer(s))
	}
	return relays
}

// mediaChanged hears of the new connection, which is the client's own only after the switch.
func (mv *move) mediaChanged(state MediaState) {
	if mv.isMoved() {
		mv.client.onMediaState(state)
	}
}

// switchTo makes the move's socket, session, roster and media the client's, between two messages, and returns the old media.
func (c *Client) switchTo(ctx context.Context, mv *move) (*media, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	select {
	case <-mv.ended:
		return nil, mv.err
	default:
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c.mu.Lock()
	old := c.media
	c.sock, c.media, c.layers = mv.sock, mv.media, mv.layers
	c.doors.movedTo(mv.to.SignalEndpoint)
	if relays := mv.relays(); len(relays) > 0 {
		c.servers = relays
	}
	c.mu.Unlock()
	c.network.reached(mv.sock.server)
	before := MediaClosed
	if old != nil {
		before = old.current()
		old.retired.Store(true)
	}
	c.roster.become(mv.roster)
	mv.moved = true
	c.applyMoved()
	state := StateJoined
	select {
	case <-mv.entered:
	default:
		state = StateWaiting
	}
	c.setState(state, nil)
	c.events.push(Migrated{SignalEndpoint: mv.to.SignalEndpoint, Snapshot: c.roster.state()})
	for _, chat := range mv.chats {
		c.events.push(chat)
	}
	if mv.media != nil && mv.media.current() != before {
		c.onMediaState(mv.media.current())
	}
	return old, nil
}

// applyMoved sends what the new node wants of each publication, and everything where it has not said.
func (c *Client) applyMoved() {
	c.muteAsTold(c.Self(), true)
	for _, pub := range c.publications() {
		pub.wantAll()
		pub.lookAhead(wire.Layers{})
	}
	c.applyLayers()
}

// sayAgain repeats what the client's user said to the old node during the move, once that has answered all.
func (mv *move) sayAgain(ctx context.Context, old *media) {
	c := mv.client
	mv.from.settle(ctx, farewell)
	c.mu.Lock()
	said, wish, on := mv.said, c.subscribed, c.on
	c.mu.Unlock()
	if wish != nil && on != mv.sock {
		again := mv.translate(old, *wish)
		if _, err := c.callOn(ctx, mv.sock, wire.TypeSubscriptionUpdate, again); err == nil {
			c.mu.Lock()
			if c.subscribed == wish {
				c.subscribed, c.on = &again, mv.sock
			}
			c.mu.Unlock()
		}
	}
	if said != (wire.PresenceUpdate{}) {
		if _, err := c.callOn(ctx, mv.sock, wire.TypePresenceUpdate, said); err != nil && ctx.Err() == nil {
			c.log.Info("presence was not repeated", "error", err)
		}
	}
}

// depart leaves the old node once the others have had time to take up what is published on the new one.
func (mv *move) depart(ctx context.Context, old *media) {
	timer := time.NewTimer(farewell)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-mv.from.lost:
	case <-ctx.Done():
	}
	mv.from.leave()
	if old != nil {
		_ = old.close() // it has done its work
	}
}

// once closes a channel that may be closed already. One goroutine at a time calls it.
func once(ch chan struct{}) {
	select {
	case <-ch:
	default:
		close(ch)
	}
}
