// Package split is a TLS port that strangers reach: it accepts connections, shakes hands, and hands each on by the first byte
// that it sends, to HTTP or to TURN (RFC 7983, RFC 8656). So HTTPS, WebSocket and TURN over TLS share one port of one address,
// which gets through a firewall that lets out nothing but TCP 443.
//
// Everything that a connection can cost before it is handed on is bounded: time, bytes, goroutines, and the processor time
// of handshakes, in all and for each address. Media keeps its cores whoever floods the port. What is said on a connection
// that was handed on is the business of whoever accepted it; the port only goes on counting it until it is closed.
package split

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"
)

// Deps are what a Port stands on. All but TURNOnly are required.
type Deps struct {
	Name     string       // of the port in metrics
	Listener net.Listener // plain TCP; the Port closes it
	TLS      *tls.Config  // with certificates; application protocols that it names are for certificates only (RFC 8737)
	TURNOnly bool         // nothing but TURN is handed on
	Log      *slog.Logger
}

// Port is a TLS port. All methods are safe for concurrent use.
type Port struct {
	cfg     Config
	deps    Deps
	door    *door
	conf    *tls.Config // its GetConfigForClient answers one of the next two
	named   *tls.Config // for clients that name an application protocol which we know, or none
	unnamed *tls.Config // for clients that name others: a relay's clients have names of their own
	crypto  chan struct{}
	http    *side
	turn    *side
	figures figures
}

// New makes a Port and starts nothing: connections are accepted from Run on.
func New(cfg Config, deps Deps) (*Port, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("split: config: %w", err)
	}
	if deps.Name == "" || deps.Listener == nil || deps.TLS == nil || deps.Log == nil {
		return nil, errors.New("split: a dependency is missing")
	}
	p := &Port{
		cfg: cfg, deps: deps, door: newDoor(cfg),
		crypto:  make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		http:    newSide(deps.Listener.Addr()),
		turn:    newSide(deps.Listener.Addr()),
		figures: newFigures(deps.Name),
	}
	p.named, p.unnamed = deps.TLS.Clone(), deps.TLS.Clone()
	p.named.NextProtos = append(p.protocols(), deps.TLS.NextProtos...)
	p.unnamed.NextProtos = nil
	p.conf = p.named.Clone()
	p.conf.GetConfigForClient = p.begin
	p.door.measure(deps.Name)
	if deps.TURNOnly {
		_ = p.http.Close()
	}
	return p, nil
}

// HTTP returns the listener of HTTP/1.1 and HTTP/2. What it accepts has shaken hands; HTTP/2 by its application protocol is a
// *tls.Conn, as net/http wants it. It is closed by whoever accepts from it, before or after the port ends; further connections
// of that kind are closed at once then, and the port stays open for the others.
func (p *Port) HTTP() net.Listener { return p.http }

// TURN returns the listener of TURN over TLS, likewise.
func (p *Port) TURN() net.Listener { return p.turn }

// Run accepts connections until ctx ends; then it returns nil. Connections that were handed on belong to whoever accepted
// them, and stay open; so do the listeners of HTTP and TURN, from which nothing comes any more.
func (p *Port) Run(ctx context.Context) error {
	own, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { p.door.forget(own) })
	wg.Go(func() {
		<-own.Done()
		_ = p.deps.Listener.Close()
		p.door.closePending()
	})
	err := p.accept(own, &wg)
	stop()
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("split: %s: %w", p.deps.Name, err)
}

// accept takes connections in until ctx ends or the listener is gone. It outlasts moments when the system is short of
// descriptors or memory.
func (p *Port) accept(ctx context.Context, wg *sync.WaitGroup) error {
	const longest = time.Second
	var pause time.Duration
	for ctx.Err() == nil {
		tcp, err := p.deps.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			pause = min(max(2*pause, 5*time.Millisecond), longest)
			p.deps.Log.Warn("a connection could not be accepted", "port", p.deps.Name, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			continue
		}
		pause = 0
		c := newConn(tcp)
		oldest, refused := p.door.enter(c)
		if refused != "" {
			p.figures.refused(refused)
			c.reset()
			continue
		}
		if oldest != nil {
			p.figures.refused(refusedOldest)
			oldest.reset()
		}
		if ctx.Err() != nil { // after closePending
			c.reset()
			break
		}
		wg.Go(func() { p.receive(ctx, c) })
	}
	return ctx.Err()
}
