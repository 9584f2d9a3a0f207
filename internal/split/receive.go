package split

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// Application protocols (RFC 7301, RFC 7443).
const (
	protocolHTTP2 = "h2"
	protocolHTTP1 = "http/1.1"
	protocolTURN  = "stun.turn"
)

// protocols are those that the port itself offers, best first.
func (p *Port) protocols() []string {
	if p.deps.TURNOnly {
		return []string{protocolTURN}
	}
	return []string{protocolHTTP2, protocolHTTP1, protocolTURN}
}

// receive brings one connection from its accepting to its handing over, or closes it.
func (p *Port) receive(ctx context.Context, c *conn) {
	to, handed, err := p.identify(c)
	if err == nil && to == nil {
		err = errUnknown
	}
	if err == nil && !p.door.pass(c, time.Now()) {
		err = net.ErrClosed // it was closed to make room
	}
	if err == nil {
		err = c.free()
	}
	if err == nil {
		err = to.deliver(ctx, handed, p.cfg.FirstByteTimeout)
	}
	if err != nil {
		p.figures.failed(err)
		c.reset()
		return
	}
	p.figures.handed(to == p.turn)
}

// Reasons to close a connection.
var (
	errUnknown    = errors.New("neither HTTP nor TURN")              //nolint:gochecknoglobals // a sentinel
	errChallenge  = errors.New("certificate challenge, all is said") //nolint:gochecknoglobals // likewise
	errTooMany    = errors.New("too many handshakes")                //nolint:gochecknoglobals // likewise
	errTooMuch    = errors.New("too much said before hand-over")     //nolint:gochecknoglobals // likewise
	errNoReceiver = errors.New("nobody takes the connection")        //nolint:gochecknoglobals // likewise
)

// identify shakes hands and says where the connection belongs, and as what it is handed on. Nowhere is nil.
func (p *Port) identify(c *conn) (*side, net.Conn, error) {
	start := time.Now()
	c.until = start.Add(p.cfg.HandshakeTimeout)
	if err := c.SetDeadline(c.until); err != nil {
		return nil, nil, err
	}
	c.allow(maxHandshakeBytes)
	secure := tls.Server(c, p.conf)
	err := secure.HandshakeContext(context.Background()) // the door ends it, by closing c
	c.flown()                                            // if it ended without an answer
	if err != nil {
		return nil, nil, err
	}
	p.figures.took(start)
	protocol := secure.ConnectionState().NegotiatedProtocol
	switch {
	case slices.Contains(p.deps.TLS.NextProtos, protocol):
		return nil, nil, errChallenge
	case protocol == protocolHTTP2:
		return p.http, secure, nil // net/http must see the protocol for itself
	}
	if err := c.SetDeadline(time.Now().Add(p.cfg.FirstByteTimeout)); err != nil {
		return nil, nil, err
	}
	c.allow(maxFirstBytes)
	begun := &begun{Conn: secure}
	if _, err := secure.Read(begun.first[:]); err != nil {
		return nil, nil, err
	}
	begun.unread.Store(true)
	return p.sideOf(begun.first[0]), begun, nil
}

// sideOf tells HTTP from TURN. A client of TURN begins with a STUN message, whose first two bits are 0 (RFC 8489 section 5)
// and, of those that RFC 7983 leaves to STUN, whose first byte is below 4. HTTP/1.1 begins with a method's name, and HTTP/2
// with the one that is kept for it (RFC 9113 section 3.4): letters.
func (p *Port) sideOf(first byte) *side {
	switch {
	case first < 4:
		return p.turn
	case p.deps.TURNOnly:
		return nil
	case 'A' <= first && first <= 'Z', 'a' <= first && first <= 'z':
		return p.http
	}
	return nil
}

// begin is called when a ClientHello is complete, before anything is computed: it waits for the connection's turn, and
// chooses by what application protocols the client names. A client that names none of ours, as some relay clients do, gets
// an answer that names none, instead of the alert of RFC 7301 section 3.2.
func (p *Port) begin(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c, ok := hello.Conn.(*conn)
	if !ok {
		return nil, net.ErrClosed
	}
	if err := p.awaitTurn(c); err != nil {
		return nil, err
	}
	known := func(name string) bool { return slices.Contains(p.named.NextProtos, name) }
	if len(hello.SupportedProtos) > 0 && !slices.ContainsFunc(hello.SupportedProtos, known) {
		return p.unnamed, nil
	}
	return p.named, nil
}

// awaitTurn waits until the rates allow a handshake, the address's own before that of all, and until one of few may compute
// at the same time. It gives up at the handshake's deadline.
func (p *Port) awaitTurn(c *conn) error {
	own := p.door.reserveOwn(c, time.Now())
	if own == nil {
		return net.ErrClosed
	}
	if err := c.wait(own, time.Until(c.until)); err != nil {
		return err
	}
	if all := p.door.reserveOfAll(c, time.Now()); all != nil {
		if err := c.wait(all, min(mostQueued, time.Until(c.until))); err != nil {
			return err
		}
	}
	limit := time.NewTimer(time.Until(c.until))
	defer limit.Stop()
	select {
	case p.crypto <- struct{}{}:
		c.onFlight(func() { <-p.crypto })
		return nil
	case <-c.gone:
		return net.ErrClosed
	case <-limit.C:
		return errTooMany
	}
}

// wait waits for a reservation's time, or gives it back when that is too long or the connection is closed.
func (c *conn) wait(r *rate.Reservation, most time.Duration) error {
	delay := r.Delay()
	if delay > most {
		r.Cancel()
		return errTooMany
	}
	if delay == 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.gone:
		r.Cancel()
		return net.ErrClosed
	}
}
