package split

import (
	"errors"
	"fmt"
	"time"
)

// Config bounds what connections of strangers may cost, before and after they have said what they are. An IPv6 network of
// 64 bits counts as one address: whoever has one address of it has them all.
type Config struct {
	HandshakeTimeout time.Duration `koanf:"handshake_timeout"`  // from accepting a connection to the end of its handshake
	FirstByteTimeout time.Duration `koanf:"first_byte_timeout"` // from then to the first byte

	// Connections that have not yet sent a first byte, in all and of one address. One more in all is taken, and the one that
	// has been at it for longest is closed; one more of an address is refused.
	MaxPending           int `koanf:"max_pending"`
	MaxPendingPerAddress int `koanf:"max_pending_per_address"`

	// Handshakes, which cost processor time, a second for long and at once. More of them wait for their turn, those of all
	// for two seconds at most. Addresses that have finished one within the last hour share the rate of all no more.
	HandshakesPerSec        float64 `koanf:"handshakes_per_sec"`
	HandshakeBurst          int     `koanf:"handshake_burst"`
	AddressHandshakesPerSec float64 `koanf:"address_handshakes_per_sec"`
	AddressHandshakeBurst   int     `koanf:"address_handshake_burst"`

	// Connections open, whatever they are used for, in all and of one address. More are refused.
	MaxConnections           int `koanf:"max_connections"`
	MaxConnectionsPerAddress int `koanf:"max_connections_per_address"`
}

// Defaults leave room for an office behind one address whose people all come back at once.
func Defaults() Config {
	return Config{
		HandshakeTimeout:         8 * time.Second,
		FirstByteTimeout:         10 * time.Second,
		MaxPending:               1024,
		MaxPendingPerAddress:     128,
		HandshakesPerSec:         500,
		HandshakeBurst:           500,
		AddressHandshakesPerSec:  100,
		AddressHandshakeBurst:    300,
		MaxConnections:           8192,
		MaxConnectionsPerAddress: 1024,
	}
}

// Validate names every fault of c by its key.
func (c Config) Validate() error {
	var faults []error
	for _, f := range []struct {
		key   string
		value float64
	}{
		{"handshake_timeout", c.HandshakeTimeout.Seconds()},
		{"first_byte_timeout", c.FirstByteTimeout.Seconds()},
		{"max_pending", float64(c.MaxPending)},
		{"max_pending_per_address", float64(c.MaxPendingPerAddress)},
		{"handshakes_per_sec", c.HandshakesPerSec},
		{"handshake_burst", float64(c.HandshakeBurst)},
		{"address_handshakes_per_sec", c.AddressHandshakesPerSec},
		{"address_handshake_burst", float64(c.AddressHandshakeBurst)},
		{"max_connections", float64(c.MaxConnections)},
		{"max_connections_per_address", float64(c.MaxConnectionsPerAddress)},
	} {
		if f.value <= 0 {
			faults = append(faults, fmt.Errorf("%s: must be above 0", f.key))
		}
	}
	return errors.Join(faults...)
}
