package turn

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Config says where the relay listens and what it gives to whom.
type Config struct {
	Listen    string   `koanf:"listen"`     // ip:port for UDP and TCP; port 0 takes a free one; empty: no relay
	TLSListen string   `koanf:"tls_listen"` // ip:port for TLS, where there is a certificate; empty: none
	Advertise []string `koanf:"advertise"`  // hosts or addresses that clients are told; empty: those of the media
	Realm     string   `koanf:"realm"`      // of the credentials
	// Secrets make credentials: the first mints, all are good, two at most. Empty: made of the cluster's key, or kept in the
	// data directory by a node on its own.
	Secrets  []string      `koanf:"secrets"`
	Lifetime time.Duration `koanf:"lifetime"` // of a credential: for how long after joining an allocation can be made

	MinPort int `koanf:"min_port"` // the ports that are relayed from, both included
	MaxPort int `koanf:"max_port"`

	MaxAllocations    int `koanf:"max_allocations"` // in all
	PerCredential     int `koanf:"per_credential"`  // allocations of one participant
	PerAddress        int `koanf:"per_address"`     // allocations of one client address; an IPv6 /64 is one
	MaxConns          int `koanf:"max_conns"`       // TCP and TLS connections in all
	MaxConnsPerAddr   int `koanf:"max_conns_per_address"`
	RequestsPerSecond int `koanf:"requests_per_second"` // of one address without an allocation
}

// Defaults returns the configuration of a relay on every address of the machine.
func Defaults() Config {
	return Config{
		Listen: "0.0.0.0:3478", TLSListen: "0.0.0.0:5349", Realm: "parley", Lifetime: 12 * time.Hour,
		MinPort: 49152, MaxPort: 65535,
		MaxAllocations: 8192, PerCredential: 32, PerAddress: 1024,
		MaxConns: 8192, MaxConnsPerAddr: 1024, RequestsPerSecond: 500,
	}
}

const (
	maxSecrets   = 2
	minSecret    = 16 // bytes
	maxRealm     = 128
	minLifetime  = time.Minute
	maxLifetime  = 7 * 24 * time.Hour
	maxAdvertise = 4
)

// Validate names every fault at once, each by its key.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for key, address := range map[string]string{"listen": c.Listen, "tls_listen": c.TLSListen} {
		if _, err := netip.ParseAddrPort(address); address != "" && err != nil {
			fault("%s: %w", key, err)
		}
	}
	if len(c.Advertise) > maxAdvertise {
		fault("advertise: more than %d: clients become slow beyond a few", maxAdvertise)
	}
	for _, host := range c.Advertise {
		if err := validHost(host); err != nil {
			fault("advertise: %w", err)
		}
	}
	if c.Realm == "" || len(c.Realm) > maxRealm || strings.ContainsAny(c.Realm, ":\"\\\x00\r\n") {
		fault("realm: 1 to %d characters without colons and quotes", maxRealm)
	}
	if len(c.Secrets) > maxSecrets {
		fault("secrets: more than %d: the one that mints, and the one before it", maxSecrets)
	}
	for _, secret := range c.Secrets {
		if len(secret) < minSecret {
			fault("secrets: each has at least %d bytes", minSecret) // says nothing of the secret
		}
	}
	if c.Lifetime < minLifetime || c.Lifetime > maxLifetime {
		fault("lifetime: from %s to %s", minLifetime, maxLifetime)
	}
	if c.MinPort < 1024 || c.MaxPort > 65535 || c.MinPort > c.MaxPort {
		fault("min_port, max_port: a range within 1024 to 65535")
	}
	for key, n := range map[string]int{
		"max_allocations": c.MaxAllocations, "per_credential": c.PerCredential, "per_address": c.PerAddress,
		"max_conns": c.MaxConns, "max_conns_per_address": c.MaxConnsPerAddr, "requests_per_second": c.RequestsPerSecond,
	} {
		if n < 1 {
			fault("%s: must be positive", key)
		}
	}
	return errors.Join(faults...)
}

// validHost takes an IP address or a DNS name, which must be fit to stand in a URL.
func validHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.IsUnspecified() || addr.IsMulticast() || addr.Zone() != "" {
			return fmt.Errorf("%s is no address of a host", host)
		}
		return nil
	}
	for _, r := range host {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.'
		if !letter {
			return fmt.Errorf("%q is neither an address nor a name", host)
		}
	}
	if host == "" || len(host) > 253 {
		return fmt.Errorf("%q is neither an address nor a name", host)
	}
	return nil
}
