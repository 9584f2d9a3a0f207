package grant

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// memory is a Store shared by the nodes of a test.
type memory struct {
	mu       sync.Mutex // protects following
	values   map[string][]byte
	away     bool
	watchers []chan change
}

type change struct {
	key     string
	value   []byte
	deleted bool
}

var errAway = errors.New("away")

func newMemory() *memory { return &memory{values: make(map[string][]byte)} }

func (m *memory) Put(_ context.Context, key string, value []byte) (uint64, error) {
	return 1, m.apply(change{key: key, value: value})
}

func (m *memory) Delete(_ context.Context, key string) error {
	return m.apply(change{key: key, deleted: true})
}

func (m *memory) apply(c change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return errAway
	}
	if c.deleted {
		delete(m.values, c.key)
	} else {
		m.values[c.key] = c.value
	}
	for _, w := range m.watchers {
		w <- c
	}
	return nil
}

func (m *memory) setAway(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

func (m *memory) keys() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.values)
}

func (m *memory) WatchValues(ctx context.Context, f func(string, []byte, bool), caughtUp func()) error {
	changes := make(chan change, 1000)
	m.mu.Lock()
	for key, value := range m.values {
		changes <- change{key: key, value: value}
	}
	m.watchers = append(m.watchers, changes)
	m.mu.Unlock()
	if caughtUp != nil {
		caughtUp()
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-changes:
			f(c.key, c.value, c.deleted)
		}
	}
}

// refusing is a Store that cannot be watched.
type refusing struct{ *memory }

func (refusing) WatchValues(context.Context, func(string, []byte, bool), func()) error {
	return errAway
}

func newKeyring(t testing.TB, cfg Config, store Store) *Keyring {
	t.Helper()
	k, err := New(cfg, store, discard())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// anna is what the tests' tokens say.
func anna() Claims {
	return Claims{
		MeetingID: "mtg_1", ParticipantID: "pt_1", DisplayName: "Anna", Role: Attendee, Region: "eu-west",
		Nodes: []Candidate{
			{Node: "n1", Region: "eu-west", SFUEndpoint: "192.0.2.1:7881", SignalEndpoint: "wss://n1.example/v1/signal"},
			{Node: "n2", Region: "eu-west", SFUEndpoint: "192.0.2.2:7881", SignalEndpoint: "wss://n2.example/v1/signal"},
		},
		Settings: Settings{Revision: 7, MaxParticipants: 100, MaxCameras: 25, WaitingRoom: true},
		Subject:  "anna@example.org", RequestID: "req_1",
	}
}

func issueJoin(t testing.TB, k *Keyring, c Claims) string {
	t.Helper()
	token, _, err := k.IssueJoin(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestConfigNamesItsFaults(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		ok     bool
	}{
		"defaults":               {func(*Config) {}, true},
		"no issuer":              {func(c *Config) { c.Issuer = "" }, false},
		"no audience":            {func(c *Config) { c.Audience = "" }, false},
		"no lifetime":            {func(c *Config) { c.JoinTTL = 0 }, false},
		"resume before join":     {func(c *Config) { c.ResumeTTL = time.Minute }, false},
		"resume as long as join": {func(c *Config) { c.ResumeTTL = c.JoinTTL }, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := Defaults()
			tc.change(&cfg)
			if err := cfg.Validate(); (err == nil) != tc.ok {
				t.Errorf("Validate = %v", err)
			}
			if _, err := New(cfg, nil, discard()); (err == nil) != tc.ok {
				t.Errorf("New = %v", err)
			}
		})
	}
}
