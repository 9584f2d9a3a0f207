package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/parley-sfu/parley/api"
)

// tokenCmd prints a user token signed with an API key.
type tokenCmd struct {
	Dev    bool          `help:"Sign with the key of parley dev."`
	Config string        `help:"Sign with a key of this configuration." type:"existingfile" placeholder:"FILE"`
	Key    string        `help:"Id of the API key; the first one by default." placeholder:"ID"`
	Sub    string        `help:"Whom the token is for." default:"dev"`
	Rights []string      `help:"What it allows; all rights by default." placeholder:"RIGHT,…"`
	TTL    time.Duration `help:"How long it is good for." name:"ttl" default:"24h"`
	JSON   bool          `help:"Print JSON." name:"json"`
}

// Run implements the command.
func (c *tokenCmd) Run(out console) error {
	key, err := c.key(out.environ)
	if err != nil {
		return err
	}
	rights := c.Rights
	if len(rights) == 0 {
		rights = allRights()
	}
	for _, right := range rights {
		if !slices.Contains(allRights(), right) {
			return fmt.Errorf("--rights: %q is none of %v", right, allRights())
		}
	}
	now := time.Now()
	token, err := signUserToken(key, userClaims{Sub: c.Sub, Rights: rights, IssuedAt: now.Unix(), ExpiresAt: now.Add(c.TTL).Unix()})
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(out.stdout).Encode(map[string]any{"token": token, "expires_at": now.Add(c.TTL).UTC()})
	}
	_, err = fmt.Fprintln(out.stdout, token)
	return err
}

func (c *tokenCmd) key(environ []string) (api.APIKey, error) {
	if c.Dev == (c.Config != "") {
		return api.APIKey{}, errors.New("say which key: --dev, or --config FILE")
	}
	if c.Dev {
		return devKey()
	}
	cfg, err := load(c.Config, environ)
	if err != nil {
		return api.APIKey{}, err
	}
	for _, key := range cfg.API.APIKeys {
		if c.Key == "" || key.ID == c.Key {
			return key, nil
		}
	}
	return api.APIKey{}, fmt.Errorf("api.api_keys: no key %q in %s", c.Key, c.Config)
}

func allRights() []string {
	return []string{
		"meetings:create", "meetings:read", "meetings:update", "meetings:end", "meetings:delete",
		"meetings:join", "meetings:host", "meetings:moderate", "cluster:read", "cluster:drain",
	}
}

// userClaims are the claims of a user token.
type userClaims struct {
	Sub       string   `json:"sub"`
	Rights    []string `json:"rights"`
	IssuedAt  int64    `json:"iat"`
	ExpiresAt int64    `json:"exp"`
}

// signUserToken makes a user token: a JWT signed with the API key's secret (HS256, RFC 7515) and the key's id as kid.
func signUserToken(key api.APIKey, claims userClaims) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": "HS256", "typ": "JWT", "kid": key.ID})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(body)
	mac := hmac.New(sha256.New, []byte(key.Secret))
	_, _ = io.WriteString(mac, signed)
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}

// newAPIKey makes a key that nobody can guess.
func newAPIKey(id string) api.APIKey {
	return api.APIKey{ID: id, Secret: rand.Text() + rand.Text()}
}
