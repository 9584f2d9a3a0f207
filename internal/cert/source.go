// Package cert is where the node's TLS certificates come from: files, which are read again when they change, or a
// certificate authority by ACME. It is the door to certmagic.
//
// A new certificate is for new handshakes. What was connected before stays connected: TLS knows its keys, and nothing of the
// certificate any more. So rotation drops neither calls nor relayed media.
package cert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/parley-sfu/parley/internal/telemetry"
)

// Source gives certificates to TLS. All methods are safe for concurrent use.
type Source struct {
	files *files // one of the two
	acme  *authority
}

// New makes a Source and starts nothing. Files are read here, and must be good; ACME begins with Run. Port is where the
// certificates are used: the TCP port that the node itself listens on.
func New(cfg Config, port int, log *slog.Logger) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("cert: config: %w", err)
	}
	s := &Source{}
	var err error
	switch {
	case log == nil:
		return nil, errors.New("cert: a dependency is missing")
	case len(cfg.Certificates) > 0:
		s.files, err = newFiles(cfg.Certificates, log)
	case len(cfg.ACME.Domains) > 0:
		s.acme, err = newAuthority(cfg.ACME, port, log)
	default:
		return nil, errors.New("cert: neither certificates nor acme.domains are set")
	}
	if err != nil {
		return nil, fmt.Errorf("cert: %w", err)
	}
	telemetry.Gauge("parley_tls_certificate_expiry_seconds", s.left)
	return s, nil
}

// Run keeps the certificates fresh until ctx ends; then it returns nil.
func (s *Source) Run(ctx context.Context) error {
	if s.files != nil {
		s.files.run(ctx)
		return nil
	}
	return s.acme.run(ctx)
}

// Reload reads certificate files at once instead of soon. A certificate that cannot be used leaves the one before it in
// place, and is in the error, the log and the metrics.
func (s *Source) Reload() error {
	if s.files != nil {
		return s.files.reload(true)
	}
	return nil
}

// TLSConfig returns a configuration for servers, TLS 1.2 at least, that always has the newest certificates. The application
// protocols that it names are for getting certificates alone (RFC 8737): the caller puts its own before them.
func (s *Source) TLSConfig() *tls.Config {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certificate}
	if s.acme != nil {
		conf.NextProtos = []string{challengeProtocol}
	}
	return conf
}

func (s *Source) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.files != nil {
		return s.files.certificate(hello), nil
	}
	return s.acme.certificate(hello)
}

// Expiry is when the first of the certificates expires, or zero where one is still to be had.
func (s *Source) Expiry() time.Time {
	if s.files != nil {
		return s.files.expiry()
	}
	return s.acme.expiry()
}

// left is the seconds until the first certificate expires, below 0 from then on, or NaN where there is none yet.
func (s *Source) left() float64 {
	at := s.Expiry()
	if at.IsZero() {
		return math.NaN()
	}
	return time.Until(at).Seconds()
}
