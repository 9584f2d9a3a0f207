package split

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"
)

// What an answer to a ClientHello costs the node that nobody waits for: the server's flight, by the kind of key.
func BenchmarkAbandonedHandshake(b *testing.B) {
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	for name, cert := range map[string]tls.Certificate{
		"ECDSA P-256": signedBy(b, ecKey, ecKey.Public()), "RSA 2048": signedBy(b, rsaKey, rsaKey.Public()),
	} {
		b.Run(name, func(b *testing.B) {
			conf := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
			hello := helloOf(&tls.Config{ServerName: serverName})
			for b.Loop() {
				_ = tls.Server(&recital{say: hello}, conf).HandshakeContext(context.Background())
			}
		})
	}
}

func signedBy(tb testing.TB, key, public any) tls.Certificate {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{serverName}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// recital is a connection that says one thing and is gone.
type recital struct {
	net.Conn
	say []byte
}

func (r *recital) Read(b []byte) (int, error) {
	if len(r.say) == 0 {
		return 0, net.ErrClosed
	}
	n := copy(b, r.say)
	r.say = r.say[n:]
	return n, nil
}

func (r *recital) Write(b []byte) (int, error)      { return len(b), nil }
func (r *recital) Close() error                     { return nil }
func (r *recital) SetWriteDeadline(time.Time) error { return nil }
