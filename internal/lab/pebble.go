package lab

import (
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// pebbleEnv names the folder of Pebble, the ACME server that Let's Encrypt tests clients with; the make targets set it.
const pebbleEnv = "LAB_PEBBLE"

// Pebble is an ACME server that validates names by TLS-ALPN-01 for real, and whose every name leads to 127.0.0.1.
type Pebble struct {
	*Process
	Directory string     // URL
	Authority *Authority // that its own HTTPS is trusted by

	management string
}

// StartPebble starts an ACME server that looks for names at the TLS port of 127.0.0.1, and issues certificates that are good
// for so long.
func StartPebble(tb testing.TB, tlsPort int, validity time.Duration) *Pebble {
	tb.Helper()
	binaries := os.Getenv(pebbleEnv)
	if binaries == "" {
		tb.Fatalf("lab: %s names no folder with Pebble; the make targets set it", pebbleEnv)
	}
	dns := freeAddress(tb)
	start(tb, exec.Command(filepath.Join(binaries, "pebble-challtestsrv"), "-dnsserver", dns, "-management", freeAddress(tb),
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""))

	dir := tb.TempDir()
	p := &Pebble{Authority: NewAuthority(tb), management: freeAddress(tb)}
	listen := freeAddress(tb)
	p.Directory = "https://" + listen + "/dir"
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	p.Authority.Issue(tb, cert, key, "127.0.0.1")
	config := map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": p.management, "certificate": cert, "privateKey": key,
		"tlsPort": tlsPort, "httpPort": 1, "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]any{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "lab", "validityPeriod": int(validity.Seconds())}},
	}}
	body, err := json.Marshal(config)
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(path, body, 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(binaries, "pebble"), "-config", path, "-dnsserver", dns)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	p.Process = start(tb, cmd)
	untilAsked(tb, startLimit, "Pebble answers", func() bool { return p.Roots(tb) != nil })
	return p
}

// Roots is what the certificates that it issues are trusted by, or nil where it does not answer.
func (p *Pebble) Roots(tb testing.TB) *x509.CertPool {
	tb.Helper()
	client := (&TLS{Roots: p.Authority.Roots}).HTTPClient()
	defer client.CloseIdleConnections()
	status, body, err := get(tb, client, "https://"+p.management+"/roots/0")
	roots := x509.NewCertPool()
	if err != nil || status != http.StatusOK || !roots.AppendCertsFromPEM(body) {
		return nil
	}
	return roots
}

// ServeACME runs `parley serve` on loopback with certificates for the name from an ACME server of its own, which are good for
// so long, and returns at once.
func ServeACME(tb testing.TB, name string, validity time.Duration) *Node {
	tb.Helper()
	t := &TLS{ServerName: name, Address: freeAddress(tb)}
	_, port, err := net.SplitHostPort(t.Address)
	if err != nil {
		tb.Fatal(err)
	}
	at, err := strconv.Atoi(port)
	if err != nil {
		tb.Fatal(err)
	}
	p := StartPebble(tb, at, validity)
	t.Roots = p.Roots(tb)
	n := newTLSNode(tb, t, tb.TempDir(), map[string]any{"acme": map[string]any{
		"domains": []string{name}, "email": "lab@" + name, "ca": p.Directory, "ca_file": p.Authority.File, "agree_terms": true,
		"check_every": "1s",
	}})
	n.Start(tb)
	return n
}

// AwaitReady waits until the node says that it is ready.
func (n *Node) AwaitReady(tb testing.TB) {
	tb.Helper()
	awaitReady(tb, n)
}
