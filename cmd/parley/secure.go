package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/parley-sfu/parley/api"
	"github.com/parley-sfu/parley/internal/cert"
	"github.com/parley-sfu/parley/internal/split"
)

// secure is what the node has of TLS. A nil one has nothing.
type secure struct {
	cfg   TLSConfig
	certs *cert.Source
	port  *split.Port // HTTPS, WebSocket and TURN
	log   *slog.Logger
}

// newSecure reads certificates and opens the port for TLS, if the node is to have one.
func newSecure(ctx context.Context, cfg TLSConfig, log *slog.Logger) (*secure, error) {
	if cfg.Listen == "" {
		return nil, nil //nolint:nilnil // nothing to have
	}
	s := &secure{cfg: cfg, log: log}
	ln, err := listenTLS(ctx, "tls.listen", cfg.Listen)
	if err != nil {
		return nil, err
	}
	at := 0
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
		at = tcp.Port
	}
	if s.certs, err = cert.New(cfg.Config, at, log); err == nil {
		s.port, err = split.New(cfg.Limits, split.Deps{Name: "tls", Listener: ln, TLS: s.certs.TLSConfig(), Log: log})
	}
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	// The relay takes what the port hands on as TURN. As long as there is none, it is hung up on.
	_ = s.port.TURN().Close()
	return s, nil
}

func listenTLS(ctx context.Context, key, address string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return ln, nil
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

func (s *secure) run(ctx context.Context) error {
	if s == nil {
		<-ctx.Done()
		return nil
	}
	return s.port.Run(ctx)
}

// serve serves HTTP on the port's share of it.
func (s *secure) serve(ctx context.Context, server *api.Server) error {
	if s == nil {
		<-ctx.Done()
		return nil
	}
	return server.Serve(ctx, s.port.HTTP())
}

// certified says whether there is a certificate where one is needed.
func (s *secure) certified() bool { return s == nil || !s.certs.Expiry().IsZero() }
