package api

import (
	"strings"
	"testing"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   []string
	}{
		{"public URL", func(c *Config) { c.PublicURL = "meet.example.org" }, []string{"public_url"}},
		{"public URL with a slash", func(c *Config) { c.PublicURL = "https://meet.example.org/" }, []string{"public_url"}},
		{
			"origins", func(c *Config) {
				c.AllowedOrigins = []string{"https://ok.example", "*", "https://a.example/x", "http://h:1:*"}
			},
			[]string{"allowed_origins[1]", "allowed_origins[2]", "allowed_origins[3]"},
		},
		{"proxies", func(c *Config) { c.TrustedProxies = []string{"10.0.0.0/8", "proxy"} }, []string{"trusted_proxies[1]"}},
		{"half an issuer", func(c *Config) { c.Issuer.URL = "https://id.example" }, []string{"issuer"}},
		{"JWKS in the clear", func(c *Config) { c.Issuer.URL, c.Issuer.JWKSURL = "https://id.example", "http://id.example/keys" }, []string{"issuer.jwks_url"}},
		{"algorithms", func(c *Config) { c.Issuer.Algorithms = []string{"RS256", "HS256", "none"} }, []string{"issuer.algorithms[1]", "issuer.algorithms[2]"}},
		{"no algorithms", func(c *Config) {
			c.Issuer = Issuer{URL: "https://id.example", JWKSURL: "https://id.example/keys"}
		}, []string{"issuer.algorithms"}},
		{
			"keys", func(c *Config) { c.APIKeys = []APIKey{{"a", "short"}, {"a", testSecret}, {"", testSecret}} },
			[]string{"api_keys[0].secret", "api_keys[1].id", "api_keys[2].id"},
		},
		{"limits", func(c *Config) {
			c.CallerRate, c.AddressRate, c.MaxBodyBytes, c.TokenLifetime = Rate{}, Rate{PerSecond: 1}, 10, -1
			c.Timeouts = Timeouts{}
		}, []string{"caller_rate", "address_rate", "max_body_bytes", "token_lifetime", "timeouts.read_header", "timeouts.store", "timeouts.shutdown"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Defaults()
			tc.change(&c)
			err := c.Validate()
			if err == nil {
				t.Fatal("no error")
			}
			for _, key := range tc.want {
				if !strings.Contains(err.Error(), key+": ") {
					t.Errorf("no fault of %s in %v", key, err)
				}
			}
		})
	}
}
