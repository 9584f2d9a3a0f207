package grant_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/node/grant"
)

var _ grant.Store = (*bus.Bucket)(nil)

// TestOnTheRealBus has two nodes share keys and revocations through JetStream.
func TestOnTheRealBus(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	cfg := bus.Defaults()
	cfg.DataDir = t.TempDir()
	b, err := bus.New(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	run(t, b.Run)
	<-b.Ready()
	keys, revoked := bucket(t, b, "keys"), bucket(t, b, "revocations")

	here, there := keyring(t, keys), keyring(t, keys)
	token, _, err := here.IssueJoin(grant.Claims{MeetingID: "mtg_1", ParticipantID: "pt_1", Role: grant.Host})
	if err != nil {
		t.Fatal(err)
	}
	var claims grant.Claims
	eventually(t, "the other node knows the key", func() bool {
		claims, err = there.VerifyJoin(token)
		return err == nil
	})

	r1, r2 := grant.NewRevocations(revoked, log), grant.NewRevocations(revoked, log)
	run(t, r1.Run)
	run(t, r2.Run)
	if err := r1.Participant(t.Context(), "mtg_1", "pt_1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other node knows the revocation", func() bool { return r2.Revoked(claims) })
}

func bucket(t *testing.T, b *bus.Bus, name string) *bus.Bucket {
	t.Helper()
	k, err := b.Bucket(t.Context(), bus.BucketConfig{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func keyring(t *testing.T, store grant.Store) *grant.Keyring {
	t.Helper()
	k, err := grant.New(grant.Defaults(), store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	run(t, k.Run)
	return k
}

// run runs f until the test ends. What was run last stops first.
func run(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
