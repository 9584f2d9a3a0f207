package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// Serve answers on ln, over HTTP/1.1 and, without TLS too, HTTP/2, until ctx ends; then it lets open requests finish for
// Timeouts.Shutdown. It closes ln. Sockets that were upgraded to WebSocket belong to the signalling plane, which closes
// them.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	server := s.httpServer()
	var wg sync.WaitGroup
	defer wg.Wait()
	done := make(chan struct{})
	defer close(done)
	wg.Go(func() {
		select {
		case <-done:
		case <-ctx.Done():
			s.shutdown(context.WithoutCancel(ctx), server)
		}
	})
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("api: serve: %w", err)
	}
	return nil
}

func (s *Server) shutdown(ctx context.Context, server *http.Server) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeouts.Shutdown)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		s.deps.Log.Warn("requests cut on stop", "error", err)
		_ = server.Close()
	}
}

// httpServer has a deadline on everything that a slow client could hold open. net/http lifts them all from a
// connection that is hijacked, which is what a WebSocket upgrade does.
func (s *Server) httpServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: s.cfg.Timeouts.ReadHeader,
		ReadTimeout:       s.cfg.Timeouts.Read,
		WriteTimeout:      s.cfg.Timeouts.Write,
		IdleTimeout:       s.cfg.Timeouts.Idle,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: s.cfg.Timeouts.Idle},
		ErrorLog:          slog.NewLogLogger(s.deps.Log.Handler(), slog.LevelDebug),
	}
}

const (
	maxHeaderBytes = 32 << 10 // a bearer token of 8 KiB and room for a proxy's additions
	maxStreams     = 128      // HTTP/2 requests at once on one connection
)
