package cert

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config says where certificates come from: from files, or from a certificate authority by ACME (RFC 8555).
type Config struct {
	// Certificates are read from files, and read again when they change. Which one a client gets is decided by the name that
	// it asks for and by the keys that it knows; the first is for clients that ask for none.
	Certificates []Pair `koanf:"certificates"`
	ACME         ACME   `koanf:"acme"`
}

// Pair names the files of one certificate, both PEM.
type Pair struct {
	CertFile string `koanf:"cert_file"` // the certificate, then those between it and the authority's
	KeyFile  string `koanf:"key_file"`
}

// ACME says which certificates are ordered, and of whom. Control of the names is proved by TLS-ALPN-01 (RFC 8737), on the
// port that uses the certificates; the authority reaches it on port 443.
type ACME struct {
	Domains    []string `koanf:"domains"`     // the names; empty: no ACME
	Email      string   `koanf:"email"`       // where the authority writes to
	CA         string   `koanf:"ca"`          // URL of its directory; empty: Let's Encrypt
	CAFile     string   `koanf:"ca_file"`     // PEM of the authorities that its HTTPS is trusted by; empty: the system's
	AgreeTerms bool     `koanf:"agree_terms"` // to the authority's terms of service; without it nothing is ordered
	Storage    string   `koanf:"storage"`     // folder of accounts, keys and certificates

	CheckEvery time.Duration `koanf:"check_every"` // how often it is looked at which certificates must be renewed
}

// Defaults name no certificates.
func Defaults() Config {
	return Config{ACME: ACME{CheckEvery: 10 * time.Minute}}
}

// Set says whether there is any certificate to be had.
func (c Config) Set() bool { return len(c.Certificates) > 0 || len(c.ACME.Domains) > 0 }

// Validate names every fault of c by its key. It reads no files.
func (c Config) Validate() error {
	var faults []error
	if len(c.Certificates) > 0 && len(c.ACME.Domains) > 0 {
		faults = append(faults, errors.New("acme.domains: certificates come from files or by ACME, not both"))
	}
	for i, p := range c.Certificates {
		if p.CertFile == "" || p.KeyFile == "" {
			faults = append(faults, fmt.Errorf("certificates[%d]: cert_file and key_file come together", i))
		}
	}
	return errors.Join(append(faults, c.ACME.validate()...)...)
}

func (a ACME) validate() []error {
	if len(a.Domains) == 0 {
		return nil
	}
	var faults []error
	for i, d := range a.Domains {
		if d == "" || strings.ContainsAny(d, "*:/ ") {
			faults = append(faults, fmt.Errorf("acme.domains[%d]: %q is not a DNS name", i, d))
		}
	}
	if u, err := url.Parse(a.CA); a.CA != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		faults = append(faults, fmt.Errorf("acme.ca: %q is not an https URL", a.CA))
	}
	if !a.AgreeTerms {
		faults = append(faults, errors.New("acme.agree_terms: must be true: read the authority's terms of service first"))
	}
	if a.CheckEvery <= 0 {
		faults = append(faults, errors.New("acme.check_every: must be above 0"))
	}
	if a.Storage == "" {
		faults = append(faults, errors.New("acme.storage: must not be empty"))
	}
	return faults
}
