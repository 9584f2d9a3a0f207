package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// certmagic looks at its lock files every five seconds, and ends then if they are gone.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
}

// shelf is a folder of certificates.
type shelf struct {
	t   *testing.T
	dir string
}

func newShelf(t *testing.T) shelf { return shelf{t, t.TempDir()} }

func (s shelf) pair(name string) Pair {
	return Pair{CertFile: filepath.Join(s.dir, name+".crt"), KeyFile: filepath.Join(s.dir, name+".key")}
}

func (s shelf) write(path string, body []byte) {
	s.t.Helper()
	if err := os.WriteFile(path, body, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// content makes a certificate with the serial number for the names, with a key of its own.
func (s shelf) content(serial int64, key crypto.Signer, expires time.Time, names ...string) content {
	s.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: names, NotBefore: expires.Add(-24 * time.Hour), NotAfter: expires,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		s.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	return content{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

// put writes a new certificate, ECDSA, good for an hour.
func (s shelf) put(name string, serial int64, names ...string) Pair {
	s.t.Helper()
	return s.putContent(name, s.content(serial, s.ecdsa(), time.Now().Add(time.Hour), names...))
}

func (s shelf) putContent(name string, c content) Pair {
	s.t.Helper()
	p := s.pair(name)
	s.write(p.CertFile, c.cert)
	s.write(p.KeyFile, c.key)
	return p
}

func (s shelf) ecdsa() crypto.Signer {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

func (s shelf) rsa() crypto.Signer {
	s.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

// hello is what a client of today says, or one that knows RSA only.
func hello(name string, onlyRSA bool) *tls.ClientHelloInfo {
	h := &tls.ClientHelloInfo{
		ServerName: name, SupportedVersions: []uint16{tls.VersionTLS13}, CipherSuites: []uint16{tls.TLS_AES_128_GCM_SHA256},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256}, SupportedCurves: []tls.CurveID{tls.CurveP256},
	}
	if onlyRSA {
		h.SignatureSchemes = h.SignatureSchemes[1:]
	}
	return h
}

// serial is the number of the certificate that the client gets.
func serial(t *testing.T, s *Source, h *tls.ClientHelloInfo) int64 {
	t.Helper()
	cert, err := s.TLSConfig().GetCertificate(h)
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf.SerialNumber.Int64()
}
