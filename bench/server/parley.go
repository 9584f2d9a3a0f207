package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/parley-sfu/parley/internal/loopback"
)

// Parley is a node of its own on loopback: `parley serve` with everything embedded, data on disk in a new directory.
type Parley struct {
	*Process
	URL   string // of REST
	Token string // a user token with all rights

	dir string
}

// StartParley runs the binary and returns when the node is ready. The only settings that differ from the defaults are addresses
// and the limits of requests a second, which a whole crowd from one address would meet.
func StartParley(ctx context.Context, binary string) (*Parley, error) {
	dir, err := os.MkdirTemp("", "parley-measured-")
	if err != nil {
		return nil, err
	}
	p := &Parley{dir: dir}
	if err := p.start(ctx, binary); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *Parley) start(ctx context.Context, binary string) error {
	listen, err := loopback.Free(ctx)
	if err != nil {
		return err
	}
	p.URL = "http://" + listen
	config, err := p.configure(listen)
	if err != nil {
		return err
	}
	token, err := exec.CommandContext(ctx, binary, "token", "--config", config).Output()
	if err != nil {
		return fmt.Errorf("parley token: %w", err)
	}
	p.Token = strings.TrimSpace(string(token))
	if p.Process, err = Start(ctx, binary, "serve", "--config", config); err != nil {
		return err
	}
	return p.awaitReady(ctx)
}

// configure writes the configuration and returns its path. It is JSON, and so YAML as well.
func (p *Parley) configure(listen string) (path string, err error) {
	const plenty = 1_000_000
	rate := map[string]any{"per_second": plenty, "burst": plenty}
	body, err := json.Marshal(map[string]any{
		"region": "here", "listen": listen, "data_dir": p.dir,
		"log":  map[string]any{"level": "warn"},
		"node": map[string]any{"media": map[string]any{"listen": "127.0.0.1:0"}},
		"turn": map[string]any{"listen": "127.0.0.1:0", "tls_listen": "127.0.0.1:0"},
		"api": map[string]any{
			"public_url":  p.URL,
			"api_keys":    []map[string]any{{"id": "measure", "secret": rand.Text() + rand.Text()}},
			"caller_rate": rate, "address_rate": rate,
		},
	})
	if err != nil {
		return "", err
	}
	path = filepath.Join(p.dir, "parley.yaml")
	return path, os.WriteFile(path, body, 0o600)
}

func (p *Parley) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		err := p.Call(ctx, http.MethodGet, "/readyz", nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-retry.C:
		case <-p.ended:
			return fmt.Errorf("parley has ended: %s", p.Said())
		case <-ctx.Done():
			return fmt.Errorf("parley is not ready: %w\n%s", err, p.Said())
		}
	}
}

// Call makes a REST call; a refusal is an error. A nil answer ignores the body.
func (p *Parley) Call(ctx context.Context, method, path string, body, answer any) error {
	var payload io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.URL+path, payload)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.Token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	switch {
	case err != nil:
		return err
	case resp.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, read)
	case answer == nil:
		return nil
	}
	return json.Unmarshal(read, answer)
}

// Meeting makes a meeting that so many guests may join, and returns its id.
func (p *Parley) Meeting(ctx context.Context, people, cameras int) (id string, err error) {
	var made struct {
		ID string `json:"id"`
	}
	err = p.Call(ctx, http.MethodPost, "/v1/meetings", map[string]any{"title": "Measured", "settings": map[string]any{
		"max_participants": people, "max_cameras": max(cameras, 1), "waiting_room": false, "guests": true,
	}}, &made)
	return made.ID, err
}

// Stop ends the node and removes its data.
func (p *Parley) Stop() error {
	var err error
	if p.Process != nil {
		err = p.Process.Stop()
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}
