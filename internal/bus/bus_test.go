package bus

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/parley-sfu/parley/internal/loopback"
)

// patience is how long a test waits for what must happen soon.
const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a Bus until the test ends or stop is called, which waits for it.
func start(t *testing.T, cfg Config) (b *Bus, stop func()) {
	t.Helper()
	b, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := await(t, done); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	}
	t.Cleanup(stop)
	return b, stop
}

// startEmbeddedBus runs a Bus with a server of its own and waits until it is ready.
func startEmbeddedBus(t *testing.T) *Bus {
	t.Helper()
	b, _ := start(t, embeddedConfig(t))
	await(t, b.Ready())
	return b
}

func embeddedConfig(t *testing.T) Config {
	t.Helper()
	cfg := Defaults()
	cfg.DataDir = t.TempDir()
	return cfg
}

func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("waited in vain")
	}
	var none T
	return none
}

// external is a NATS server behind a real socket, that can go away and come back at the same address.
type external struct {
	t    *testing.T
	opts server.Options
	srv  *server.Server
}

func startExternal(t *testing.T) *external {
	t.Helper()
	return startServer(t, server.Options{
		JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, JetStreamMaxStore: 64 << 20, JetStreamMaxMemory: 1 << 20,
	})
}

func startServer(t *testing.T, opts server.Options) *external {
	t.Helper()
	address, err := loopback.Free(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(address)
	opts.Host, opts.Port, opts.NoSigs = at.Addr().String(), int(at.Port()), true
	e := &external{t: t, opts: opts}
	e.up()
	t.Cleanup(e.down)
	return e
}

func (e *external) up() {
	e.t.Helper()
	opts := e.opts
	srv, err := server.NewServer(&opts)
	if err != nil {
		e.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		e.t.Fatal("the external server does not start")
	}
	e.srv = srv
}

func (e *external) down() {
	e.srv.Shutdown()
	e.srv.WaitForShutdown()
}

func (e *external) config() Config {
	cfg := Defaults()
	cfg.URL = e.srv.ClientURL()
	return cfg
}

// awaitConnected waits for the state of the connection, by the signals of the bus for up and by asking for down.
func awaitConnected(t *testing.T, b *Bus, want bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for b.Connected() != want {
		await(t, tick.C)
		if t.Context().Err() != nil {
			t.Fatal("the test ended")
		}
	}
}

func TestConfig(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		faults []string
	}{
		"embedded":              {func(c *Config) { c.DataDir = "d" }, nil},
		"external":              {func(c *Config) { c.URL = "nats://h:4222, tls://h2:4222" }, nil},
		"no folder":             {func(*Config) {}, []string{"data_dir"}},
		"all at once":           {func(c *Config) { *c = Config{} }, []string{"data_dir", "store_max_bytes", "outbox_bytes", "replicas"}},
		"three copies":          {func(c *Config) { c.URL, c.Replicas = "nats://h", 3 }, nil},
		"too many copies":       {func(c *Config) { c.URL, c.Replicas = "nats://h", 6 }, []string{"replicas"}},
		"copies of one server":  {func(c *Config) { c.DataDir, c.Replicas = "d", 3 }, []string{"replicas"}},
		"open to all":           {func(c *Config) { c.DataDir, c.Listen = "d", "0.0.0.0:4222" }, []string{"token"}},
		"open with a token":     {func(c *Config) { c.DataDir, c.Listen, c.Token = "d", ":4222", "s" }, nil},
		"loopback":              {func(c *Config) { c.DataDir, c.Listen = "d", "127.0.0.1:4222" }, nil},
		"listen without port":   {func(c *Config) { c.DataDir, c.Listen = "d", "localhost" }, []string{"listen"}},
		"external that listens": {func(c *Config) { c.URL, c.Listen = "nats://h", "127.0.0.1:1" }, []string{"listen"}},
		"wrong scheme":          {func(c *Config) { c.URL = "http://h:4222" }, []string{`"http"`}},
		"no host":               {func(c *Config) { c.URL = "nats://" }, []string{"host"}},
		"secrets stay secret":   {func(c *Config) { c.URL = "nats://u:hunter2@h\x00" }, []string{"not a URL"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := Defaults()
			tc.change(&cfg)
			err := cfg.Validate()
			if (err == nil) != (tc.faults == nil) {
				t.Fatalf("Validate = %v, want faults %v", err, tc.faults)
			}
			for _, f := range tc.faults {
				if !strings.Contains(err.Error(), f) {
					t.Errorf("Validate = %v, want it to name %s", err, f)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestNewRefusesAnInvalidConfig(t *testing.T) {
	if _, err := New(Config{}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("New accepted an empty configuration")
	}
}

func TestBeforeAndAfterRunNothingIsAvailable(t *testing.T) {
	b, err := New(embeddedConfig(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	expectUnavailable(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	await(t, b.Ready())
	cancel()
	if err := await(t, done); err != nil {
		t.Fatalf("Run = %v", err)
	}
	expectUnavailable(t, b)
}

// expectUnavailable makes every call and wants a quick ErrUnavailable.
func expectUnavailable(t *testing.T, b *Bus) {
	t.Helper()
	if b.Connected() {
		t.Error("Connected, want not")
	}
	k, err := b.Bucket(t.Context(), BucketConfig{Name: "away"})
	if err != nil {
		t.Fatalf("Bucket = %v, want a handle for later", err)
	}
	ctx := t.Context()
	calls := map[string]func() error{
		"Request": func() error { _, err := b.Request(ctx, "a", nil); return err },
		"Get":     func() error { _, err := k.Get(ctx, "a"); return err },
		"Create":  func() error { _, err := k.Create(ctx, "a", nil); return err },
		"Update":  func() error { _, err := k.Update(ctx, "a", nil, 1); return err },
		"Put":     func() error { _, err := k.Put(ctx, "a", nil); return err },
		"Delete":  func() error { return k.Delete(ctx, "a") },
		"List":    func() error { _, err := k.List(ctx, "", 1); return err },
	}
	for name, call := range calls {
		began := time.Now()
		if err := call(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s = %v, want ErrUnavailable", name, err)
		}
		if took := time.Since(began); took > callTimeout+time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
	if err := b.Publish("a", nil); err != nil {
		t.Errorf("Publish = %v, want nil", err)
	}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// run runs b until the test ends.
func run(t *testing.T, b *Bus) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := await(t, done); err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
	})
}

// Addresses may hold a password, which the log is not to show.
func TestTheLogShowsNoSecrets(t *testing.T) {
	ext := startExternal(t)
	var text safeText
	log := slog.New(slog.NewTextHandler(&text, nil))
	cfg := ext.config()
	cfg.URL = strings.Replace(ext.srv.ClientURL(), "nats://", "nats://parley:hunter2@", 1)
	b, err := New(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	run(t, b)
	awaitConnected(t, b, true)
	ext.down()
	awaitConnected(t, b, false)
	ext.up()
	awaitConnected(t, b, true)
	cfg.URL = "nats://parley:hunter2@h\x00"
	bad := &Bus{cfg: cfg, log: log}
	if _, err := bad.dial(nil); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("dial = %v", err)
	}
	if said := text.String(); strings.Contains(said, "hunter2") || !strings.Contains(said, "bus: connected") {
		t.Errorf("the log says\n%s", said)
	}
}

// safeText is written by several goroutines.
type safeText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *safeText) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *safeText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
