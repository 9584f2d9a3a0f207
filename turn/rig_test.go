package turn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"
)

// rig is a relay that runs on loopback until the test ends.
type rig struct {
	*Server
	t testing.TB
}

func testConfig() Config {
	cfg := Defaults()
	cfg.Listen, cfg.TLSListen = "127.0.0.1:0", ""
	cfg.Secrets = []string{"first-secret-of-the-test", "second-secret-of-the-test"}
	return cfg
}

// overTLSListener is a way in by TLS.
func overTLSListener(t testing.TB) []TLSListener {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", selfSigned(t))
	if err != nil {
		t.Fatal(err)
	}
	return []TLSListener{{Listener: ln}}
}

// tlsAddr is where that is.
func (r *rig) tlsAddr() netip.AddrPort { return addrPortOf(r.overTLS[0].Listener.Addr()) }

// selfSigned is a certificate for 127.0.0.1.
func selfSigned(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
}

func newRig(t testing.TB, cfg Config, deps Deps, peers ...netip.AddrPort) *rig {
	t.Helper()
	return newRigWith(t, cfg, deps, nil, peers...)
}

// newRigWith lets the test change the relay before it runs.
func newRigWith(t testing.TB, cfg Config, deps Deps, change func(*Server), peers ...netip.AddrPort) *rig {
	t.Helper()
	var err error
	if deps.Credentials == nil {
		if deps.Credentials, err = NewCredentials(cfg, nil, t.TempDir()); err != nil {
			t.Fatal(err)
		}
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	s, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	s.SetPeers(peers)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("the relay does not stop")
		}
	})
	return &rig{s, t}
}

// credential mints one for a participant.
func (r *rig) credential(participant string) (username, password string) {
	return r.credentials.Mint(participant, time.Now())
}

// echo is a peer that sends back whatever comes.
func echo(t testing.TB, listen string) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", listen)
	if err != nil {
		t.Fatal(err)
	}
	return serveEcho(t, conn)
}

func serveEcho(t testing.TB, conn net.PacketConn) netip.AddrPort {
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			conn.WriteTo(b[:n], from)
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// echoPair is two echoes on neighbouring ports: coturn's client asks for the one above its peer's, too, where RTCP used to be.
func echoPair(t *testing.T) (peer, next netip.AddrPort) {
	t.Helper()
	for range 50 {
		one, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := one.LocalAddr().(*net.UDPAddr).AddrPort()
		other, err := net.ListenPacket("udp", netip.AddrPortFrom(at.Addr(), at.Port()+1).String())
		if err == nil {
			return serveEcho(t, one), serveEcho(t, other)
		}
		one.Close()
	}
	t.Fatal("no two neighbouring ports are free")
	return
}
