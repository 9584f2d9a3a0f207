package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-sfu/parley/signal/wire"
)

const (
	moveTime = 15 * time.Second       // for the new node to take the client in, and for media to flow there
	showTime = 2 * time.Second        // from then on, for the new connection to show what the old one does
	movePoll = 20 * time.Millisecond  // between looks
	farewell = time.Second            // that the old connection stays, for the others to find what is published on the new node
	restTime = 500 * time.Millisecond // without a packet, after which an old slot is not waited for
)

// errOldLost ends a move that had not come far enough when the old socket was lost.
var errOldLost = errors.New("the old socket was lost first")

// move is the client's way to another node while it is still on the old one: a socket, a session, a roster and a media
// connection of their own. They become the client's once they can do what the old ones do.
type move struct {
	client *Client
	to     wire.Migrate
	from   *socket
	sock   *socket
	media  *media // nil for a client without media

	decided chan struct{} // closed when the client has moved, or will not
	ended   chan struct{} // closed when the new socket has ended
	entered chan struct{} // closed by the new node's first snapshot
	waiting chan struct{} // closed when the new node keeps the client in its lobby
	err     error         // why the new socket ended; set before ended is closed

	// The following are guarded by the client's turn.
	session session
	roster  *roster
	layers  map[string][]string
	chats   []Event           // heard on the new node alone, so far
	heard   map[wire.Chat]int // on the old one alone
	moved   bool
}

