package rtc

import (
	"bytes"
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
	"math/big"
	"strings"
	"time"
)

// newCertificate makes the one certificate that all transports of an endpoint show. It lives as long as the process:
// making one for each connection would cost a tenth of a join.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "WebRTC"},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Fingerprint is a certificate's hash as SDP writes it (RFC 8122).
type Fingerprint struct {
	Algorithm string // "sha-256"
	Value     string // upper-case hex pairs with colons
}

// String is the value of an a=fingerprint line.
func (f Fingerprint) String() string { return f.Algorithm + " " + f.Value }

var errFingerprint = errors.New("certificate does not match the fingerprint in the offer")

func fingerprintOf(der []byte) Fingerprint {
	sum := sha256.Sum256(der)
	return Fingerprint{"sha-256", colons(sum[:])}
}

func colons(b []byte) string {
	pairs := make([]string, len(b))
	for i, c := range b {
		pairs[i] = fmt.Sprintf("%02X", c)
	}
	return strings.Join(pairs, ":")
}

// Validate refuses hash functions that are broken or unknown, and values of the wrong size.
func (f Fingerprint) Validate() error {
	_, err := f.sum(nil)
	if err != nil {
		return err
	}
	_, err = f.bytes()
	return err
}

func (f Fingerprint) sum(der []byte) ([]byte, error) {
	switch strings.ToLower(f.Algorithm) {
	case "sha-256":
		s := sha256.Sum256(der)
		return s[:], nil
	case "sha-384":
		s := sha512.Sum384(der)
		return s[:], nil
	case "sha-512":
		s := sha512.Sum512(der)
		return s[:], nil
	}
	return nil, fmt.Errorf("fingerprint: hash function %q is not accepted", f.Algorithm)
}

func (f Fingerprint) bytes() ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(f.Value, ":", ""))
	if err != nil {
		return nil, fmt.Errorf("fingerprint: %w", err)
	}
	return b, nil
}

// verify checks a peer's certificate chain against f.
func (f Fingerprint) verify(chain [][]byte) error {
	if len(chain) == 0 {
		return errFingerprint
	}
	got, err := f.sum(chain[0])
	if err != nil {
		return err
	}
	want, err := f.bytes()
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errFingerprint
	}
	return nil
}
