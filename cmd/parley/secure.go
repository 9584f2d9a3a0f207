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

// relays are the ways in to the relay by TLS. Who has none closes them. The port that it shares with HTTPS is reached by a
// name that the certificate is for, as clients check: the first that turn.advertise names, or else where people reach the node.
func (s *secure) relays(cfg Config) (ways []turn.TLSListener) {
	for _, p := range s.ports() {
		way := turn.TLSListener{Listener: p.TURN()}
		if p == s.port {
			way.Host, way.Port = hostAndPort(cfg.API.PublicURL)
			for _, host := range cfg.Turn.Advertise {
				if _, err := netip.ParseAddr(host); err != nil {
					way.Host = host
					break
				}
			}
		}
		ways = append(ways, way)
	}
	return ways
}

// hostAndPort are those of an https URL.
func hostAndPort(rawURL string) (host string, port int) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "", 0
	}
	if port, err = strconv.Atoi(u.Port()); err != nil {
		port = 443
	}
	return u.Hostname(), port
}

// runCertificates keeps the certificates fresh, and reads their files again at SIGHUP.
func (s *secure) runCertificates(ctx context.Context) error {
	if s == nil {
		<-ctx.Done()
		return nil
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range hup {
			_ = s.certs.Reload() // it is logged
		}
	}()
	err := s.certs.Run(ctx)
	signal.Stop(hup)
	close(hup)
	<-done
	return err
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
