package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"

	"github.com/parley-sfu/parley/node/grant"
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
			dial := newRelayDialer(tc.ctx, Options{TLS: tc.trust}, nil) // what it has to know may come later
			scheme := map[bool]string{true: "turns:", false: "turn:"}[tc.secure]
			dial.know([]ICEServer{{URLs: []string{"stun:" + address, scheme + address + "?transport=tcp"}}})
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
		{TransportAny, 2}, {TransportRelay, 2}, {TransportUDP, 0}, {TransportTCP, 0},
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

// silentNet counts sockets, to which nobody ever answers.
type silentNet struct {
	transport.Net
	opened chan *net.UDPConn
}

func (n silentNet) ListenPacket(network, _ string) (net.PacketConn, error) {
	conn, err := net.ListenUDP(network, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err == nil {
		n.opened <- conn
	}
	return conn, err
}

// TestSilentRelay: a relay that nobody hears of holds up neither a call nor its end.
func TestSilentRelay(t *testing.T) {
	server := newRealServer(t)
	inner, err := stdnet.NewNet()
	if err != nil {
		t.Fatal(err)
	}
	hole := silentNet{inner, make(chan *net.UDPConn, 4)}
	ticket := server.ticket(grant.Attendee, grant.Settings{})
	ticket.ICEServers = []ICEServer{{URLs: []string{"turn:127.0.0.1:9?transport=udp"}, Username: "u", Credential: "c"}}
	c, err := Connect(t.Context(), ticket, Options{Net: hole, Publish: person(t)})
	if err != nil {
		t.Fatal(err)
	}
	<-hole.opened
	awaitMedia(t, c)
	if ice := c.Timings().ICE; ice > time.Second {
		t.Errorf("ICE took %s", ice)
	}
	start := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("closing took %s", took)
	}
}
