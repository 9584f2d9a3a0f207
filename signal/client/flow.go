package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/parley-sfu/parley/signal/wire"
)

const (
	reportEvery  = time.Second            // sender reports
	firstReport  = 100 * time.Millisecond // the first comes soon
	restartBase  = 100 * time.Millisecond
	restartLimit = 5 * time.Second
	restartTime  = 3 * time.Second // for one ICE restart to succeed
)

// renewMedia makes a peer connection with everything that is published, and closes the one before.
func (c *Client) renewMedia() error {
	for _, pub := range c.publications() {
		pub.wantAll()
	}
	fresh, err := c.makeMedia(c.onMediaState, nil)
	if err != nil {
		return err
	}
	c.mu.Lock()
	old := c.media
	c.layers = map[string]wire.Layers{}
	c.media = fresh
	c.mu.Unlock()
	if old == nil {
		return nil
	}
	return old.close()
}

// makeMedia makes a peer connection with everything that is published. It uses the relays that the client was told of last
// unless there are others.
func (c *Client) makeMedia(change func(MediaState), relays []ICEServer) (*media, error) {
	c.mu.Lock()
	ticket := c.ticket
	if ticket.ICEServers = c.servers; len(relays) > 0 {
		ticket.ICEServers = relays
	}
	pubs, opts := slices.Clone(c.published), c.opts
	c.connections++
	number := c.connections
	c.mu.Unlock()
	m, err := newMedia(ticket, opts, pubs, c.watch, change)
	if err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	m.number = number
	return m, nil
}

// beginAnew says hello again to a server that resumed the participant but knows nothing of its media any more, and then
// repeats what the room should know.
func (c *Client) beginAnew(ctx context.Context, sock *socket) {
	if err := c.greetAgain(ctx, sock); err != nil && ctx.Err() == nil {
		c.log.Info("session was not rebuilt", "error", err)
		sock.abort() // resume once more
	}
}

func (c *Client) greetAgain(ctx context.Context, sock *socket) error {
	if c.currentMedia() != nil {
		if err := c.renewMedia(); err != nil {
			return err
		}
	}
	if err := c.hello(ctx, sock); err != nil {
		return err
	}
	c.mu.Lock()
	wish, presence := c.subscribed, c.presence
	c.mu.Unlock()
	if presence != (wire.PresenceUpdate{}) {
		if _, err := c.callOn(ctx, sock, wire.TypePresenceUpdate, presence); err != nil {
			return err
		}
	}
	if wish == nil {
		return nil
	}
	_, err := c.callOn(ctx, sock, wire.TypeSubscriptionUpdate, *wish)
	return err
}

func (c *Client) accept(m *media, raw []byte) error {
	refused, err := m.take(raw)
	if err != nil {
		return err
	}
	m.assign(c.Slots())
	if len(refused) > 0 {
		c.events.push(Refused{&Error{
			Code: wire.CodePublishDenied, Message: fmt.Sprintf("The server takes no media on lines %v.", refused),
		}})
	}
	return nil
}

// renegotiate offers what has changed. Before a session is resumed nothing is: a server that has lost it would take the offer
// for the first of a new connection.
func (c *Client) renegotiate(ctx context.Context, restart bool) error {
	m := c.currentMedia()
	if m == nil {
		return ErrNoMedia
	}
	if c.State() == StateReconnecting || m.unknown.Load() {
		return ErrNotConnected
	}
	sock, err := c.liveSocket()
	if err != nil {
		return err
	}
	offer, err := m.offer(ctx, restart)
	if err != nil {
		return err
	}
	return c.exchange(ctx, sock, m, wire.TypeOffer, offer)
}

func (c *Client) onMediaState(state MediaState) {
	if state == MediaConnected {
		c.once.Do(func() { close(c.flows) })
	}
	c.events.push(MediaStateChanged{State: state})
	if state != MediaConnecting {
		c.lookAfterMedia()
	}
}

// lookAfterMedia wakes keepMedia; it never blocks.
func (c *Client) lookAfterMedia() {
	select {
	case c.unwell <- struct{}{}:
	default:
	}
}

// keepMedia restarts ICE when media has died, as often as it takes.
func (c *Client) keepMedia(ctx context.Context) {
	for {
		select {
		case <-c.unwell:
		case <-ctx.Done():
			return
		}
		c.revive(ctx)
	}
}

// revive restarts ICE, if the path is lost, until media flows again. A restart that the server cannot be told of is tried
// again soon, and at once when the socket is back; one that does not lead anywhere is given restartTime.
func (c *Client) revive(ctx context.Context) {
	pause := backoff{base: restartBase, limit: restartLimit}
	for tried := false; ctx.Err() == nil; tried = true {
		m := c.currentMedia()
		switch state := m.current(); {
		case m.unknown.Load(), state == MediaClosed, state == MediaConnected, state == MediaConnecting && !tried:
			return
		}
		wait := restartTime
		if err := c.RestartICE(ctx); err != nil {
			c.log.Debug("ICE not restarted yet", "error", err)
			wait = pause.next()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-c.unwell:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// reportAll sends sender reports for as long as the client runs.
func (c *Client) reportAll(ctx context.Context) {
	timer := time.NewTimer(firstReport)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		wait := firstReport
		if c.reportOn(c.currentMedia()) {
			wait = reportEvery
		}
		c.mu.Lock()
		var coming *media // over which the client moves
		if c.move != nil && c.move.media != c.media {
			coming = c.move.media
		}
		c.mu.Unlock()
		if coming != nil {
			c.reportOn(coming)
			wait = firstReport
		}
		timer.Reset(wait)
	}
}

// reportOn sends sender reports if media flows.
func (c *Client) reportOn(m *media) bool {
	flows := m.current() == MediaConnected
	if flows {
		m.sendReports(c.clock, c.ticket.ParticipantID)
	}
	return flows
}

// publishAll starts the sources of what is published from the beginning, together, once media can flow.
func (c *Client) publishAll(ctx context.Context) {
	select {
	case <-c.flows:
	case <-ctx.Done():
		return
	}
	epoch := time.Now()
	for _, pub := range c.opts.Publish {
		c.play(pub, epoch)
	}
}

// play paces the layers of one publication until it is unpublished or the client leaves.
func (c *Client) play(pub *Publication, epoch time.Time) {
	for _, s := range pub.senders {
		if s.from == nil {
			continue
		}
		c.background(func(ctx context.Context) {
			if err := s.run(ctx, pub.ended, epoch); err != nil {
				c.events.push(PublishEnded{Source: pub.source, RID: s.rid, Err: err})
			}
		})
	}
}
