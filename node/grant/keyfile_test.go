package grant

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func withFile(t *testing.T) Config {
	t.Helper()
	cfg := Defaults()
	cfg.KeyFile = filepath.Join(t.TempDir(), "keys", "node.json")
	return cfg
}

func TestTheKeyOutlivesTheProcess(t *testing.T) {
	cfg := withFile(t)
	first := newKeyring(t, cfg, nil)
	old := issueJoin(t, first, anna())
	if err := first.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	current := issueJoin(t, first, anna())
	second := newKeyring(t, cfg, nil)
	for name, token := range map[string]string{"current key": current, "retired key": old} {
		if _, err := second.VerifyJoin(token); err != nil {
			t.Errorf("%s: VerifyJoin = %v", name, err)
		}
	}
	if first.own.signing.id != second.own.signing.id {
		t.Error("the second process signs with another key")
	}
}

func TestTheKeyFileIsPrivateAndWhole(t *testing.T) {
	cfg := withFile(t)
	k := newKeyring(t, cfg, nil)
	for range 2 {
		info, err := os.Stat(cfg.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("mode %04o, want 0600", info.Mode().Perm())
		}
		if err := k.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(cfg.KeyFile))
	if err != nil || len(left) != 1 {
		t.Errorf("the folder has %v, %v; want the key file alone", left, err)
	}
}

func TestProcessesThatStartTogetherShareOneKey(t *testing.T) {
	cfg := withFile(t)
	ids := make(chan string, 8)
	var wg sync.WaitGroup
	for range cap(ids) {
		wg.Go(func() {
			k, err := New(cfg, nil, discard())
			if err != nil {
				t.Error(err)
				return
			}
			ids <- k.own.signing.id
		})
	}
	wg.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Errorf("keys %s and %s", first, id)
		}
	}
}

func TestKeyFilesThatAreRefused(t *testing.T) {
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I"
	tests := map[string]struct {
		content string
		mode    os.FileMode
		say     string
	}{
		"readable by the group": {`{}`, 0o640, "0600"},
		"readable by everybody": {`{}`, 0o604, "0600"},
		"writable by everybody": {`{}`, 0o602, "0600"},
		"empty":                 {``, 0o600, "not JSON"},
		"not JSON":              {secret, 0o600, "not JSON"},
		"no key":                {`{}`, 0o600, "signing"},
		"a public key":          {`{"signing":{"kty":"OKP","crv":"Ed25519","x":"` + secret + `"}}`, 0o600, "not a private"},
		"a symmetric key":       {`{"signing":{"kty":"oct","k":"` + secret + `"}}`, 0o600, "not a private"},
		"a broken key":          {`{"signing":{"kty":"OKP","crv":"Ed25519","d":"` + secret + `"}}`, 0o600, "signing"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := Defaults()
			cfg.KeyFile = filepath.Join(t.TempDir(), "key.json")
			if err := os.WriteFile(cfg.KeyFile, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(cfg.KeyFile, tc.mode); err != nil {
				t.Fatal(err)
			}
			_, err := New(cfg, nil, discard())
			if err == nil || !strings.Contains(err.Error(), tc.say) || !strings.Contains(err.Error(), cfg.KeyFile) {
				t.Errorf("New = %v, want the file and %q", err, tc.say)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
	t.Run("retired without expiry", func(t *testing.T) {
		cfg := withFile(t)
		k := newKeyring(t, cfg, nil)
		if err := k.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		own := k.own
		own.retired[0].expires = own.signing.pub.expires // zero: for ever
		if err := writeRing(cfg.KeyFile, own, os.Rename); err != nil {
			t.Fatal(err)
		}
		if _, err := New(cfg, nil, discard()); err == nil || !strings.Contains(err.Error(), "retired 0") {
			t.Errorf("New = %v", err)
		}
	})
	t.Run("a folder", func(t *testing.T) {
		cfg := Defaults()
		cfg.KeyFile = t.TempDir()
		if _, err := New(cfg, nil, discard()); err == nil {
			t.Error("New accepted a folder")
		}
	})
}
