package api

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config is what an operator can say about the HTTP edge.
type Config struct {
	// PublicURL is where people reach the node, for links: scheme and host, perhaps a path, without a slash at the end.
	PublicURL string `koanf:"public_url"`
	// Dev refuses every request whose Host is not a loopback name, so that a web page elsewhere cannot rebind a DNS
	// name of its own to this machine.
	Dev bool `koanf:"dev"`
	// AllowedOrigins are the browser origins that may call the API: exact, or "http://host:*" for any port.
	AllowedOrigins []string `koanf:"allowed_origins"`
	// TrustedProxies are the addresses and prefixes whose X-Forwarded-For is believed.
	TrustedProxies []string `koanf:"trusted_proxies"`

	Issuer        Issuer        `koanf:"issuer"`          // of user tokens; empty: API keys only
	APIKeys       []APIKey      `koanf:"api_keys"`        // that sign user tokens with HS256
	TokenLifetime time.Duration `koanf:"token_lifetime"`  // how far ahead a user token's exp may lie
	IdempotentFor time.Duration `koanf:"idempotency_ttl"` // how long an Idempotency-Key is remembered

	CallerRate   Rate `koanf:"caller_rate"`    // of each user token's subject
	AddressRate  Rate `koanf:"address_rate"`   // of each client address; an IPv6 /64 is one
	MaxBodyBytes int  `koanf:"max_body_bytes"` // of a request, before it is decoded

	ConnectionTests ConnectionTests `koanf:"connection_tests"`

	Timeouts Timeouts `koanf:"timeouts"`
}

// Issuer is the operator's identity provider.
type Issuer struct {
	URL        string   `koanf:"url"`      // compared with iss, to the letter
	JWKSURL    string   `koanf:"jwks_url"` // https, or http on loopback
	Audience   string   `koanf:"audience"` // compared with aud; empty accepts any
	Algorithms []string `koanf:"algorithms"`
}

// APIKey signs user tokens: HS256 with Secret, kid set to ID.
type APIKey struct { //nolint:revive // everybody calls it an API key
	ID     string `koanf:"id"`
	Secret string `koanf:"secret"` // at least 32 bytes (RFC 7518 section 3.2)
}

// Rate is a token bucket.
type Rate struct {
	PerSecond float64 `koanf:"per_second"`
	Burst     int     `koanf:"burst"`
}

// Timeouts of connections and calls. A socket that was upgraded to WebSocket is under none of them.
type Timeouts struct {
	ReadHeader time.Duration `koanf:"read_header"` // for a request's header to arrive
	Read       time.Duration `koanf:"read"`        // for a whole request to arrive
	Write      time.Duration `koanf:"write"`       // for an answer to be taken
	Idle       time.Duration `koanf:"idle"`        // between requests
	Store      time.Duration `koanf:"store"`       // for NATS to answer one request's calls
	Shutdown   time.Duration `koanf:"shutdown"`    // for open requests to finish on stop
}

// Defaults returns the configuration of a node that nothing was said about. It lets nobody in: it has no issuer and no
// API keys.
func Defaults() Config {
	return Config{
		PublicURL:     "http://127.0.0.1:7880",
		Issuer:        Issuer{Algorithms: []string{"ES256", "EdDSA", "RS256"}},
		TokenLifetime: 24 * time.Hour,
		IdempotentFor: 24 * time.Hour,
		CallerRate:    Rate{PerSecond: 100, Burst: 500},
		AddressRate:   Rate{PerSecond: 200, Burst: 1000},
		MaxBodyBytes:  32 << 10,
		ConnectionTests: ConnectionTests{
			Rooms: 8, Lifetime: time.Minute, Rate: Rate{PerSecond: 0.1, Burst: 5},
		},
		Timeouts: Timeouts{
			ReadHeader: 5 * time.Second,
			Read:       10 * time.Second,
			Write:      30 * time.Second,
			Idle:       2 * time.Minute,
			Store:      3 * time.Second,
			Shutdown:   5 * time.Second,
		},
	}
}

