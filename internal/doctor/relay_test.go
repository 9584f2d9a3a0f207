package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/parley-sfu/parley/signal/client"
)

// A relay of the test answers each request with what the function makes of it; nil is silence.
type answering func(request *stun.Message) []stun.Setter

const testRealm, testUser, testPass = "parley", "4711:pt_1", "secret"

// grants is a TURN server that knows one credential, and that answers it with a code where there is one.
func grants(code stun.ErrorCode) answering {
	return func(q *stun.Message) []stun.Setter {
		fails := stun.NewType(q.Type.Method, stun.ClassErrorResponse)
		well := stun.NewType(q.Type.Method, stun.ClassSuccessResponse)
		if q.Type == stun.BindingRequest {
			return []stun.Setter{well, &stun.XORMappedAddress{IP: net.IPv4(203, 0, 113, 9), Port: 4711}}
		}
		if !q.Contains(stun.AttrMessageIntegrity) {
			return []stun.Setter{fails, stun.CodeUnauthorized, stun.NewRealm(testRealm), stun.NewNonce("n")}
		}
		if stun.NewLongTermIntegrity(testUser, testRealm, testPass).Check(q) != nil {
			return []stun.Setter{fails, stun.CodeUnauthorized}
		}
		if code != 0 {
			return []stun.Setter{fails, code}
		}
		return []stun.Setter{well, relayedAt{}}
	}
}

// relayedAt is XOR-RELAYED-ADDRESS.
type relayedAt struct{}

// AddTo implements stun.Setter.
func (relayedAt) AddTo(m *stun.Message) error {
	return (&stun.XORMappedAddress{IP: net.IPv4(203, 0, 113, 7), Port: 50000}).AddToAs(m, stun.AttrXORRelayedAddress)
}

func (a answering) reply(raw []byte) []byte {
	q := &stun.Message{Raw: raw}
	if q.Decode() != nil {
		return nil
	}
	setters := a(q)
	if setters == nil {
		return nil
	}
	r, err := stun.Build(append([]stun.Setter{stun.NewTransactionIDSetter(q.TransactionID)}, setters...)...)
	if err != nil {
		return nil
	}
	return r.Raw
}

// relayOn runs the relay over UDP, TCP or TLS.
func relayOn(t *testing.T, way via, a answering) (relayServer, *tls.Config) {
	t.Helper()
	s := relayServer{url: "turn:test", turn: true, via: way, host: "localhost", user: testUser, pass: testPass}
	certificate, roots := certify(t, "localhost", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if way != viaUDP {
		s.address = listen(t, func(conn net.Conn) {
			if way == viaTLS {
				conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
			}
			k := &stunConn{Conn: conn, stream: true}
			buf := make([]byte, maxSTUN)
			for {
				n, err := k.next(buf)
				if err != nil {
					return
				}
				_, _ = conn.Write(a.reply(append([]byte(nil), buf[:n]...)))
			}
		})
		return s, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, maxSTUN)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := a.reply(append([]byte(nil), buf[:n]...)); reply != nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	s.address = conn.LocalAddr().String()
	return s, &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
}

func TestRelayCandidates(t *testing.T) {
	silent := answering(func(*stun.Message) []stun.Setter { return nil })
	for _, tc := range []struct {
		name  string
		way   via
		relay answering
		pass  string
		state State
		cause string
	}{
		{"over UDP", viaUDP, grants(0), testPass, OK, ""},
		{"over TCP", viaTCP, grants(0), testPass, OK, ""},
		{"over TLS", viaTLS, grants(0), testPass, OK, ""},
		{"a wrong credential", viaUDP, grants(0), "wrong", Fail, "no relay candidate: the relay answers 401"},
		{"over the quota", viaTCP, grants(stun.CodeAllocQuotaReached), testPass, Fail, "no relay candidate: the relay answers 486"},
		{"full", viaUDP, grants(stun.CodeInsufficientCapacity), testPass, Fail, "no relay candidate: the relay answers 508"},
		{"blocked UDP", viaUDP, silent, testPass, Fail, "does not answer over UDP"},
		{"blocked TCP", viaTCP, silent, testPass, Fail, "does not answer over TCP"},
		{"no TURN server", viaUDP, func(q *stun.Message) []stun.Setter {
			return []stun.Setter{stun.NewType(q.Type.Method, stun.ClassErrorResponse), stun.CodeBadRequest}
		}, testPass, Fail, "is no TURN server"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server, config := relayOn(t, tc.way, tc.relay)
			server.pass = tc.pass
			ctx, cancel := context.WithTimeout(t.Context(), 2*stunRetry)
			defer cancel()
			if tc.state == OK {
				ctx = t.Context() // it answers when it can
			}
			f := allocate(ctx, server, config)
			expect(t, f, tc.state, tc.cause)
			if tc.state == OK && f.found != server.address+" relays at 203.0.113.7:50000" {
				t.Errorf("found %q", f.found)
			}
		})
	}
}

