package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/parley-sfu/parley/signal/wire"
)

// arrive comes to the new node, and returns nil once the client can go on there.
func (mv *move) arrive(ctx context.Context) error {
	c := mv.client
	if c.currentMedia() != nil {
		fresh, err := c.makeMedia(mv.mediaChanged, mv.relays())
		if err != nil {
			return err
		}
		c.mu.Lock()
		mv.media = fresh
		c.mu.Unlock()
	}
	if !mv.listen() {
		return ErrClosed
	}
	if lobby, err := mv.enter(ctx); err != nil || lobby {
		return err // in the lobby there is nothing to show
	}
	if err := mv.subscribe(ctx); err != nil || mv.media == nil {
		return err
	}
	return mv.await(ctx)
}

// enter says hello, and returns once the client is in the room, or in the lobby.
func (mv *move) enter(ctx context.Context) (lobby bool, err error) {
	greeted := make(chan error, 1)
	mv.client.background(func(ctx context.Context) { greeted <- mv.greet(ctx) })
	entered, lost := mv.entered, mv.from.lost
	for greeted != nil || entered != nil {
		select {
		case err := <-greeted:
			if err != nil {
				return false, err
			}
			greeted = nil
		case <-entered:
			entered = nil
		case <-mv.waiting:
			return true, nil
		case <-lost:
			if entered != nil {
				return false, errOldLost
			}
			lost = nil
		case <-mv.ended:
			return false, mv.err
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
	return false, nil
}

// listen has the new socket read, unless the client is ending.
func (mv *move) listen() bool {
	c := mv.client
	mv.reads = c.background(func(ctx context.Context) {
		defer close(mv.ended)
		mv.err = c.readOut(ctx, mv.sock, func(e wire.Envelope, raw []byte) error { return mv.receive(ctx, e, raw) })
	})
	return mv.reads
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
	flow := time.Now().Add(flowTime)
	var show time.Time // until when to wait for what the old connection shows
	for {
		now := time.Now()
		switch flows := mv.media.current() == MediaConnected; {
		case flows && show.IsZero():
			show = now.Add(showTime)
		case flows && (now.After(show) || mv.shows(now)):
			return nil
		case !flows && now.After(flow):
			return errNoFlow
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
		mv.layers[e.TrackID] = e.Layers
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

// contradictedLocked keeps back what the old node says of the client itself during the move: it is what the new one makes of the
// client, which may not know yet what its user said to the old one. A host who mutes is obeyed at once.
func (mv *move) contradictedLocked(sock *socket, event Event) bool {
	change, ok := event.(PresenceChanged)
	if mv == nil || mv.moved || !ok || sock != mv.from || change.ParticipantID != mv.client.ticket.ParticipantID {
		return false
	}
	mv.client.muteAsTold(mv.client.Self(), true)
	return true
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
