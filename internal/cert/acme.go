package cert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/parley-sfu/parley/internal/telemetry"
)

// challengeProtocol is what an authority asks for to validate a name (RFC 8737 section 4).
const challengeProtocol = "acme-tls/1"

var errNoCertificate = errors.New("cert: there is no certificate yet") //nolint:gochecknoglobals // a sentinel

// authority orders certificates by ACME, and renews them when two thirds of their time are over.
type authority struct {
	cfg      ACME
	port     int
	roots    *x509.CertPool // nil: the system's
	log      *slog.Logger
	failures *telemetry.CounterMetric
	current  atomic.Pointer[certmagic.Config] // nil unless it runs
	cache    atomic.Pointer[certmagic.Cache]
}

func newAuthority(cfg ACME, port int, log *slog.Logger) (*authority, error) {
	a := &authority{
		cfg: cfg, port: port, log: log,
		failures: telemetry.Counter("parley_tls_certificate_order_failures_total"),
	}
	if cfg.CAFile == "" {
		return a, nil
	}
	pem, err := os.ReadFile(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("acme.ca_file: %w", err)
	}
	a.roots = x509.NewCertPool()
	if !a.roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("acme.ca_file: %s holds no certificate", cfg.CAFile)
	}
	return a, nil
}

// run orders what is missing and renews what grows old until ctx ends. An order that fails is tried again, ever more rarely.
func (a *authority) run(ctx context.Context) error {
	logger := zap.New(slogCore{a.log})
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return a.current.Load(), nil },
		RenewCheckInterval: a.cfg.CheckEvery,
		Logger:             logger,
	})
	defer cache.Stop()
	magic := certmagic.New(cache, certmagic.Config{
		Storage:            &certmagic.FileStorage{Path: a.cfg.Storage},
		OnEvent:            a.event,
		DefaultServerName:  a.cfg.Domains[0], // for clients that name none, or another one
		FallbackServerName: a.cfg.Domains[0],
		OCSP:               certmagic.OCSPConfig{DisableStapling: true}, // authorities give it up, and it is one more way out
		Logger:             logger,
	})
	magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(magic, certmagic.ACMEIssuer{
		CA: a.cfg.CA, Email: a.cfg.Email, Agreed: a.cfg.AgreeTerms, TrustedRoots: a.roots,
		DisableHTTPChallenge:      true,
		DisableDistributedSolvers: true,
		AltTLSALPNPort:            a.port, // where it finds our own port, which answers the challenge
		Logger:                    logger,
	})}
	a.cache.Store(cache)
	a.current.Store(magic)
	if err := magic.ManageAsync(ctx, a.cfg.Domains); err != nil {
		return fmt.Errorf("acme: %w", err)
	}
	<-ctx.Done()
	return nil
}

// event counts orders that fail. They are logged by certmagic.
func (a *authority) event(_ context.Context, event string, _ map[string]any) error {
	if event == "cert_failed" {
		a.failures.Inc()
	}
	return nil
}

func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	magic := a.current.Load()
	if magic == nil {
		return nil, errNoCertificate
	}
	return magic.GetCertificate(hello)
}

// expiry is zero until all certificates are there.
func (a *authority) expiry() time.Time {
	cache := a.cache.Load()
	if cache == nil {
		return time.Time{}
	}
	var first time.Time
	for _, domain := range a.cfg.Domains {
		var own time.Time // an old and a new certificate may be there at once
		for _, cert := range cache.AllMatchingCertificates(domain) {
			if cert.Leaf != nil && cert.Leaf.NotAfter.After(own) {
				own = cert.Leaf.NotAfter
			}
		}
		if own.IsZero() {
			return time.Time{}
		}
		if first.IsZero() || own.Before(first) {
			first = own
		}
	}
	return first
}
