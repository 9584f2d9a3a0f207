package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/api"
)

// write puts a configuration file into a directory of the test.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "parley.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadLaysFileOverDefaultsAndEnvironmentOverFile(t *testing.T) {
	path := write(t, `
region: eu-west
listen: 127.0.0.1:1
grant:
  join_ttl: 2m
api:
  public_url: https://meet.example
  trusted_proxies: [10.0.0.1, 10.0.0.2]
  api_keys: [{id: a, secret: 0123456789abcdef0123456789abcdef}]
signal:
`)
	cfg, err := load(path, []string{
		"PARLEY_LISTEN=127.0.0.1:2", "PARLEY_GRANT_RESUME_TTL=1h", "PARLEY_API_TRUSTED_PROXIES=10.0.0.3",
		"PARLEY_SIGNAL_MESSAGE_BURST=7", "PARLEY_NODE_MEDIA_TCP=false", "HOME=/", "PARLEYX=1",
	})
	if err != nil {
		t.Fatal(err)
	}
	defaults := Defaults()
	for _, tc := range []struct {
		key       string
		got, want any
	}{
		{"region, from the file", cfg.Region, "eu-west"},
		{"listen, from the environment over the file", cfg.Listen, "127.0.0.1:2"},
		{"data_dir, the default", cfg.DataDir, defaults.DataDir},
		{"grant.join_ttl, from the file", cfg.Grant.JoinTTL, 2 * time.Minute},
		{"grant.resume_ttl, from the environment", cfg.Grant.ResumeTTL, time.Hour},
		{"signal.message_burst, a number from the environment", cfg.Signal.MessageBurst, 7},
		{"node.media.tcp, a truth value from the environment", cfg.Node.Media.TCP, false},
		{"bus.data_dir, derived", cfg.Bus.DataDir, filepath.Join(defaults.DataDir, "bus")},
	} {
		if tc.got != tc.want {
			t.Errorf("%s = %v, want %v", tc.key, tc.got, tc.want)
		}
	}
	if want := []string{"10.0.0.3"}; !slices.Equal(cfg.API.TrustedProxies, want) {
		t.Errorf("api.trusted_proxies = %v, want %v", cfg.API.TrustedProxies, want)
	}
	if want := []api.APIKey{{ID: "a", Secret: "0123456789abcdef0123456789abcdef"}}; !slices.Equal(cfg.API.APIKeys, want) {
		t.Errorf("api.api_keys = %v, want %v", cfg.API.APIKeys, want)
	}
	if want := []string{"https://meet.example"}; !slices.Equal(cfg.Signal.Origins, want) || !slices.Equal(cfg.API.AllowedOrigins, want) {
		t.Errorf("origins = %v and %v, want the public URL's own", cfg.Signal.Origins, cfg.API.AllowedOrigins)
	}
}

func TestOriginOf(t *testing.T) {
	for url, want := range map[string]string{
		"https://meet.example":          "https://meet.example",
		"https://Meet.Example:443":      "https://meet.example",
		"https://meet.example:8443/x":   "https://meet.example:8443",
		"http://[2001:db8::1]:80":       "http://[2001:db8::1]",
		"http://meet.example:443":       "http://meet.example:443",
		"meet.example":                  "",
		"https://192.0.2.1:443/m/mtg_1": "https://192.0.2.1",
	} {
		if got := originOf(url); got != want {
			t.Errorf("originOf(%q) = %q, want %q", url, got, want)
		}
	}
}

func TestLoadTakesListsFromTheEnvironment(t *testing.T) {
	cfg, err := load("", []string{
		`PARLEY_API_API_KEYS=[{"id": "a", "secret": "0123456789abcdef0123456789abcdef"}]`,
		"PARLEY_API_TRUSTED_PROXIES=10.0.0.1,10.0.0.2",
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.API.APIKeys) != 1 || cfg.API.APIKeys[0].ID != "a" || len(cfg.API.TrustedProxies) != 2 {
		t.Errorf("api_keys = %v, trusted_proxies = %v", cfg.API.APIKeys, cfg.API.TrustedProxies)
	}
}

func TestLoadNamesEveryFaultAtOnce(t *testing.T) {
	path := write(t, `
regoin: eu-west
region: ""
listen: nowhere
log: {level: loud, format: xml}
bus: {urll: x, url: "http://x"}
grant: {join_ttl: -1s}
node: {max_slots: 0}
signal: {message_burst: 0}
api: {public_url: "ftp://x"}
`)
	_, err := load(path, []string{"PARLEY_LISTN=1", "PARLEY_API_API_KEYS=[{"})
	for _, key := range []string{
		"regoin:", "region:", "listen:", "log.level:", "log.format:", "bus.urll:", "bus.url:", "node.max_slots:",
		"signal.message_burst:", "api.public_url:", "PARLEY_LISTN:", "PARLEY_API_API_KEYS:",
	} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+key) {
			t.Errorf("no fault of its own names %s", key)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, tc := range []struct{ name, file, want string }{
		{"a wrong type", "signal: {message_burst: many}", "message_burst"},
		{"a misspelt key in a list", "api: {api_keys: [{idd: a}]}", "idd"},
		{"no YAML", "{", "configuration file"},
		{"a section that is none", "bus: 7", "bus"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := load(write(t, tc.file), nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("err = %v, want %q in it", err, tc.want)
			}
		})
	}
	if _, err := load(filepath.Join(t.TempDir(), "none.yaml"), nil); err == nil {
		t.Error("a file that does not exist was read")
	}
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{
		"URL": "url", "DataDir": "data_dir", "JoinTTL": "join_ttl", "TTLJoin": "ttl_join", "MessagesPerSec": "messages_per_sec",
	} {
		if got := snake(name); got != want {
			t.Errorf("snake(%s) = %s, want %s", name, got, want)
		}
	}
}

// No two keys may be set by one environment variable.
func TestEnvironmentVariablesAreUnambiguous(t *testing.T) {
	seen := map[string]string{}
	for _, key := range keysOf(Config{}) {
		if other, taken := seen[envOf(key)]; taken {
			t.Errorf("%s sets both %s and %s", envOf(key), key, other)
		}
		seen[envOf(key)] = key
	}
}
