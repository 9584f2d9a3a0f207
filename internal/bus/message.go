package bus

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// MaxMessage is the size of the largest message, in bytes: NATS's own default.
const MaxMessage = 1 << 20

// Publish sends data to whoever subscribed to subject, this process included. It never waits for the network: data is
// kept, and must not be changed, until it is sent. While NATS is away the newest Config.OutboxBytes are kept for when
// it is back and the older dropped (see Dropped). The only error is ErrInvalid.
func (b *Bus) Publish(subject string, data []byte) error {
	if !validSubject(subject) || strings.ContainsAny(subject, "*>") {
		return fmt.Errorf("bus: publish to %q: %w subject", subject, ErrInvalid)
	}
	if len(data) > MaxMessage {
		return fmt.Errorf("bus: publish to %s: %w: %d bytes are more than %d", subject, ErrInvalid, len(data), MaxMessage)
	}
	b.out.push(message{subject: subject, data: data})
	return nil
}

// pump sends what Publish was given.
func (b *Bus) pump(ctx context.Context, conn *nats.Conn) {
	for {
		again := b.Relinked()
		b.send(conn)
		select {
		case <-ctx.Done():
			return
		case <-b.out.wake:
		case <-again:
		}
	}
}

// send empties the outbox, as far as the connection takes it.
func (b *Bus) send(conn *nats.Conn) {
	if !b.Connected() {
		return
	}
	all := b.out.take()
	for i, m := range all {
		err := conn.Publish(m.subject, m.data)
		switch {
		case err == nil:
		case isUnavailable(err):
			b.out.putBack(all[i:])
			return
		default:
			b.out.dropped.Add(1)
			b.log.Error("bus: publish", "subject", m.subject, "err", err)
		}
	}
}

// Subscribe calls f for each message to subject, in which * stands for one token and a last > for any number. Calls
// come one at a time and in order; f must not block, and owns data. It may be called at any time, also before Run:
// while NATS is away the subscription waits. Unsubscribe may be called more than once; one last call of f may still be
// under way when it returns.
func (b *Bus) Subscribe(subject string, f func(subject string, data []byte)) (unsubscribe func(), err error) {
	return b.subscribe(subject, func(m *nats.Msg) { f(m.Subject, m.Data) })
}

func (b *Bus) subscribe(subject string, handle nats.MsgHandler) (func(), error) {
	if !validSubject(subject) {
		return func() {}, fmt.Errorf("bus: subscribe to %q: %w subject", subject, ErrInvalid)
	}
	s := &subscription{subject: subject, handle: handle}
	b.mu.Lock()
	b.subs[s] = struct{}{}
	l := b.link
	b.mu.Unlock()
	stop := func() {
		b.mu.Lock()
		delete(b.subs, s)
		b.mu.Unlock()
		s.stop()
	}
	if l == nil {
		return stop, nil
	}
	if err := s.start(l.conn); err != nil {
		stop()
		return func() {}, fail("subscribe to "+subject, err)
	}
	return stop, nil
}

// subscription is a wish to hear a subject, with or without a connection.
type subscription struct {
	subject string
	handle  nats.MsgHandler

	mu      sync.Mutex // protects following
	sub     *nats.Subscription
	stopped bool
}

// start subscribes, once, unless it was stopped.
func (s *subscription) start(conn *nats.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sub != nil || s.stopped {
		return nil
	}
	sub, err := conn.Subscribe(s.subject, s.handle)
	if err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	s.sub = sub
	return nil
}

// stop unsubscribes. A connection that is closed by now has done so.
func (s *subscription) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.sub == nil {
		return
	}
	_ = s.sub.Unsubscribe() // fails only when the connection or the subscription is gone already
}

// validSubject holds for dot-separated tokens, none empty, with * and > as whole tokens and > only at the end.
func validSubject(subject string) bool {
	tokens := strings.Split(subject, ".")
	for i, t := range tokens {
		switch {
		case t == "" || strings.ContainsAny(t, " \t\r\n\f\x00"):
			return false
		case len(t) > 1 && strings.ContainsAny(t, "*>"):
			return false
		case t == ">" && i != len(tokens)-1:
			return false
		}
	}
	return true
}
