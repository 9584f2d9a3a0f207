package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"
)

// certify makes a certificate for a name, and the pool that trusts it.
func certify(t *testing.T, name string, from, until time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// listen accepts connections until the test is over, and does one thing with each.
func listen(t *testing.T, with func(net.Conn)) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			with(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

func TestCertificates(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Now()
	for _, tc := range []struct {
		name    string
		of      string
		from    time.Time
		until   time.Time
		trusted bool
		state   State
		cause   string
	}{
		{"good", "localhost", now.Add(-day), now.Add(90 * day), true, OK, ""},
		{"soon over", "localhost", now.Add(-day), now.Add(3*day + time.Hour), true, Warn, "certificate expires in 3 days"},
		{"over", "localhost", now.Add(-9 * day), now.Add(-day), true, Fail, "certificate expired on"},
		{"not yet", "localhost", now.Add(day), now.Add(9 * day), true, Fail, "certificate is not good before"},
		{"another name", "meet.example.org", now.Add(-day), now.Add(90 * day), true, Fail, "wrong name: it is for meet.example.org, not for localhost"},
		{"nobody's", "localhost", now.Add(-day), now.Add(90 * day), false, Fail, "signed by nobody that this machine trusts"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			certificate, roots := certify(t, tc.of, tc.from, tc.until)
			address := listen(t, func(conn net.Conn) {
				server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
				_ = server.HandshakeContext(t.Context()) // the client says what is wrong
			})
			if !tc.trusted {
				roots = x509.NewCertPool()
			}
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				t.Fatal(err)
			}
			p, err := placeOf("https://localhost:" + port)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, p.handshake(t.Context(), roots), tc.state, tc.cause)
		})
	}
	plainText := listen(t, func(conn net.Conn) { _, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) })
	p, err := placeOf("https://" + plainText)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, p.handshake(t.Context(), nil), Fail, "speaks something else")
}

func TestPlaces(t *testing.T) {
	for _, tc := range []struct{ url, address string }{
		{"https://meet.example.org", "meet.example.org:443"},
		{"http://meet.example.org/", "meet.example.org:80"},
		{"https://[2001:db8::1]:8443/meet", "[2001:db8::1]:8443"},
		{"meet.example.org", ""},
		{"ftp://meet.example.org", ""},
		{"https://", ""},
	} {
		p, err := placeOf(tc.url)
		if (err != nil) != (tc.address == "") || err == nil && p.address() != tc.address {
			t.Errorf("%s: address %q, %v; want %q", tc.url, p.address(), err, tc.address)
		}
	}
}

func TestNamesThatLeadNowhere(t *testing.T) {
	p, err := placeOf("http://no-such-name.invalid")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, p.lookUp(t.Context()), Fail, "no-such-name.invalid has no address")
	p, err = placeOf("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, p.lookUp(t.Context()), OK, "")
	expect(t, p.dial(t.Context()), Fail, "REST down: nobody answers at 127.0.0.1:1")
}
