package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority is a certificate authority that nobody but the lab trusts.
type Authority struct {
	File  string // its certificate, PEM
	Roots *x509.CertPool

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority for one test.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{File: filepath.Join(tb.TempDir(), "authority.pem"), Roots: x509.NewCertPool()}
	template := certificateFor("Lab")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	a.key = newKey(tb)
	a.cert = template
	a.cert = a.sign(tb, template, &a.key.PublicKey)
	a.Roots.AddCert(a.cert)
	writePEM(tb, a.File, "CERTIFICATE", a.cert.Raw)
	return a
}

// Issue puts a new certificate for the names and addresses into the files, as a tool that renews certificates does: each file
// is replaced at once. It returns the certificate.
func (a *Authority) Issue(tb testing.TB, certFile, keyFile string, names ...string) *x509.Certificate {
	tb.Helper()
	template := certificateFor(names[0])
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
			continue
		}
		template.DNSNames = append(template.DNSNames, name)
	}
	key := newKey(tb)
	cert := a.sign(tb, template, &key.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	writePEM(tb, keyFile, "PRIVATE KEY", der)
	writePEM(tb, certFile, "CERTIFICATE", cert.Raw)
	return cert
}

func (a *Authority) sign(tb testing.TB, template *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

func certificateFor(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func writePEM(tb testing.TB, path, kind string, der []byte) {
	tb.Helper()
	part := path + ".new"
	if err := os.WriteFile(part, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(part, path); err != nil {
		tb.Fatal(err)
	}
}

// TLS is what a node that serves TLS is reached with.
type TLS struct {
	Address           string // that it listens on
	ServerName        string // that its clients ask for; empty: what its URL says
	CertFile, KeyFile string // that it was given; empty with ACME
	Roots             *x509.CertPool
}

// Client is a configuration for clients that name these application protocols.
func (t *TLS) Client(protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: t.Roots, ServerName: t.ServerName, NextProtos: protocols}
}

// HTTPClient makes requests over HTTP/2 where it can.
func (t *TLS) HTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: t.Client(), ForceAttemptHTTP2: true}}
}

// ServeTLS runs `parley serve` on loopback with a certificate of the authority's, waits until it is ready, and reaches it by
// HTTPS alone. Its MeetingID and what belongs to it are empty.
func ServeTLS(tb testing.TB, a *Authority) *Node {
	tb.Helper()
	dir := tb.TempDir()
	t := &TLS{
		Address: freeAddress(tb), CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"), Roots: a.Roots,
	}
	a.Issue(tb, t.CertFile, t.KeyFile, "localhost", "127.0.0.1")
	n := newTLSNode(tb, t, dir, map[string]any{
		"certificates": []map[string]any{{"cert_file": t.CertFile, "key_file": t.KeyFile}},
	})
	n.Start(tb)
	awaitReady(tb, n)
	return n
}

// newTLSNode configures a node that serves TLS.
func newTLSNode(tb testing.TB, t *TLS, dir string, section map[string]any) *Node {
	tb.Helper()
	section["listen"] = t.Address
	n := &Node{URL: "https://" + t.Address, DataDir: dir, TLS: t}
	n.config = settings{
		region: "lab", listen: freeAddress(tb), media: freeAddress(tb), dir: dir, secret: rand.Text() + rand.Text(), tls: section,
	}.write(tb)
	n.Token = tokenFor(tb, n.config)
	return n
}
