package bus

import (
	"bufio"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// TestAcknowledgedMeansOnDisk asks the running server itself, not the options that it was given.
func TestAcknowledgedMeansOnDisk(t *testing.T) {
	cfg := embeddedConfig(t)
	srv, err := startEmbedded(cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer srv.stop()
	js := srv.JetStreamConfig()
	if js == nil || !js.SyncAlways {
		t.Fatalf("the server's JetStream runs with %+v, want SyncAlways", js)
	}
	if !strings.HasPrefix(js.StoreDir, cfg.DataDir) || js.MaxStore != cfg.StoreMaxBytes {
		t.Errorf("the server keeps %d bytes in %s", js.MaxStore, js.StoreDir)
	}
}

func TestBucketsAreFilesThatAreNotWrittenLater(t *testing.T) {
	b := startEmbeddedBus(t)
	if _, err := b.Bucket(t.Context(), BucketConfig{Name: "meetings"}); err != nil {
		t.Fatal(err)
	}
	l, err := b.current()
	if err != nil {
		t.Fatal(err)
	}
	stream, err := l.js.Stream(t.Context(), "KV_meetings")
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	if cfg.Storage != jetstream.FileStorage || cfg.PersistMode != jetstream.DefaultPersistMode || cfg.NoAck {
		t.Errorf("storage %v, persist mode %v, no ack %v", cfg.Storage, cfg.PersistMode, cfg.NoAck)
	}
}

func TestWhatIsStoredOutlivesTheProcess(t *testing.T) {
	cfg := embeddedConfig(t)
	first, stop := start(t, cfg)
	await(t, first.Ready())
	if _, err := bucket(t, first, BucketConfig{Name: "m"}).Create(t.Context(), "a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	stop()
	second, _ := start(t, cfg)
	await(t, second.Ready())
	if e, err := bucket(t, second, BucketConfig{Name: "m"}).Get(t.Context(), "a"); err != nil || string(e.Value) != "1" {
		t.Errorf("Get = %q, %v", e.Value, err)
	}
}

func TestAFolderHasOneOwner(t *testing.T) {
	cfg := embeddedConfig(t)
	b, _ := start(t, cfg)
	await(t, b.Ready())
	other, err := New(cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("Run of a second owner = %v", err)
	}
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := map[string]func(*Config){
		"folder is a file": func(c *Config) { c.DataDir = file },
		"store is a file": func(c *Config) {
			c.DataDir = t.TempDir()
			if err := os.WriteFile(filepath.Join(c.DataDir, "jetstream"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"port is taken":        func(c *Config) { c.Listen = taken.Addr().String() },
		"port is not a number": func(c *Config) { c.Listen = "127.0.0.1:nats" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := embeddedConfig(t)
			change(&cfg)
			b, err := New(cfg, discard())
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Run(t.Context()); err == nil || strings.Contains(err.Error(), "does not answer") {
				t.Errorf("Run = %v, want the reason", err)
			}
		})
	}
}

func TestWithoutListenNoPortIsOpen(t *testing.T) {
	before := listeners(t)
	startEmbeddedBus(t)
	if after := listeners(t); after != before {
		t.Errorf("the process listens on %d sockets, %d before", after, before)
	}
}

func TestListenTakesOtherClientsThatKnowTheToken(t *testing.T) {
	cfg := embeddedConfig(t)
	cfg.Listen, cfg.Token = "127.0.0.1:0", "right"
	srv, err := startEmbedded(cfg, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer srv.stop()

	remote := Defaults()
	remote.URL, remote.Token = srv.ClientURL(), "wrong"
	stranger, _ := start(t, remote)
	remote.Token = "right"
	friend, stopFriend := start(t, remote)
	await(t, friend.Ready())
	if stranger.Connected() {
		t.Error("a client with the wrong token is connected")
	}
	stopFriend()

	own, err := friendOf(t, cfg, srv)
	if err != nil {
		t.Fatal(err)
	}
	own.conn.Close()
}

// friendOf connects in process, where the token is asked for too.
func friendOf(t *testing.T, cfg Config, srv *embedded) (*link, error) {
	t.Helper()
	b, err := New(cfg, discard())
	if err != nil {
		return nil, err
	}
	l, err := b.dial(srv)
	if err != nil {
		return nil, err
	}
	_, err = l.js.AccountInfo(t.Context())
	return l, err
}

// listeners counts this process's listening TCP sockets as the kernel sees them.
func listeners(t *testing.T) int {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(fds) == 0 {
		t.Skip("counted from /proc, which this system has not")
	}
	own := make(map[string]bool)
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil {
			own[target] = true // socket:[inode]
		}
	}
	n := 0
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue // no IPv6
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			cols := strings.Fields(lines.Text())
			if len(cols) > 9 && cols[3] == "0A" && own["socket:["+cols[9]+"]"] {
				n++
			}
		}
		f.Close()
	}
	return n
}

func TestTheListenerCountSeesListeners(t *testing.T) {
	before := listeners(t)
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if listeners(t) != before+1 {
		t.Error("a listener was not counted")
	}
}

var _ server.Logger = (*serverLog)(nil)
