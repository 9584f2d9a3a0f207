package lean

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/logging"
	"github.com/pion/transport/v4/packetio"
)

const flightInterval = 100 * time.Millisecond // before a flight of the handshake is sent again

// shake is the DTLS handshake of a viewer, in which it is the client. Nothing of it stays afterwards but the keys: that
// spares two goroutines and the buffers of a connection that has nothing to say.
func (v *Viewer) shake(ctx context.Context, remote fingerprint) (*keys, error) {
	through := &handshakeConn{Buffer: packetio.NewBuffer(), v: v}
	v.mu.Lock()
	v.dtls = through.Buffer
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		v.dtls = nil
		v.mu.Unlock()
	}()
	conn, err := dtls.ClientWithOptions(through, &net.UDPAddr{},
		dtls.WithCertificates(v.fleet.certificate),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithInsecureSkipVerify(true), // there is no authority: the fingerprint decides
		dtls.WithVerifyPeerCertificate(func(chain [][]byte, _ [][]*x509.Certificate) error { return remote.verify(chain) }),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithLoggerFactory(&logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("DTLS: %w", err), through.Close())
	}
	err = conn.HandshakeContext(ctx)
	var k *keys
	if err == nil {
		k, err = exportKeys(conn)
	}
	through.mute.Store(err == nil) // the node keeps a connection whose end it does not hear of
	if closing := conn.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, fmt.Errorf("DTLS: %w", err)
	}
	return k, nil
}

// handshakeConn is what DTLS reads and writes: datagrams come from the fleet's reader.
type handshakeConn struct {
	*packetio.Buffer
	v    *Viewer
	mute atomic.Bool // nothing goes out any more
}

// ReadFrom implements net.PacketConn.
func (c *handshakeConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.Read(b)
	return n, &net.UDPAddr{}, err
}

// WriteTo implements net.PacketConn.
func (c *handshakeConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	if !c.mute.Load() {
		c.v.mu.Lock()
		c.v.sendLocked(b)
		c.v.mu.Unlock()
	}
	return len(b), nil
}

// LocalAddr implements net.PacketConn.
func (*handshakeConn) LocalAddr() net.Addr { return &net.UDPAddr{} }

// SetDeadline implements net.PacketConn; writes do not block.
func (c *handshakeConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn.
func (*handshakeConn) SetWriteDeadline(time.Time) error { return nil }

// fingerprint is a certificate's hash as SDP writes it (RFC 8122).
type fingerprint struct{ algorithm, value string }

func (f fingerprint) String() string { return f.algorithm + " " + f.value }

func fingerprintOf(der []byte) fingerprint {
	sum := sha256.Sum256(der)
	pairs := make([]string, len(sum))
	for i, c := range sum {
		pairs[i] = fmt.Sprintf("%02X", c)
	}
	return fingerprint{"sha-256", strings.Join(pairs, ":")}
}

// verify checks a certificate chain against f.
func (f fingerprint) verify(chain [][]byte) error {
	if len(chain) == 0 {
		return errors.New("the node shows no certificate")
	}
	want, err := hex.DecodeString(strings.ReplaceAll(f.value, ":", ""))
	if err != nil {
		return fmt.Errorf("fingerprint: %w", err)
	}
	var got []byte
	switch strings.ToLower(f.algorithm) {
	case "sha-256":
		sum := sha256.Sum256(chain[0])
		got = sum[:]
	case "sha-384":
		sum := sha512.Sum384(chain[0])
		got = sum[:]
	case "sha-512":
		sum := sha512.Sum512(chain[0])
		got = sum[:]
	}
	if len(got) == 0 || string(got) != string(want) {
		return errors.New("the node's certificate is not that of its answer")
	}
	return nil
}

// newCertificate makes the one certificate that all viewers of a fleet show: making one for each would cost more than the
// rest of a join.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "WebRTC"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
