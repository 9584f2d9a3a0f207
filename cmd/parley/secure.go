package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/parley-sfu/parley/api"
	"github.com/parley-sfu/parley/internal/cert"
	"github.com/parley-sfu/parley/internal/split"
	"github.com/parley-sfu/parley/turn"
)

// secure is what the node has of TLS. A nil one has nothing.
type secure struct {
	certs *cert.Source
	port  *split.Port // HTTPS, WebSocket and TURN; nil: there is none
	turn  *split.Port // TURN alone; nil: there is none
}

// newSecure reads certificates and opens the ports that use them, if the node is to have any.
func newSecure(ctx context.Context, cfg Config, log *slog.Logger) (_ *secure, err error) {
	if !cfg.TLS.Set() {
		return nil, nil //nolint:nilnil // nothing to have
	}
	var listeners []net.Listener
	defer func() {
		if err != nil {
			for _, ln := range listeners {
				_ = ln.Close()
			}
		}
	}()
	open := func(key, address string) (net.Listener, error) {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		listeners = append(listeners, ln)
		return ln, nil
	}
	var whole, relays net.Listener
	if cfg.TLS.Listen != "" {
		if whole, err = open("tls.listen", cfg.TLS.Listen); err != nil {
			return nil, err
		}
	}
	if cfg.relaysTLS() {
		if relays, err = open("turn.tls_listen", cfg.Turn.TLSListen); err != nil {
			return nil, err
		}
	}
	s := &secure{}
	at := 0 // the port that proves control of the names
	if len(listeners) > 0 {
		at = listeners[0].Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens on TCP
	}
	if s.certs, err = cert.New(cfg.TLS.Config, at, log); err != nil {
		return nil, err
	}
	if whole != nil {
		if s.port, err = split.New(cfg.TLS.Limits, split.Deps{Name: "tls", Listener: whole, TLS: s.certs.TLSConfig(), Log: log}); err != nil {
			return nil, err
		}
	}
	if relays != nil {
		s.turn, err = split.New(cfg.TLS.Limits, split.Deps{Name: "turn", Listener: relays, TLS: s.certs.TLSConfig(), TURNOnly: true, Log: log})
	}
	return s, err
}

// ports are those that use the certificates.
func (s *secure) ports() (ports []*split.Port) {
	if s == nil {
		return nil
	}
	for _, p := range []*split.Port{s.port, s.turn} {
		if p != nil {
			ports = append(ports, p)
		}
	}
	return ports
}

// relays are the ways in to the relay by TLS. Who has none closes them.
func (s *secure) relays(cfg Config) (ways []turn.TLSListener) {
	for _, p := range s.ports() {
		way := turn.TLSListener{Listener: p.TURN()}
		if p == s.port {
			way.Host, way.Port = cfg.relayOverTLS()
		}
		ways = append(ways, way)
	}
	return ways
}

// relayOverTLS is where clients reach the relay on the port that it shares with HTTPS. Its certificate must be for that host, as
// clients check: the first name that turn.advertise has, or else where people reach the node.
func (c Config) relayOverTLS() (host string, port int) {
	u, err := url.Parse(c.API.PublicURL)
	if err != nil {
		return "", 0 // Validate has refused it
	}
	if port, err = strconv.Atoi(u.Port()); err != nil {
		port = 443
	}
	isName := func(host string) bool {
		_, err := netip.ParseAddr(host)
		return err != nil
	}
	if at := slices.IndexFunc(c.Turn.Advertise, isName); at >= 0 {
		return c.Turn.Advertise[at], port
	}
	return u.Hostname(), port
}

// runCertificates keeps the certificates fresh until ctx ends.
func (s *secure) runCertificates(ctx context.Context) error {
	if s == nil {
		<-ctx.Done()
		return nil
	}
	return s.certs.Run(ctx)
}

// reloadOnHangup has certificate files read again at SIGHUP, until stop is called. Where there are none the signal does nothing.
func (s *secure) reloadOnHangup() (stop func()) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range hup {
			if s != nil {
				_ = s.certs.Reload() // it is logged
			}
		}
	})
	return func() {
		signal.Stop(hup)
		close(hup)
		wg.Wait()
	}
}

// run serves the ports until ctx ends.
func (s *secure) run(ctx context.Context) error {
	ports := s.ports()
	if len(ports) == 0 {
		<-ctx.Done()
		return nil
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for _, p := range ports {
		wg.Go(func() { stop(p.Run(ctx)) })
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// serve serves HTTP on the port's share of it.
func (s *secure) serve(ctx context.Context, server *api.Server) error {
	if s == nil || s.port == nil {
		<-ctx.Done()
		return nil
	}
	return server.Serve(ctx, s.port.HTTP())
}

// certified says whether there is a certificate where one is needed.
func (s *secure) certified() bool { return s == nil || !s.certs.Expiry().IsZero() }
