package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// fakeKeys counts rotations and may refuse them.
type fakeKeys struct {
	rotated int
	refuse  error
}

func (k *fakeKeys) JWKS() []byte {
	return []byte(`{"keys":[{"kid":"k1","alg":"EdDSA","use":"sig"}]}`)
}

func (k *fakeKeys) Rotate(context.Context) error {
	k.rotated++
	return k.refuse
}

// serveControl runs a control socket until the test ends and returns its data directory.
func serveControl(t *testing.T, keys signingKeys) string {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- newControl(dir, keys, slog.New(slog.DiscardHandler)).run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	deadline := time.After(10 * time.Second)
	for tick := time.NewTicker(time.Millisecond); ; {
		if info, err := os.Stat(controlSocket(dir)); err == nil && info.Mode().Perm() == 0o600 {
			return dir
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the control socket did not appear, or others may open it")
		}
	}
}

func TestKeysCommandsAskTheRunningNode(t *testing.T) {
	keys := &fakeKeys{}
	dir := serveControl(t, keys)
	if code, out, _ := parley(t, "keys", "list", "--data", dir); code != exitOK || !strings.Contains(out, "k1  EdDSA  sig") {
		t.Errorf("keys list: exit code %d, %q", code, out)
	}
	if code, _, err := parley(t, "keys", "rotate", "--data", dir); code != exitOK || keys.rotated != 1 {
		t.Errorf("keys rotate: exit code %d, rotated %d times, %s", code, keys.rotated, err)
	}
}

func TestARefusedRotationIsAnError(t *testing.T) {
	dir := serveControl(t, &fakeKeys{refuse: errors.New("the bus is away")})
	if err := askControl(t.Context(), dir, http.MethodPost, "/keys/rotate", nil); err == nil {
		t.Error("a refused rotation is no error")
	}
}
