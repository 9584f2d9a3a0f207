package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/parley-sfu/parley/internal/cert"
)

func TestTLSNamesFaults(t *testing.T) {
	files := []cert.Pair{{CertFile: "a", KeyFile: "b"}}
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"none", func(*Config) {}, nil},
		{"files", func(c *Config) {
			c.TLS.Listen, c.TLS.Certificates, c.API.PublicURL = "0.0.0.0:443", files, "https://meet.test"
		}, nil},
		{"certificates for the relay alone", func(c *Config) { c.TLS.Certificates = files }, nil},
		{"no certificates", func(c *Config) { c.TLS.Listen, c.API.PublicURL = "0.0.0.0:443", "https://meet.test" }, []string{"tls.listen: needs"}},
		{"no port", func(c *Config) { c.TLS.Listen, c.TLS.Certificates, c.API.PublicURL = "443", files, "https://meet.test" }, []string{"tls.listen: address 443"}},
		{"people are sent elsewhere", func(c *Config) { c.TLS.Listen, c.TLS.Certificates = "0.0.0.0:443", files }, []string{"tls.listen: api.public_url"}},
		{"bad parts", func(c *Config) {
			c.TLS.ACME.Domains, c.TLS.Limits.MaxPending = []string{"meet.test"}, 0
		}, []string{"tls.acme.agree_terms", "tls.limits.max_pending"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := Defaults()
			tc.change(&cfg)
			cfg.derive()
			err := cfg.Validate()
			if (err == nil) != (len(tc.want) == 0) {
				t.Fatalf("err = %v, want %q", err, tc.want)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("err = %v, want %q in it", err, want)
				}
			}
		})
	}
}

// Clients compare the relay's certificate with the host that they are told, so that is a name where there is one.
func TestRelayOnTheSharedPortIsToldByName(t *testing.T) {
	for _, tc := range []struct {
		name, publicURL string
		advertise       []string
		host            string
		port            int
	}{
		{"of the public URL", "https://meet.test", nil, "meet.test", 443},
		{"with its port", "https://meet.test:8443/sub", nil, "meet.test", 8443},
		{"an address of IPv6", "https://[2001:db8::1]", nil, "2001:db8::1", 443},
		{"addresses are no names", "https://meet.test", []string{"203.0.113.7"}, "meet.test", 443},
		{"a name of its own", "https://meet.test", []string{"203.0.113.7", "turn.test", "other.test"}, "turn.test", 443},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := Defaults()
			cfg.API.PublicURL, cfg.Turn.Advertise = tc.publicURL, tc.advertise
			if host, port := cfg.relayOverTLS(); host != tc.host || port != tc.port {
				t.Errorf("%s port %d, want %s port %d", host, port, tc.host, tc.port)
			}
		})
	}
}

func TestPortsNameTLS(t *testing.T) {
	cfg := Defaults()
	cfg.TLS.Listen, cfg.TLS.Certificates = "0.0.0.0:443", []cert.Pair{{CertFile: "a", KeyFile: "b"}}
	for _, want := range []string{"tls.listen", "turn.tls_listen"} {
		if !slices.ContainsFunc(portsOf(cfg), func(p port) bool { return p.Key == want && p.Protocol == "tcp" }) {
			t.Errorf("%+v lacks %s", portsOf(cfg), want)
		}
	}
}
