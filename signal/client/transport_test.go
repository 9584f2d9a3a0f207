package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestRelayDialer: what leads to a relay by turns: is TLS, which trusts who the options trust.
func TestRelayDialer(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are the point
	server.StartTLS()
	t.Cleanup(server.Close)
	address := server.Listener.Addr().String()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	ended, end := context.WithCancel(t.Context())
	end()
	for _, tc := range []struct {
		name   string
		ctx    context.Context //nolint:containedctx // of a case
		secure bool
		trust  *tls.Config
		ok     bool
	}{
		{"TCP", t.Context(), false, nil, true},
		{"TLS with the operator's own CA", t.Context(), true, &tls.Config{RootCAs: pool, NextProtos: []string{"h2"}}, true},
		{"TLS with a stranger", t.Context(), true, nil, false},
		{"TLS under another name", t.Context(), true, &tls.Config{RootCAs: pool, ServerName: "other.example"}, false},
		{"too late", ended, true, &tls.Config{RootCAs: pool}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dial := newRelayDialer(tc.ctx, Options{TLS: tc.trust}, map[string]bool{address: tc.secure})
			conn, err := dial.Dial("tcp4", address)
			if (err == nil) != tc.ok {
				t.Fatalf("dial: %v", err)
			}
			if err != nil {
				return
			}
			defer conn.Close()
			if _, secure := conn.(*tls.Conn); secure != tc.secure {
				t.Errorf("connection is a %T", conn)
			}
		})
	}
}

// TestICEServers: a transport uses the servers that lead to it, and none that pion would choke on.
func TestICEServers(t *testing.T) {
	ticket := Ticket{ICEServers: []ICEServer{
		{URLs: []string{"stun:relay.example:3478", "carrier-pigeon:roof"}},
		{URLs: []string{"turn:relay.example:3478?transport=udp", "turns:relay.example:443?transport=tcp"}, Username: "u", Credential: "c"},
		{URLs: []string{"turn:other.example:3478"}},
	}}
	for _, tc := range []struct {
		by   Transport
		want int // URLs
	}{
		{TransportAny, 3}, {TransportRelay, 3}, {TransportUDP, 0}, {TransportTCP, 0},
	} {
		t.Run("by "+string(tc.by), func(t *testing.T) {
			got := 0
			for _, s := range ticket.iceServers(tc.by) {
				got += len(s.URLs)
			}
			if got != tc.want {
				t.Errorf("%d URLs, want %d", got, tc.want)
			}
		})
	}
	if secure := ticket.secureRelays(); len(secure) != 1 || !secure["relay.example:443"] {
		t.Errorf("spoken to over TLS: %v", secure)
	}
}

// TestRelayOnlyWithoutRelay: a client that may use relays alone, and has none, gets no media over anything else.
func TestRelayOnlyWithoutRelay(t *testing.T) {
	server := newRealServer(t)
	a := server.join(Options{Transport: TransportRelay, Publish: person(t)})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := a.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the client ended: %v", err)
	}
	if path, ok := a.Path(); ok || a.MediaState() == MediaConnected {
		t.Errorf("media goes over %+v", path)
	}
}
