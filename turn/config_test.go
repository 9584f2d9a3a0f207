package turn

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	secret := "short-secret"
	err := Config{
		Listen: "nowhere", TLSListen: "x:1", Advertise: []string{"0.0.0.0", "a b", "1", "2", "3"}, Realm: "a:b",
		Secrets: []string{secret, "x", "y"}, Lifetime: time.Second, MinPort: 80, MaxPort: 79,
	}.Validate()
	for _, key := range []string{
		"listen:", "tls_listen:", "advertise: more", "advertise: 0.0.0.0", "advertise: \"a b\"", "realm:", "secrets: more", "secrets: each", "lifetime:",
		"min_port, max_port:", "max_allocations:", "per_credential:", "per_address:", "max_conns:", "max_conns_per_address:", "requests_per_second:",
	} {
		if err == nil || !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool { return strings.HasPrefix(line, key) }) {
			t.Errorf("no line begins with %q in\n%v", key, err)
		}
	}
	if strings.Contains(err.Error(), secret) {
		t.Error("a secret is told")
	}
}

func TestSecrets(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	mint := func(cfg Config, keys [][]byte, dir string) (string, *Credentials) {
		t.Helper()
		c, err := NewCredentials(cfg, keys, dir)
		if err != nil {
			t.Fatal(err)
		}
		_, password := c.Mint("pt_1", now)
		return password, c
	}
	old, fresh := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	dir := t.TempDir()
	plain := Defaults()
	configured := plain
	configured.Secrets = []string{"a-secret-of-the-operator"}

	ofCluster, _ := mint(plain, [][]byte{old}, t.TempDir())
	same, _ := mint(plain, [][]byte{old}, t.TempDir())
	rotated, both := mint(plain, [][]byte{fresh, old}, t.TempDir())
	alone, _ := mint(plain, nil, dir)
	again, _ := mint(plain, nil, dir)
	elsewhere, _ := mint(plain, nil, t.TempDir())
	said, _ := mint(configured, [][]byte{old}, t.TempDir())
	switch {
	case ofCluster != same:
		t.Error("two nodes of a cluster do not agree")
	case ofCluster == rotated || len(both.keys("1:x")) != 2:
		t.Error("the first key of two does not mint, or the second is good no longer")
	case alone != again || alone == elsewhere:
		t.Error("a node on its own does not keep a secret of its own")
	case said == ofCluster:
		t.Error("the operator's secret does not count")
	}
	info, err := os.Stat(filepath.Join(dir, secretFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(filepath.Join(dir, secretFile), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := NewCredentials(plain, nil, dir); err == nil {
		t.Error("a file that others can read is taken")
	}
}

// The form is the one that coturn and every WebRTC service use, to the letter.
func TestCredentialForm(t *testing.T) {
	cfg := Defaults()
	cfg.Secrets, cfg.Lifetime = []string{"north-south-east-west"}, time.Hour
	c, err := NewCredentials(cfg, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	user, password := c.Mint("pt_1", time.Unix(1795663967, 0))
	if user != "1795667567:pt_1" || password != "aWvtL4Llpo8euQivvXP766ICqXs=" {
		t.Errorf("%s %s", user, password)
	}
}

func TestURLs(t *testing.T) {
	for _, tc := range []struct {
		name      string
		addresses []string
		want      []string
	}{
		{"none", nil, nil},
		{"one", []string{"192.0.2.1:3478"}, []string{"stun:192.0.2.1:3478", "turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp"}},
		{"IPv6", []string{"[2001:db8::1]:3478"}, []string{"stun:[2001:db8::1]:3478", "turn:[2001:db8::1]:3478?transport=udp", "turn:[2001:db8::1]:3478?transport=tcp"}},
		{"all kinds", []string{"turn.example.org:3478", "192.0.2.1:3478", "192.0.2.2:3478", "[2001:db8::1]:3478", "s:turn.example.org:443"}, []string{
			"stun:turn.example.org:3478", "turn:turn.example.org:3478?transport=udp", "turn:turn.example.org:3478?transport=tcp",
			"turns:turn.example.org:443?transport=tcp", "turn:192.0.2.1:3478?transport=udp",
		}},
		{"of a later release", []string{"quic|x", "s:", "bad host:1", "192.0.2.1:0"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stun, turn := URLs(tc.addresses)
			if got := append(stun, turn...); !slices.Equal(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// While secrets change, a credential is made with one that the relay takes.
func TestMintFor(t *testing.T) {
	of := func(secrets ...string) *Credentials {
		cfg := Defaults()
		cfg.Secrets = secrets
		c, err := NewCredentials(cfg, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old, changing, changed, other := of("the-old-secret-of-all"), of("the-new-secret-of-all", "the-old-secret-of-all"), of("the-new-secret-of-all"), of("the-secret-of-others")
	for _, tc := range []struct {
		name  string
		mints *Credentials
		takes *Credentials // nil: a relay that says nothing of secrets
		want  string
	}{
		{"the same", old, old, "the-old-secret-of-all"},
		{"the relay has the new one", old, changing, "the-old-secret-of-all"},
		{"the relay has it not yet", changing, old, "the-old-secret-of-all"},
		{"both have", changing, changing, "the-new-secret-of-all"},
		{"the old one is gone there", changing, changed, "the-new-secret-of-all"},
		{"another", old, other, ""},
		{"it is gone", changed, old, ""},
		{"nothing is said", old, nil, "the-old-secret-of-all"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			addresses := []string{"192.0.2.1:3478"}
			if tc.takes != nil {
				addresses = append(addresses, tc.takes.marks()...)
			}
			user, password, ok := tc.mints.MintFor(addresses, "pt_1", time.Unix(1_000_000, 0))
			if ok != (tc.want != "") || ok && password != passwordOf([]byte(tc.want), user) {
				t.Errorf("%q, %q, %v", user, password, ok)
			}
		})
	}
}
