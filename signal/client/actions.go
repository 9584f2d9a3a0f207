package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/parley-sfu/parley/signal/wire"
)

// Presence changes any of the client's own presence. Muting stops the microphone or camera at once and then tells the
// room; unmuting tells the room first.
func (c *Client) Presence(ctx context.Context, update wire.PresenceUpdate) error {
	c.muteLocally(update, true)
	sock, err := c.liveSocket()
	if err == nil {
		_, err = c.callOn(ctx, sock, wire.TypePresenceUpdate, update)
	}
	if err != nil {
		return fmt.Errorf("presence: %w", err)
	}
	c.mu.Lock()
	merge(&c.presence, update)
	if c.move != nil && c.move.from == sock {
		merge(&c.move.said, update)
	}
	c.mu.Unlock()
	c.muteLocally(update, false)
	return nil
}

// muteLocally applies the part of an update that mutes, or the part that unmutes.
func (c *Client) muteLocally(update wire.PresenceUpdate, muting bool) {
	for _, pub := range c.publications() {
		if pub.source == SourceMicrophone && update.AudioMuted != nil && *update.AudioMuted == muting {
			pub.SetMuted(muting)
		}
		if pub.source == SourceCamera && update.VideoMuted != nil && *update.VideoMuted == muting {
			pub.SetMuted(muting)
		}
	}
}

// Chat sends a message to everyone, or to one participant.
func (c *Client) Chat(ctx context.Context, text, to string) error {
	if _, err := c.call(ctx, wire.TypeChat, wire.ChatSend{Text: text, To: to}); err != nil {
		return fmt.Errorf("chat: %w", err)
	}
	return nil
}

// SubscribeAuto lets the server fill every slot.
func (c *Client) SubscribeAuto(ctx context.Context) error {
	return c.subscribe(ctx, wire.SubscriptionUpdate{Mode: "auto"})
}

// Subscribe says by hand what each video slot should carry and how large it is shown. A slot without a track lets the
// server choose one, and keeps to the size. Slots that are not named carry nothing.
func (c *Client) Subscribe(ctx context.Context, slots ...wire.SlotRequest) error {
	return c.subscribe(ctx, wire.SubscriptionUpdate{Mode: "manual", Slots: slots})
}

func (c *Client) subscribe(ctx context.Context, wish wire.SubscriptionUpdate) error {
	sock, err := c.liveSocket()
	if err == nil {
		_, err = c.callOn(ctx, sock, wire.TypeSubscriptionUpdate, wish)
	}
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subscribed, c.on = &wish, sock
	return nil
}

// Admit lets a participant in from the lobby. Hosts only, as are the following.
func (c *Client) Admit(ctx context.Context, participantID string) error {
	return c.moderate(ctx, wire.TypeAdmit, wire.Target{ParticipantID: participantID})
}

// Deny sends a participant away from the lobby.
func (c *Client) Deny(ctx context.Context, participantID string) error {
	return c.moderate(ctx, wire.TypeDeny, wire.Target{ParticipantID: participantID})
}

// Remove sends a participant out of the room for good.
func (c *Client) Remove(ctx context.Context, participantID string) error {
	return c.moderate(ctx, wire.TypeRemove, wire.Target{ParticipantID: participantID})
}

// Mute mutes a participant's microphone or camera. Only the participant can unmute it.
func (c *Client) Mute(ctx context.Context, participantID, source string) error {
	return c.moderate(ctx, wire.TypeMute, wire.Mute{ParticipantID: participantID, Source: source})
}

// Lock sends everyone who comes from now on to the lobby.
func (c *Client) Lock(ctx context.Context) error { return c.moderate(ctx, wire.TypeLock, struct{}{}) }

// Unlock undoes Lock.
func (c *Client) Unlock(ctx context.Context) error {
	return c.moderate(ctx, wire.TypeUnlock, struct{}{})
}

// End ends the meeting for everyone.
func (c *Client) End(ctx context.Context) error { return c.moderate(ctx, wire.TypeEnd, struct{}{}) }

func (c *Client) moderate(ctx context.Context, kind string, body any) error {
	if _, err := c.call(ctx, kind, body); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

// reshape keeps others from changing what is offered until release is called, which may be more than once.
func (c *Client) reshape(ctx context.Context) (release func(), err error) {
	select {
	case c.shape <- struct{}{}:
		return sync.OnceFunc(func() { <-c.shape }), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// AddTracks publishes more, by another offer. When that fails nothing is published.
func (c *Client) AddTracks(ctx context.Context, pubs ...*Publication) error {
	release, err := c.reshape(ctx)
	if err != nil {
		return fmt.Errorf("add tracks: %w", err)
	}
	defer release()
	m := c.currentMedia()
	if m == nil {
		return ErrNoMedia
	}
	for _, pub := range pubs {
		if err := errors.Join(pub.validate(), pub.claim()); err != nil {
			return err
		}
	}
	if err := c.offerTracks(ctx, m, pubs); err != nil {
		for _, pub := range pubs {
			_ = m.unpublish(pub) // it may not have come that far
		}
		return fmt.Errorf("add tracks: %w", err)
	}
	c.mu.Lock()
	c.published = append(c.published, pubs...)
	c.mu.Unlock()
	c.applyLayers()
	epoch := time.Now()
	for _, pub := range pubs {
		c.play(pub, epoch)
	}
	return nil
}

func (c *Client) offerTracks(ctx context.Context, m *media, pubs []*Publication) error {
	for _, pub := range pubs {
		if err := m.publish(pub); err != nil {
			return err
		}
	}
	return c.renegotiate(ctx, false)
}

// Unpublish takes a publication back, by another offer.
func (c *Client) Unpublish(ctx context.Context, pub *Publication) error {
	release, err := c.reshape(ctx)
	if err != nil {
		return fmt.Errorf("unpublish: %w", err)
	}
	defer release()
	m := c.currentMedia()
	if m == nil {
		return ErrNoMedia
	}
	if err := m.unpublish(pub); err != nil {
		return err
	}
	c.mu.Lock()
	c.published = slices.DeleteFunc(c.published, func(p *Publication) bool { return p == pub })
	c.mu.Unlock()
	pub.stop()
	if err := c.renegotiate(ctx, false); err != nil {
		return fmt.Errorf("unpublish: %w", err)
	}
	return nil
}

// AddSlots asks for more receiving slots, by another offer.
func (c *Client) AddSlots(ctx context.Context, audio, video int) error {
	release, err := c.reshape(ctx)
	if err != nil {
		return fmt.Errorf("add slots: %w", err)
	}
	defer release()
	m := c.currentMedia()
	if m == nil {
		return ErrNoMedia
	}
	if err := m.addSlots(audio, video); err != nil {
		return err
	}
	c.mu.Lock()
	c.opts.AudioSlots += audio // a new session asks for as many from the start
	c.opts.VideoSlots += video
	c.mu.Unlock()
	if err := c.renegotiate(ctx, false); err != nil {
		return fmt.Errorf("add slots: %w", err)
	}
	return nil
}

// RestartICE makes a new path for media, by another offer with new credentials (RFC 8445, section 9). It returns when the
// server has answered; MediaStateChanged tells when media flows again. The client does so by itself when the path is lost.
func (c *Client) RestartICE(ctx context.Context) error {
	if err := c.renegotiate(ctx, true); err != nil {
		return fmt.Errorf("restart ICE: %w", err)
	}
	return nil
}