func TestRelayThatIsNotThere(t *testing.T) {
	gone := relayServer{turn: true, via: viaTCP, host: "127.0.0.1", address: "127.0.0.1:1"}
	expect(t, allocate(t.Context(), gone, nil), Fail, "no relay candidate: 127.0.0.1:1 is not reached over TCP: connect: connection refused")
	server, _ := relayOn(t, viaTLS, grants(0))
	stranger := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	expect(t, allocate(t.Context(), server, stranger), Fail, "is not reached over TLS: tls: failed to verify certificate")
}

func TestSTUN(t *testing.T) {
	server, _ := relayOn(t, viaUDP, grants(0))
	ticket := client.Ticket{ICEServers: []client.ICEServer{{URLs: []string{"turn:" + server.address + "?transport=udp"}}}}
	f := binding(t.Context(), ticket)
	if f.state != OK || f.found != "this machine is seen as 203.0.113.9:4711" {
		t.Errorf("finding = %+v", f)
	}
	deaf, _ := relayOn(t, viaUDP, func(*stun.Message) []stun.Setter { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 2*stunRetry)
	defer cancel()
	ticket.ICEServers[0].URLs[0] = "stun:" + deaf.address
	expect(t, binding(ctx, ticket), Fail, "STUN unreachable: "+deaf.address)
	expect(t, binding(t.Context(), client.Ticket{}), Skipped, "names no STUN server")
}

func TestRelayServers(t *testing.T) {
	for _, tc := range []struct {
		url     string
		turn    bool
		way     via
		address string
	}{
		{"turn:relay.example.org:3478?transport=udp", true, viaUDP, "relay.example.org:3478"},
		{"turn:relay.example.org?transport=tcp", true, viaTCP, "relay.example.org:3478"},
		{"turns:[2001:db8::1]?transport=tcp", true, viaTLS, "[2001:db8::1]:5349"},
		{"turns:relay.example.org:443", true, viaTLS, "relay.example.org:443"},
		{"stun:192.0.2.1", false, viaUDP, "192.0.2.1:3478"},
		{"turn:", false, "", ""},
		{"turn:x?%zz", false, "", ""},
	} {
		all := relayServers(client.Ticket{ICEServers: []client.ICEServer{{URLs: []string{tc.url}}}})
		if tc.address == "" {
			if len(all) > 0 {
				t.Errorf("%s: %+v", tc.url, all)
			}
			continue
		}
		if len(all) != 1 || all[0].turn != tc.turn || all[0].via != tc.way || all[0].address != tc.address {
			t.Errorf("%s: %+v", tc.url, all)
		}
	}
}

// FuzzAnswers feeds what a relay could send to the one who reads it.
func FuzzAnswers(f *testing.F) {
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	f.Add(request.Raw, true)
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), true)
	f.Add([]byte{0, 1, 0xff, 0xff}, true)
	f.Fuzz(func(t *testing.T, sent []byte, stream bool) {
		ours, theirs := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = theirs.Write(sent)
			theirs.Close()
		}()
		m, err := (&stunConn{Conn: ours, stream: stream}).read(request.TransactionID, time.Now().Add(time.Second))
		ours.Close()
		<-done
		if err == nil && m.TransactionID != request.TransactionID {
			t.Error("took another's answer")
		}
		if err != nil && errors.Is(err, context.DeadlineExceeded) {
			t.Error("it hung")
		}
	})
}
