package cert

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/telemetry"
)

const (
	lookEvery    = 5 * time.Second // at the files
	maxFileBytes = 1 << 20
)

// files are certificates in files.
type files struct {
	log      *slog.Logger
	failures *telemetry.CounterMetric
	inUse    atomic.Pointer[[]*tls.Certificate] // those with quick keys first, else as configured

	mu    sync.Mutex // protects following
	pairs []*pairState
}

// pairState is what was read of one pair.
type pairState struct {
	Pair
	cert     *tls.Certificate
	read     content // of which cert was made
	refused  content // newer, and not good
	reported bool    // that refused is not
}

// content is what the two files hold.
type content struct{ cert, key []byte }

func (c content) equal(to content) bool {
	return bytes.Equal(c.cert, to.cert) && bytes.Equal(c.key, to.key)
}

func newFiles(pairs []Pair, log *slog.Logger) (*files, error) {
	f := &files{log: log, failures: telemetry.Counter("parley_tls_certificate_reload_failures_total")}
	var faults []error
	for i, p := range pairs {
		now, err := readPair(p)
		var cert *tls.Certificate
		if err == nil {
			cert, err = now.parse()
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("certificates[%d]: %w", i, err))
			continue
		}
		f.pairs = append(f.pairs, &pairState{Pair: p, cert: cert, read: now})
		f.tell("certificate loaded", p, cert)
	}
	f.publishLocked()
	return f, errors.Join(faults...)
}

func readPair(p Pair) (c content, err error) {
	if c.cert, err = readFile(p.CertFile); err != nil {
		return c, err
	}
	c.key, err = readFile(p.KeyFile)
	return c, err
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s: not a regular file of at most %d bytes", path, maxFileBytes)
	}
	return os.ReadFile(path)
}

func (c content) parse() (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, err
	}
	return &cert, nil
}

// run looks at the files from time to time until ctx ends.
func (f *files) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = f.reload(false) // it is logged
		}
	}
}

// reload takes up what has changed. Unless it was asked for, a pair that cannot be used is reported only when it is still
// the same the next time: it may have been looked at between the writing of its two files.
func (f *files) reload(asked bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var faults []error
	changed := false
	for _, p := range f.pairs {
		now, err := readPair(p.Pair)
		if err == nil && now.equal(p.read) {
			p.refused, p.reported = content{}, false
			continue
		}
		var cert *tls.Certificate
		if err == nil {
			cert, err = now.parse()
		}
		if err != nil {
			faults = append(faults, err)
			f.refuseLocked(p, now, err, asked)
			continue
		}
		p.cert, p.read, p.refused, p.reported = cert, now, content{}, false
		changed = true
		f.tell("certificate replaced", p.Pair, cert)
	}
	if changed {
		f.publishLocked()
	}
	return errors.Join(faults...)
}

// refuseLocked keeps the certificate that is in use.
func (f *files) refuseLocked(p *pairState, now content, err error, asked bool) {
	same := now.equal(p.refused)
	p.reported = p.reported && same
	p.refused = now
	if p.reported || !same && !asked {
		return
	}
	p.reported = true
	f.failures.Inc()
	f.log.Error("a new certificate cannot be used, the old one stays", "cert_file", p.CertFile, "error", err,
		"expires", p.cert.Leaf.NotAfter)
}

// tell logs a certificate that came into use.
func (f *files) tell(what string, p Pair, cert *tls.Certificate) {
	level := slog.LevelInfo
	if time.Now().After(cert.Leaf.NotAfter) {
		what, level = what+", and has expired", slog.LevelError
	}
	f.log.Log(context.Background(), level, what, "cert_file", p.CertFile, "names", cert.Leaf.DNSNames, "addresses", cert.Leaf.IPAddresses,
		"expires", cert.Leaf.NotAfter, "algorithm", cert.Leaf.PublicKeyAlgorithm.String())
}

// publishLocked puts the certificates into use.
func (f *files) publishLocked() {
	all := make([]*tls.Certificate, 0, len(f.pairs))
	for _, p := range f.pairs {
		all = append(all, p.cert)
	}
	slices.SortStableFunc(all, func(a, b *tls.Certificate) int { return slowness(a) - slowness(b) })
	f.inUse.Store(&all)
}

// slowness puts keys that sign in 30 µs before those that take 1 ms.
func slowness(cert *tls.Certificate) int {
	switch cert.PrivateKey.(type) {
	case *ecdsa.PrivateKey, ed25519.PrivateKey:
		return 0
	}
	return 1
}

// certificate is the first that suits the client, or the first of all.
func (f *files) certificate(hello *tls.ClientHelloInfo) *tls.Certificate {
	all := *f.inUse.Load()
	for _, cert := range all {
		if hello.SupportsCertificate(cert) == nil {
			return cert
		}
	}
	return all[0]
}

func (f *files) expiry() time.Time {
	var first time.Time
	for _, cert := range *f.inUse.Load() {
		if at := cert.Leaf.NotAfter; first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}
