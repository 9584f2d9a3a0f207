package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// dump shows a configuration for comparing.
func dump(cfg Config) string { return strings.ReplaceAll(fmt.Sprintf("%+v", cfg), " ", "\n") }

// parley runs the program and returns what it printed.
func parley(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

func TestCommandLine(t *testing.T) {
	good, bad := write(t, "region: eu-west"), write(t, "regoin: eu-west\nlisten: nowhere")
	lonely := write(t, "listen: 192.0.2.1:1") // an address that no machine has
	for _, tc := range []struct {
		name string
		args []string
		code int
		out  string // part of stdout
		err  string // part of stderr
	}{
		{"help", []string{"--help"}, exitOK, "Run one whole node on loopback", ""},
		{"version", []string{"--version"}, exitOK, version, ""},
		{"nothing", nil, exitUsage, "", "--help"},
		{"an unknown command", []string{"dance"}, exitUsage, "", "dance"},
		{"a good configuration", []string{"config", "check", "--config", good}, exitOK, "good", ""},
		{"a bad configuration, first fault", []string{"config", "check", "--config", bad}, exitFailed, "", "regoin"},
		{"a bad configuration, second fault", []string{"config", "check", "--config", bad}, exitFailed, "", "listen"},
		{"serve with a bad configuration", []string{"serve", "--config", bad}, exitFailed, "", "regoin"},
		{"ports", []string{"ports"}, exitOK, "[::]:7881     media where UDP is blocked", ""},
		{"ports as JSON", []string{"ports", "--json"}, exitOK, `"protocol":"udp"`, ""},
		{"more regions than there can be", []string{"dev", "--regions", "10"}, exitFailed, "", "--regions"},
		{"dev for the whole world", []string{"dev", "--listen", "0.0.0.0:0", "--data", t.TempDir()}, exitFailed, "", "loopback"},
		{"a token of no key", []string{"token"}, exitFailed, "", "--dev"},
		{"a token with an unknown right", []string{"token", "--dev", "--rights", "fly"}, exitFailed, "", "fly"},
		{"doctor of nobody", []string{"doctor"}, exitFailed, "", "--url"},
		{"doctor of what is no URL", []string{"doctor", "--url", "meet.example.org"}, exitFailed, "", "--url"},
		{"doctor of a server that is down", []string{"doctor", "--url", "http://127.0.0.1:1"}, exitFailed, "REST down: nobody answers", ""},
		{"doctor as JSON", []string{"doctor", "--url", "http://127.0.0.1:1", "--json"}, exitFailed, `"verdict":"Calls will not work: REST down`, ""},
		{"doctor by a link", []string{"doctor", "--join", "http://127.0.0.1:1/m/mtg_x"}, exitFailed, "of http://127.0.0.1:1", ""},
		{"doctor with a bad authority", []string{"doctor", "--url", "https://127.0.0.1:1", "--ca", good}, exitFailed, "", "no certificate in"},
		{"doctor of a bad configuration", []string{"doctor", "--config", bad}, exitFailed, "", "regoin"},
		{"doctor of this machine", []string{"doctor", "--config", lonely}, exitFailed, "port tcp 1 ", ""},
		{"keys of no node", []string{"keys", "list", "--data", t.TempDir()}, exitFailed, "", "no node answers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			code, out, err := parley(t, tc.args...)
			if code != tc.code || !strings.Contains(out, tc.out) || !strings.Contains(err, tc.err) {
				t.Errorf("exit code %d, want %d\nstdout %s\nstderr %s", code, tc.code, out, err)
			}
		})
	}
}

func TestTokenCarriesWhatWasAsked(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	code, out, _ := parley(t, "token", "--dev", "--sub", "ann", "--rights", "meetings:join,meetings:read", "--ttl", "1h")
	parts := strings.Split(strings.TrimSpace(out), ".")
	if code != exitOK || len(parts) != 3 {
		t.Fatalf("exit code %d, token %q", code, out)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims userClaims
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Sub != "ann" || strings.Join(claims.Rights, " ") != "meetings:join meetings:read" || claims.ExpiresAt-claims.IssuedAt != 3600 {
		t.Errorf("claims = %+v", claims)
	}
}

func TestDevKeyIsMadeOnce(t *testing.T) {
	path := t.TempDir() + "/new/dev-key.json"
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			key, err := keyFile(path)
			if err != nil {
				t.Error(err)
			}
			ids[i] = key.Secret
		})
	}
	wg.Wait()
	for _, secret := range ids {
		if secret == "" || secret != ids[0] {
			t.Errorf("keys differ: %q and %q", secret, ids[0])
		}
	}
}
