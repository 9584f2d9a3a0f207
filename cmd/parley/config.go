package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/parley-sfu/parley/api"
	"github.com/parley-sfu/parley/cascade"
	"github.com/parley-sfu/parley/internal/bus"
	"github.com/parley-sfu/parley/internal/cert"
	"github.com/parley-sfu/parley/internal/split"
	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/node"
	"github.com/parley-sfu/parley/node/grant"
	"github.com/parley-sfu/parley/placement"
	"github.com/parley-sfu/parley/signal"
	"github.com/parley-sfu/parley/turn"
)

// Config is what an operator can say about a node: what concerns all of it, and one section for each package.
type Config struct {
	NodeID  string    `koanf:"node_id"`  // unique in the cluster; empty: made once and kept in the data directory
	Region  string    `koanf:"region"`   // the operator's name for the place
	Roles   []string  `koanf:"roles"`    // api, signal, media; empty: all of them
	Listen  string    `koanf:"listen"`   // HTTP and WebSocket, without TLS
	DataDir string    `koanf:"data_dir"` // everything that must survive a restart
	Log     LogConfig `koanf:"log"`
	TLS     TLSConfig `koanf:"tls"`

	Bus    bus.Config    `koanf:"bus"`
	Grant  grant.Config  `koanf:"grant"`
	Node   node.Config   `koanf:"node"`
	Signal signal.Config `koanf:"signal"`
	API    api.Config    `koanf:"api"`

	Cluster placement.Config        `koanf:"cluster"` // gossip; without an address to listen on the node is on its own
	Geo     placement.LocatorConfig `koanf:"geo"`
	Links   cascade.Config          `koanf:"links"`
	Turn    turn.Config             `koanf:"turn"` // the relay; without an address to listen on the node has none
}

// LogConfig says what is logged, and how.
type LogConfig struct {
	Level  string `koanf:"level"`  // debug, info, warn, error
	Format string `koanf:"format"` // text, json
}

// TLSConfig says where HTTPS, WebSocket and TURN over TLS are served, all of them on one port, and with which certificates.
type TLSConfig struct {
	Listen      string `koanf:"listen"` // empty: nowhere
	cert.Config `koanf:",squash"`
	Limits      split.Config `koanf:"limits"`
}

// Defaults returns the configuration of a node that was told nothing.
func Defaults() Config {
	return Config{
		Region:  "local",
		Listen:  "0.0.0.0:7880",
		DataDir: "data",
		Log:     LogConfig{Level: "info", Format: "json"},
		TLS:     TLSConfig{Config: cert.Defaults(), Limits: split.Defaults()},
		Bus:     bus.Defaults(),
		Grant:   grant.Defaults(),
		Node:    node.Defaults(),
		Signal:  signal.Defaults(),
		API:     api.Defaults(),
		Links:   cascade.Defaults(),
		Turn:    turn.Defaults(),
	}
}

// derive fills what the operator left open from what else was said: files go below the data directory, and the origin
// of the public URL may use what is served there.
func (c *Config) derive() {
	c.Bus.DataDir = cmp.Or(c.Bus.DataDir, filepath.Join(c.DataDir, "bus"))
	c.Grant.KeyFile = cmp.Or(c.Grant.KeyFile, filepath.Join(c.DataDir, "keys.json"))
	c.TLS.ACME.Storage = cmp.Or(c.TLS.ACME.Storage, filepath.Join(c.DataDir, "acme"))
	if origin := originOf(c.API.PublicURL); origin != "" {
		if len(c.Signal.Origins) == 0 {
			c.Signal.Origins = []string{origin}
		}
		if len(c.API.AllowedOrigins) == 0 {
			c.API.AllowedOrigins = []string{origin}
		}
	}
}

// Validate names every fault by its key.
func (c Config) Validate() error {
	var faults []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		faults = append(faults, fmt.Errorf("listen: %w", err))
	}
	if c.Region == "" {
		faults = append(faults, errors.New("region: must not be empty"))
	}
	if c.DataDir == "" {
		faults = append(faults, errors.New("data_dir: must not be empty"))
	}
	if _, err := telemetry.ParseLevel(c.Log.Level); err != nil {
		faults = append(faults, fmt.Errorf("log.level: %q is none of debug, info, warn, error", c.Log.Level))
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		faults = append(faults, fmt.Errorf("log.format: %q is neither text nor json", c.Log.Format))
	}
	return errors.Join(append(faults,
		inSection("tls", c.validateTLS()),
		inSection("bus", c.Bus.Validate()),
		inSection("grant", c.Grant.Validate()),
		inSection("node", c.Node.Validate()),
		inSection("signal", c.Signal.Validate()),
		inSection("api", c.API.Validate()),
		inSection("links", c.Links.Validate()),
		inSection("turn", c.Turn.Validate()),
		inSection("cluster", c.validateCluster()),
		c.validateRoles(),
	)...)
}

// relaysTLS says whether the relay has a port of its own for TLS.
func (c Config) relaysTLS() bool {
	return c.TLS.Set() && c.does(placement.RoleMedia) && c.Turn.Listen != "" && c.Turn.TLSListen != ""
}

// validateTLS checks the certificates, and that people are sent to where they are used.
func (c Config) validateTLS() error {
	faults := []error{c.TLS.Validate()}
	if err := c.TLS.Limits.Validate(); err != nil {
		faults = append(faults, inSection("limits", err))
	}
	if c.TLS.Listen == "" {
		return errors.Join(faults...)
	}
	if _, _, err := net.SplitHostPort(c.TLS.Listen); err != nil {
		faults = append(faults, fmt.Errorf("listen: %w", err))
	}
	if !c.TLS.Set() {
		faults = append(faults, errors.New("listen: needs certificates, or acme.domains"))
	}
	if !strings.HasPrefix(c.API.PublicURL, "https://") {
		faults = append(faults, fmt.Errorf("listen: api.public_url, %q, must be an https URL then", c.API.PublicURL))
	}
	return errors.Join(faults...)
}

// validateCluster checks what a node on its own does without.
func (c Config) validateCluster() error {
	if c.Cluster.Listen == "" {
		if len(c.Cluster.Join) > 0 {
			return errors.New("listen: must be set where join is")
		}
		return nil
	}
	cluster := c.Cluster
	cluster.NodeID, cluster.Region = "node", c.Region // the id is made later
	return cluster.Validate()
}

// inSection puts the section's name before every fault of a package, whose own keys it knows.
func inSection(section string, err error) error {
	if err == nil {
		return nil
	}
	var faults []error
	for line := range strings.Lines(err.Error()) {
		key := strings.TrimPrefix(strings.TrimSpace(line), section+".")
		faults = append(faults, errors.New(section+"."+key))
	}
	return errors.Join(faults...)
}

// originOf is the origin of a URL as browsers write it (RFC 6454, section 6.1), without a default port; or "".
func originOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return ""
	}
	host := u.Host
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return strings.ToLower(u.Scheme + "://" + host)
}

// signalURL is the WebSocket URL that belongs to the public URL.
func signalURL(publicURL string) string {
	return "ws" + strings.TrimPrefix(publicURL, "http") + "/v1/signal"
}