// minSecretBytes is the least an HMAC-SHA-256 key may have (RFC 7518 section 3.2).
const minSecretBytes = 32

// Validate names every fault of c by its key.
func (c Config) Validate() error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if !isBaseURL(c.PublicURL) {
		fault("public_url", "%q is not an http or https URL without query, fragment and slash at its end", c.PublicURL)
	}
	for i, o := range c.AllowedOrigins {
		if _, err := parseOrigin(o); err != nil {
			fault(fmt.Sprintf("allowed_origins[%d]", i), "%v", err)
		}
	}
	for i, p := range c.TrustedProxies {
		if !isPrefix(p) {
			fault(fmt.Sprintf("trusted_proxies[%d]", i), "%q is neither an address nor a prefix", p)
		}
	}
	c.Issuer.validate(fault)
	validateKeys(c.APIKeys, fault)
	c.validateLimits(fault)
	return errors.Join(faults...)
}

func (i Issuer) validate(fault func(key, format string, args ...any)) {
	if (i.URL == "") != (i.JWKSURL == "") {
		fault("issuer", "url and jwks_url come together")
	}
	if i.JWKSURL != "" && !isSafeJWKSURL(i.JWKSURL) {
		fault("issuer.jwks_url", "%q is not https, nor http on a loopback address", i.JWKSURL)
	}
	if i.URL != "" && len(i.Algorithms) == 0 {
		fault("issuer.algorithms", "none is allowed")
	}
	for n, alg := range i.Algorithms {
		if !slices.Contains(asymmetricAlgorithms(), alg) {
			fault(fmt.Sprintf("issuer.algorithms[%d]", n), "%q is not one of %s", alg, strings.Join(asymmetricAlgorithms(), ", "))
		}
	}
}

func validateKeys(keys []APIKey, fault func(key, format string, args ...any)) {
	seen := map[string]bool{}
	for i, k := range keys {
		at := fmt.Sprintf("api_keys[%d]", i)
		if k.ID == "" || seen[k.ID] {
			fault(at+".id", "is empty or used twice")
		}
		if len(k.Secret) < minSecretBytes {
			fault(at+".secret", "is shorter than %d bytes", minSecretBytes)
		}
		seen[k.ID] = true
	}
}

func (c Config) validateLimits(fault func(key, format string, args ...any)) {
	for key, d := range map[string]time.Duration{
		"token_lifetime": c.TokenLifetime, "idempotency_ttl": c.IdempotentFor,
		"timeouts.read_header": c.Timeouts.ReadHeader, "timeouts.read": c.Timeouts.Read,
		"timeouts.write": c.Timeouts.Write, "timeouts.idle": c.Timeouts.Idle,
		"timeouts.store": c.Timeouts.Store, "timeouts.shutdown": c.Timeouts.Shutdown,
	} {
		if d <= 0 {
			fault(key, "%s is not above 0", d)
		}
	}
	for key, r := range map[string]Rate{"caller_rate": c.CallerRate, "address_rate": c.AddressRate} {
		if r.PerSecond <= 0 || r.Burst < 1 {
			fault(key, "per_second must be above 0 and burst at least 1")
		}
	}
	c.ConnectionTests.validate(fault)
	if c.MaxBodyBytes < 1<<10 || c.MaxBodyBytes > 1<<20 {
		fault("max_body_bytes", "%d is not between 1024 and 1048576", c.MaxBodyBytes)
	}
}

// asymmetricAlgorithms are those an issuer may sign with: never one whose key is a shared secret.
func asymmetricAlgorithms() []string {
	return []string{"ES256", "ES384", "ES512", "EdDSA", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"}
}

func isBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil &&
		u.RawQuery == "" && u.Fragment == "" && !strings.HasSuffix(s, "/")
}

func isSafeJWKSURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && isLoopbackHost(u.Host)
}

func isPrefix(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(s)
	return err == nil
}
