package grant

import (
	"errors"
	"time"
)

// Config of a Keyring. All nodes of a cluster agree on Issuer and Audience.
type Config struct {
	Issuer    string        // iss of all tokens
	Audience  string        // aud of all tokens
	JoinTTL   time.Duration // how long a join token is good for connecting
	ResumeTTL time.Duration // how long a lost connection can be resumed; renewed with every snapshot
	KeyFile   string        // of this node's private key, made when missing; empty: the key lives in memory only
}

// Defaults are the names and lifetimes in use when nothing else is said, with a key in memory.
func Defaults() Config {
	return Config{Issuer: "parley", Audience: "parley", JoinTTL: 5 * time.Minute, ResumeTTL: 24 * time.Hour}
}

// Validate names every fault at once, each by its key.
func (c Config) Validate() error {
	var faults []error
	if c.Issuer == "" {
		faults = append(faults, errors.New("issuer: must not be empty"))
	}
	if c.Audience == "" {
		faults = append(faults, errors.New("audience: must not be empty"))
	}
	if c.JoinTTL < time.Second {
		faults = append(faults, errors.New("join_ttl: must be a second or more"))
	}
	if c.ResumeTTL < c.JoinTTL {
		faults = append(faults, errors.New("resume_ttl: must not be shorter than join_ttl"))
	}
	return errors.Join(faults...)
}
