package bus

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Config says where NATS is.
type Config struct {
	// URL of an external NATS, or several separated by commas (nats://host:4222, tls://, ws://, wss://). Empty runs
	// NATS inside this process. An external server must sync every write as the embedded one does
	// (jetstream { sync_interval: always }): a client has no way to ask for it.
	URL string
	// Token is a secret that NATS asks its clients for. Empty: it asks for none.
	Token string
	// DataDir is where the embedded server keeps its files. One process at a time may have it.
	DataDir string
	// Listen is the host:port at which the embedded server takes other clients. Empty opens no port at all: this
	// process then talks to its server through memory.
	Listen string
	// StoreMaxBytes limits the embedded server's files, over all buckets.
	StoreMaxBytes int64
	// Replicas is how many servers of an external cluster keep a copy of each bucket that does not say so itself.
	Replicas int
	// OutboxBytes limits what Publish keeps while NATS is slow or away; beyond it the oldest is dropped.
	OutboxBytes int
}

// Defaults is an embedded server that no other process can reach. DataDir has no default.
func Defaults() Config {
	return Config{StoreMaxBytes: 1 << 30, Replicas: 1, OutboxBytes: 8 << 20}
}

// Validate names every fault at once, each by its key.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.OutboxBytes <= 0 {
		fault("outbox_bytes: must be positive")
	}
	if c.Replicas < 0 || c.Replicas > 5 || c.Replicas > 1 && c.URL == "" {
		fault("replicas: 1 to 5, and only 1 without an external NATS (url)")
	}
	if c.URL != "" {
		if c.Listen != "" {
			fault("listen: an external NATS (url) leaves nothing to listen for")
		}
		return errors.Join(append(faults, validateURLs(c.URL)...)...)
	}
	if c.DataDir == "" {
		fault("data_dir: the embedded NATS needs a folder")
	}
	if c.StoreMaxBytes <= 0 {
		fault("store_max_bytes: must be positive")
	}
	if c.Listen != "" {
		faults = append(faults, c.validateListen())
	}
	return errors.Join(faults...)
}

func validateURLs(list string) []error {
	var faults []error
	for one := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		switch {
		case err != nil: // err would repeat the address, which may hold a password
			faults = append(faults, errors.New("url: not a URL"))
		case u.Host == "":
			faults = append(faults, errors.New("url: the host is missing"))
		case u.Scheme != "nats" && u.Scheme != "tls" && u.Scheme != "ws" && u.Scheme != "wss":
			faults = append(faults, fmt.Errorf("url: scheme %q is none of nats, tls, ws, wss", u.Scheme))
		}
	}
	return faults
}

func (c Config) validateListen() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if c.Token == "" && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		return errors.New("token: needed when listen is not a loopback address, or anyone could write to the store")
	}
	return nil
}