// beginMove follows the server's wish, unless a move is under way.
func (c *Client) beginMove(to wire.Migrate, from *socket) {
	mv := &move{
		client: c, to: to, from: from, roster: &roster{}, layers: map[string][]string{}, heard: map[wire.Chat]int{},
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
	release, err := c.reshape(ctx) // nothing else is offered meanwhile
	if err == nil {
		defer release()
		err = mv.arrive(ctx)
	}
	var old *media
	if err == nil {
		old, err = c.switchTo(ctx, mv)
	}
	if err != nil {
		c.log.Info("the client stays on its node", "to", mv.to.SignalEndpoint, "error", err)
		mv.giveUp()
		return
	}
	c.log.Info("the client has moved", "to", mv.to.SignalEndpoint)
	close(mv.decided)
	release()
	mv.sayAgain(ctx, old)
	mv.depart(ctx, old)
}

// giveUp lets go of what the move has come to.
func (mv *move) giveUp() {
	c := mv.client
	if mv.sock != nil {
		mv.sock.leave()
		<-mv.ended
	}
	if mv.media != nil {
		mv.media.retired.Store(true)
		_ = mv.media.close() // nothing ever came of it
	}
	for _, pub := range c.publications() {
		pub.lookAhead(nil)
	}
	c.mu.Lock()
	if c.move == mv {
		c.move = nil
	}
	c.mu.Unlock()
	close(mv.decided)
}

// arrive comes to the new node, and returns nil once the client can go on there.
func (mv *move) arrive(ctx context.Context) (err error) {
	c := mv.client
	ctx, cancel := context.WithTimeoutCause(ctx, moveTime, fmt.Errorf("not moved within %s", moveTime))
	defer cancel()
	if c.currentMedia() != nil {
		if mv.media, err = c.makeMedia(mv.mediaChanged); err != nil {
			return err
		}
	}
	if err := mv.dial(ctx); err != nil {
		return err
	}
	greeted := make(chan error, 1)
	c.background(func(ctx context.Context) { greeted <- mv.greet(ctx) })
	for seated := false; !seated; {
		select {
		case err := <-greeted:
			if err != nil {
				return err
			}
			greeted = nil
		case <-mv.entered:
			seated = true
		case <-mv.waiting:
			return nil // in the lobby there is nothing to show
		case <-mv.from.lost:
			return errOldLost
		case <-mv.ended:
			return mv.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if greeted != nil {
		select {
		case err = <-greeted:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err == nil {
		err = mv.subscribe(ctx)
	}
	if err != nil || mv.media == nil {
		return err
	}
	return mv.await(ctx)
}

// dial opens the new socket and has it read.
func (mv *move) dial(ctx context.Context) error {
	c := mv.client
	sock, err := dial(ctx, mv.to.SignalEndpoint, mv.to.JoinToken, c.opts)
	if err != nil {
		return err
	}
	mv.sock = sock
	reads := c.background(func(ctx context.Context) {
		defer close(mv.ended)
		mv.err = c.readOut(ctx, sock, func(e wire.Envelope, raw []byte) error { return mv.receive(ctx, e, raw) })
	})
	if !reads {
		sock.abort()
		close(mv.ended)
		return ErrClosed
	}
	return nil
}

// greet says hello. From the lobby it is answered on admission, when the client has long moved.
func (mv *move) greet(ctx context.Context) error {
	c := mv.client
	err := mv.hello(ctx)
	if err != nil && mv.isMoved() {
		if refusal, ok := errors.AsType[*Error](err); ok {
			c.refuse(refusal)
		}
		mv.sock.abort()
	}
	return err
}

func (mv *move) hello(ctx context.Context) error {
	c := mv.client
	hello := wire.Hello{ParticipantID: c.ticket.ParticipantID, DisplayName: c.opts.DisplayName}
	if mv.media == nil {
		return mv.sock.send(wire.Envelope{Type: wire.TypeHello}, hello)
	}
	offer, err := mv.media.offer(ctx, false)
	if err != nil {
		return err
	}
	hello.SDPOffer, hello.Tracks = offer.SDPOffer, offer.Tracks
	answer, err := c.callOn(ctx, mv.sock, wire.TypeHello, hello)
	if err != nil {
		mv.media.abandon()
		return err
	}
	refused, err := mv.media.take(answer.raw)
	if err == nil && len(refused) > 0 {
		err = fmt.Errorf("the new node takes no media on lines %v", refused)
	}
	if err != nil {
		return err
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	mv.media.assign(mv.rosterLocked().carried())
	return nil
}

// rosterLocked is what is known of the room through the new node.
func (mv *move) rosterLocked() *roster {
	if mv.moved {
		return mv.client.roster
	}
	return mv.roster
}

// subscribe asks the new node for what the old one was asked for.
func (mv *move) subscribe(ctx context.Context) error {
	c := mv.client
	c.mu.Lock()
	wish := c.subscribed
	c.mu.Unlock()
	if wish == nil {
		return nil
	}
	_, err := c.callOn(ctx, mv.sock, wire.TypeSubscriptionUpdate, mv.translate(c.currentMedia(), *wish))
	return err
}

// translate names the slots of the new connection in the place of those of the old one.
func (mv *move) translate(old *media, wish wire.SubscriptionUpdate) wire.SubscriptionUpdate {
	if old == nil || mv.media == nil {
		return wish
	}
	names := old.namesIn(mv.media)
	wish.Slots = slices.Clone(wish.Slots)
	for i, s := range wish.Slots {
		if name, known := names[s.MID]; known {
			wish.Slots[i].MID = name
		}
	}
	return wish
}

// await waits until media flow through the new connection, and then a little for it to show what the old one shows. Once the
// old socket is lost there is nothing to wait for.
func (mv *move) await(ctx context.Context) error {
	poll := time.NewTicker(movePoll)
	defer poll.Stop()
	var show time.Time // until when to wait for what the old connection shows
	for {
		now := time.Now()
		if mv.media.current() == MediaConnected {
			if show.IsZero() {
				show = now.Add(showTime)
			}
			if now.After(show) || mv.shows(now) {
				return nil
			}
		}
		select {
		case <-poll.C:
		case <-mv.from.lost:
			return nil
		case <-mv.ended:
			return mv.err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// shows says whether everybody who is known through the old node is known through the new one, and all that the old
// connection receives is received by the new one.
func (mv *move) shows(now time.Time) bool {
	c := mv.client
	c.turn.Lock()
	complete := mv.roster.covers(c.roster)
	c.turn.Unlock()
	if !complete {
		return false
	}
	fresh := mv.media.stats(now)
	for _, o := range c.currentMedia().stats(now) {
		if o.Slot.State != "active" || now.Sub(o.LastArrival) > restTime {
			continue
		}
		if !slices.ContainsFunc(fresh, func(s SlotStats) bool {
			return s.Slot.TrackID == o.Slot.TrackID && (s.Frames > 0 || s.Slot.Kind == "audio" && s.Packets > 0)
		}) {
			return false
		}
	}
	return true
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
	c.mu.Unlock()
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
		pub.lookAhead(nil)
	}
	c.applyLayers()
}

// sayAgain repeats what the client's user said to the old node during the move, once that has answered all.
func (mv *move) sayAgain(ctx context.Context, old *media) {
	c := mv.client
	mv.from.settle(ctx, farewell)
	c.mu.Lock()
	presence, wish, on := c.presence, c.subscribed, c.on
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
	if presence != (wire.PresenceUpdate{}) {
		if _, err := c.callOn(ctx, mv.sock, wire.TypePresenceUpdate, presence); err != nil && ctx.Err() == nil {
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

// receive handles a message of the new node. Before the switch nobody hears of it.
func (mv *move) receive(ctx context.Context, e wire.Envelope, raw []byte) error {
	c := mv.client
	c.turn.Lock()
	defer c.turn.Unlock()
	if mv.moved {
		return c.receiveFromLocked(ctx, mv.sock, &mv.session, e, raw)
	}
	if e.ReplyTo != "" {
		return c.receiveReply(e, raw)
	}
	s := &mv.session
	if e.Type == wire.TypeSnapshot {
		s.seq.restart(e.Seq)
	} else if e.Seq != 0 {
		switch s.seq.judge(e.Seq) {
		case repeated, awaiting:
			return nil
		case missedOne:
			return mv.sock.send(wire.Envelope{Type: wire.TypeResume}, wire.Resume{LastSeq: s.seq.last})
		case inOrder:
		}
	}
	event, err := mv.roster.apply(e.Type, raw)
	if err != nil {
		return err
	}
	return mv.noteLocked(event)
}

// noteLocked keeps what the client needs to know once it has moved. An error ends the move.
func (mv *move) noteLocked(event Event) error {
	switch e := event.(type) {
	case Joined:
		mv.session.resumeToken = e.Snapshot.ResumeToken
		once(mv.entered)
		mv.assign(e.Snapshot.Slots)
	case SlotsChanged:
		mv.assign(e.Slots)
	case Waiting:
		once(mv.waiting)
	case LayersWanted:
		mv.layers[e.TrackID] = e.Wanted
		mv.lookAhead()
	case TrackPublished:
		mv.lookAhead()
	case ChatReceived:
		if mv.heard[e.Chat]--; mv.heard[e.Chat] < 0 {
			delete(mv.heard, e.Chat)
			mv.chats = append(mv.chats, e)
		}
	case Ended:
		return &Error{Code: endCode(e.Reason), Message: "The new node says: " + e.Reason + "."}
	case Refused:
		return e.Err
	}
	return nil
}

func (mv *move) assign(slots []wire.Slot) {
	if mv.media != nil {
		mv.media.assign(slots)
	}
}

// lookAhead sends what the new node wants too.
func (mv *move) lookAhead() {
	for _, pub := range mv.client.publications() {
		if track, ok := mv.roster.ownTrack(pub.source); ok {
			pub.lookAhead(mv.layers[track.ID])
		}
	}
}

// overheardLocked says whether an event that comes through sock has come through the other socket of a move already.
func (mv *move) overheardLocked(sock *socket, event Event) bool {
	chat, ok := event.(ChatReceived)
	switch {
	case mv == nil || !ok:
		return false
	case sock == mv.from:
		if i := slices.Index(mv.chats, event); i >= 0 {
			mv.chats = slices.Delete(mv.chats, i, i+1)
		} else {
			mv.heard[chat.Chat]++
		}
		return false
	case mv.heard[chat.Chat] > 0:
		mv.heard[chat.Chat]--
		return true
	}
	return false
}

// once closes a channel that may be closed already. One goroutine at a time calls it.
func once(ch chan struct{}) {
	select {
	case <-ch:
	default:
		close(ch)
	}
}
