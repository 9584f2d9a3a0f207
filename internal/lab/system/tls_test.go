package system_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// serial is the number of the certificate that a new connection gets.
func serial(tb testing.TB, n *lab.Node) *big.Int {
	tb.Helper()
	c := shake(tb, n)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber
}

// shake opens a TLS connection to the node.
func shake(tb testing.TB, n *lab.Node, protocols ...string) *tls.Conn {
	tb.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", n.TLS.Address, n.TLS.Client(protocols...))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

// caller makes requests on one connection.
type caller struct {
	conn net.Conn
	r    *bufio.Reader
}

func newCaller(conn net.Conn) *caller { return &caller{conn, bufio.NewReader(conn)} }

func (c *caller) get(path string) (status int, err error) {
	_ = c.conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// A call over HTTPS and WebSocket on one port goes on while its certificate is replaced; new connections get the new one.
func TestTLSCertificateIsReplacedUnderACall(t *testing.T) {
	authority := lab.NewAuthority(t)
	n := lab.ServeTLS(t, authority)
	others := newBystanders(t, n)
	before := newCaller(shake(t, n, "http/1.1"))
	if status, err := before.get("/livez"); err != nil || status != http.StatusOK {
		t.Fatalf("GET /livez: %d, %v", status, err)
	}
	figures := newTable(t, "the certificate's files", "new connections get the right one after", "longest silence of the call", "")

	issue := func() *x509.Certificate {
		return authority.Issue(t, n.TLS.CertFile, n.TLS.KeyFile, "localhost", "127.0.0.1")
	}
	for _, tc := range []struct {
		name   string
		change func() *x509.Certificate // returns what new connections are to get
		within time.Duration
	}{
		{"replaced", issue, 8 * time.Second},
		{"replaced, and told by SIGHUP", func() *x509.Certificate {
			next := issue()
			n.Hangup(t)
			return next
		}, time.Second},
		{"broken, told by SIGHUP", func() *x509.Certificate {
			last := shake(t, n).ConnectionState().PeerCertificates[0]
			if err := os.WriteFile(n.TLS.CertFile, []byte("no certificate"), 0o600); err != nil {
				t.Fatal(err)
			}
			n.Hangup(t)
			lab.Until(t, 5*time.Second, "the failure is counted", func() bool {
				return n.Metrics(t)["parley_tls_certificate_reload_failures_total"] == 1
			})
			return last
		}, time.Second},
		{"good again", issue, 8 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			others.reset()
			start := time.Now()
			want := tc.change()
			lab.Until(t, tc.within, "new connections get it", func() bool { return serial(t, n).Cmp(want.SerialNumber) == 0 })
			took := time.Since(start)
			silence := others.undisturbed(t)
			figures.add(tc.name, took, silence, verdict(true))
		})
	}
	if status, err := before.get("/livez"); err != nil || status != http.StatusOK {
		t.Errorf("a connection from before: %d, %v", status, err)
	}
	n.Stop(t)
}

// A node orders its certificate by ACME; the authority proves by TLS-ALPN-01, on the port that calls use, that the name leads
// to the node. The certificate is renewed under a running call. A node that starts again has it still.
func TestTLSCertificateByACME(t *testing.T) {
	const name, validity = "meet.test", 24 * time.Second
	start := time.Now()
	n := lab.ServeACME(t, name, validity)
	n.AwaitReady(t)
	figures := newTable(t, "certificate", "after", "longest silence of the call")
	figures.add("ordered, and the node is ready", time.Since(start), "")
	if got := shake(t, n).ConnectionState().PeerCertificates[0].DNSNames; len(got) != 1 || got[0] != name {
		t.Errorf("the certificate is for %q, want %q", got, name)
	}
	if left := n.Metrics(t)["parley_tls_certificate_expiry_seconds"]; left <= 0 || left > validity.Seconds()+1 {
		t.Errorf("it expires in %.0f s, want at most %s", left, validity)
	}

	others := newBystanders(t, n)
	first := serial(t, n)
	lab.Until(t, validity, "the certificate is renewed", func() bool { return serial(t, n).Cmp(first) != 0 })
	figures.add("renewed", time.Since(start), others.undisturbed(t))

	renewed := serial(t, n)
	start = time.Now()
	n.Restart(t)
	figures.add("the node has started again", time.Since(start), "")
	if got := serial(t, n); got.Cmp(renewed) != 0 {
		t.Errorf("it was ordered again: serial %d, want %d", got, renewed)
	}
	n.Stop(t)
}

func TestTLSBrowsersMeet(t *testing.T) {
	authority := lab.NewAuthority(t)
	lab.Browse(t, lab.ServeTLS(t, authority), "secure.test.mjs", "", 2*time.Minute,
		"NODE_EXTRA_CA_CERTS="+authority.File, "LAB_ANY_CERTIFICATE=1")
}

// The same port speaks HTTP/2, HTTP/1.1 and what is for the relay, and nothing else.
func TestTLSPortTellsThemApart(t *testing.T) {
	n := lab.ServeTLS(t, lab.NewAuthority(t))
	resp, err := n.TLS.HTTPClient().Get(n.URL + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Proto != "HTTP/2.0" || resp.StatusCode != http.StatusOK || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%s %s, Strict-Transport-Security %q", resp.Proto, resp.Status, resp.Header.Get("Strict-Transport-Security"))
	}
	status, err := newCaller(shake(t, n, "http/1.1")).get("/livez")
	if err != nil || status != http.StatusOK {
		t.Errorf("HTTP/1.1: %d, %v", status, err)
	}
	ticket := ticketFor(t, n, n.NewMeeting(t, "Secure", nil).ID)
	if want := "wss://" + n.TLS.Address + "/v1/signal"; ticket.SignalEndpoint != want {
		t.Errorf("signal_endpoint = %q, want %q", ticket.SignalEndpoint, want)
	}
	n.Stop(t)
}
