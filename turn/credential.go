package turn

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Credentials mint and verify what a participant shows to the relay: the name `<expiry>:<participant>` with the base64 of its
// HMAC-SHA1 as the password, as the TURN REST draft (draft-uberti-behave-turn-rest-00) has it and every client takes it.
// They are safe for concurrent use.
type Credentials struct {
	secrets  [][]byte // the first mints
	realm    string
	lifetime time.Duration
}

const (
	secretFile  = "turn-secret"
	secretBytes = 32
	derivedFor  = "parley turn credentials v1"

	secretMark = "k:" // in front of a secret's id, among a relay's addresses

	maxUsername = 128 // bytes that a credential's name has at most
)

// NewCredentials takes the secrets from the configuration; or else it makes one of each of the cluster's keys, so that a cluster
// agrees without being told, the first first; or else it keeps one of its own in dataDir.
func NewCredentials(cfg Config, clusterKeys [][]byte, dataDir string) (*Credentials, error) {
	c := &Credentials{realm: cfg.Realm, lifetime: cfg.Lifetime}
	for _, secret := range cfg.Secrets {
		c.secrets = append(c.secrets, []byte(secret))
	}
	if len(c.secrets) > 0 {
		return c, nil
	}
	for _, key := range clusterKeys[:min(len(clusterKeys), maxSecrets)] {
		secret, err := hkdf.Key(sha256.New, key, nil, derivedFor, secretBytes)
		if err != nil {
			return nil, fmt.Errorf("turn: derive a secret: %w", err)
		}
		c.secrets = append(c.secrets, secret)
	}
	if len(c.secrets) > 0 {
		return c, nil
	}
	secret, err := keptSecret(filepath.Join(dataDir, secretFile))
	if err != nil {
		return nil, fmt.Errorf("turn: secret: %w", err)
	}
	c.secrets = [][]byte{secret}
	return c, nil
}

// keptSecret reads the file, which only its owner may read, or makes it.
func keptSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret := []byte(rand.Text())
		return secret, errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, secret, 0o600))
	}
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s: others have access to it (mode %04o): make it 0600", path, mode)
	}
	secret, err := os.ReadFile(path)
	if err == nil && len(secret) < minSecret {
		err = fmt.Errorf("%s: too short", path)
	}
	return secret, err
}

// Mint makes a participant's credential, good for an allocation from now on for as long as configured.
func (c *Credentials) Mint(participant string, now time.Time) (username, password string) {
	return c.mint(c.secrets[0], participant, now)
}

// MintFor makes one for the relay with these addresses, as Server.Addresses gives them. It is false when the relay says that it
// takes none of the secrets that are known here: so is a node of a cluster without a key, or one whose operator has said
// something else there.
func (c *Credentials) MintFor(addresses []string, participant string, now time.Time) (username, password string, ok bool) {
	var known []string
	for _, a := range addresses {
		if id, ok := strings.CutPrefix(a, secretMark); ok {
			known = append(known, id)
		}
	}
	for _, secret := range c.secrets {
		if len(known) == 0 || slices.Contains(known, secretID(secret)) {
			username, password = c.mint(secret, participant, now)
			return username, password, true
		}
	}
	return "", "", false
}

func (c *Credentials) mint(secret []byte, participant string, now time.Time) (username, password string) {
	username = strconv.FormatInt(now.Add(c.lifetime).Unix(), 10) + ":" + participant
	return username, passwordOf(secret, username)
}

// marks say in gossip which secrets are live.
func (c *Credentials) marks() []string {
	var all []string
	for _, secret := range c.secrets {
		all = append(all, secretMark+secretID(secret))
	}
	return all
}

// secretID tells secrets apart and nothing about them: enough that two that differ do so by it.
func secretID(secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("parley turn secret id"))
	return base64.RawStdEncoding.EncodeToString(mac.Sum(nil)[:6])
}

// Lifetime is how long a credential is good.
func (c *Credentials) Lifetime() time.Duration { return c.lifetime }

// keys returns the long-term keys (RFC 8489 section 9.2.2) that a name may go with: one for each live secret.
func (c *Credentials) keys(username string) [][]byte {
	keys := make([][]byte, len(c.secrets))
	for i, secret := range c.secrets {
		key := md5.Sum([]byte(username + ":" + c.realm + ":" + passwordOf(secret, username)))
		keys[i] = key[:]
	}
	return keys
}

func passwordOf(secret []byte, username string) string {
	mac := hmac.New(sha1.New, secret)
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// parseUsername takes a credential's name apart; ok is false for every other name.
func parseUsername(username string) (expires time.Time, participant string, ok bool) {
	digits, participant, found := strings.Cut(username, ":")
	if !found || participant == "" || len(username) > maxUsername || len(digits) > 12 {
		return time.Time{}, "", false
	}
	for _, d := range []byte(digits) {
		if d < '0' || d > '9' {
			return time.Time{}, "", false
		}
	}
	seconds, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return time.Time{}, "", false
	}
	return time.Unix(seconds, 0), participant, true
}
