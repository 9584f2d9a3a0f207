package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// control is the door for the operator on the same machine: a Unix socket in the data directory, which only the node's
// own user may open. It speaks HTTP to the parley command and to nobody else.
type control struct {
	path string
	keys signingKeys
	log  *slog.Logger
}

// signingKeys is what the operator may ask of the keys. *grant.Keyring is one.
type signingKeys interface {
	JWKS() []byte
	Rotate(ctx context.Context) error
}

func newControl(dataDir string, keys signingKeys, log *slog.Logger) *control {
	return &control{path: controlSocket(dataDir), keys: keys, log: log}
}

// controlSocket is where the node that has the data directory listens.
func controlSocket(dataDir string) string { return filepath.Join(dataDir, "control.sock") }

// run serves until ctx ends.
func (c *control) run(ctx context.Context) error {
	if err := os.Remove(c.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("left from an earlier run: %w", err)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", c.path)
	if err != nil {
		return fmt.Errorf("%w (a socket's path is at most 107 bytes long: a shorter data_dir helps)", err)
	}
	if err := os.Chmod(c.path, 0o600); err != nil {
		return errors.Join(err, ln.Close())
	}
	server := &http.Server{Handler: c.handler(), ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (c *control) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(c.keys.JWKS())
	})
	mux.HandleFunc("POST /keys/rotate", func(w http.ResponseWriter, r *http.Request) {
		if err := c.keys.Rotate(r.Context()); err != nil {
			c.log.Error("keys were not rotated", "error", err)
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		c.log.Info("keys rotated")
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// askControl asks the node that has the data directory. A nil answer is for calls without one.
func askControl(ctx context.Context, dataDir, method, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://node"+path, http.NoBody)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", controlSocket(dataDir))
		},
	}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no node answers for the data directory %s: %w", dataDir, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the node answered %s", resp.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
