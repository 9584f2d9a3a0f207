package split

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const serverName = "meet.test"

// selfSigned makes a certificate for serverName, and what trusts it.
func selfSigned(tb testing.TB) (tls.Certificate, *x509.CertPool) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// rig is a running Port whose sides are served: HTTP by net/http, TURN by an echo.
type rig struct {
	tb    testing.TB
	port  *Port
	addr  string
	roots *x509.CertPool
}

// newRig runs a port on loopback until the test is over.
func newRig(tb testing.TB, change func(*Config, *Deps)) *rig {
	tb.Helper()
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return newRigOn(tb, ln, change)
}

func newRigOn(tb testing.TB, ln net.Listener, change func(*Config, *Deps)) *rig {
	tb.Helper()
	cert, roots := selfSigned(tb)
	cfg := Defaults()
	deps := Deps{
		Name: tb.Name(), Listener: ln, Log: discard(),
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}},
	}
	if change != nil {
		change(&cfg, &deps)
	}
	p, err := New(cfg, deps)
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{tb: tb, port: p, addr: ln.Addr().String(), roots: roots}
	r.run()
	return r
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	ended := make(chan error, 1)
	wg.Go(func() { ended <- r.port.Run(ctx) })
	server := &http.Server{Handler: http.HandlerFunc(hello), Protocols: protocols(), ReadHeaderTimeout: time.Second}
	wg.Go(func() { _ = server.Serve(r.port.HTTP()) })
	wg.Go(func() { echoAll(r.port.TURN()) })
	r.tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			r.tb.Error(err)
		}
		_ = server.Close()
		_ = r.port.TURN().Close()
		wg.Wait()
	})
}

func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(true)
	return p
}

func hello(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Proto)) }

// echoAll says back what each connection says, until the listener is closed.
func echoAll(ln net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer c.Close()
			buf := make([]byte, 1500)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				if _, err := c.Write(buf[:n]); err != nil {
					return
				}
			}
		})
	}
}

// dial opens a TLS connection that names these application protocols.
func (r *rig) dial(names ...string) (*tls.Conn, error) {
	d := tls.Dialer{Config: r.client(names...)}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := d.DialContext(ctx, "tcp", r.addr)
	if err != nil {
		return nil, err
	}
	r.tb.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	secure, _ := c.(*tls.Conn)
	return secure, nil
}

func (r *rig) client(names ...string) *tls.Config {
	return &tls.Config{ServerName: serverName, RootCAs: r.roots, NextProtos: names}
}

// get makes a request on a connection, by HTTP/1.1.
func get(c net.Conn) (string, error) {
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: " + serverName + "\r\n\r\n")); err != nil {
		return "", err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	return resp.Proto, nil
}

// binding is a STUN binding request (RFC 8489 section 5).
func binding() []byte {
	return []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
