package rtc

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"
)

// Config says where an Endpoint listens and what it tells others about that.
type Config struct {
	Listen        string   `koanf:"listen"         yaml:"listen"`         // host:port for UDP and ICE-TCP; port 0 takes a free one
	Advertise     []string `koanf:"advertise"      yaml:"advertise"`      // addresses, or address:port, that this node is reached at from outside; those of the listener are offered as well
	TCP           bool     `koanf:"tcp"            yaml:"tcp"`            // accept ICE-TCP (RFC 6544) on the same port number
	Sockets       int      `koanf:"sockets"        yaml:"sockets"`        // for UDP, each with a goroutine that forwards what comes on it; 0: one for two CPUs, at most maxSockets
	ReceiveBuffer int      `koanf:"receive_buffer" yaml:"receive_buffer"` // bytes of kernel buffer of each socket, best effort
	SendBuffer    int      `koanf:"send_buffer"    yaml:"send_buffer"`    // likewise
}

// Defaults returns the configuration of a node on every address of the machine, of both families where it has both.
func Defaults() Config {
	return Config{Listen: "[::]:7881", TCP: true, ReceiveBuffer: 4 << 20, SendBuffer: 4 << 20}
}

// Validate reports all faults at once, each naming its key.
func (c Config) Validate() error {
	var faults []error
	if _, err := netip.ParseAddrPort(c.Listen); err != nil {
		faults = append(faults, fmt.Errorf("listen: %w", err))
	}
	faults = append(faults, c.advertiseFaults()...)
	if c.ReceiveBuffer < 0 || c.SendBuffer < 0 {
		faults = append(faults, errors.New("receive_buffer, send_buffer: must not be negative"))
	}
	if c.Sockets < 0 || c.Sockets > maxSockets {
		faults = append(faults, fmt.Errorf("sockets: must be from 0 to %d", maxSockets))
	}
	return errors.Join(faults...)
}

// maxSockets is enough for any network card.
const maxSockets = 64

// sockets is how many to open. More than one for two CPUs gain little, since the kernel's work, handshakes and signalling need
// CPUs too, and cost a wake-up each where one would do.
func (c Config) sockets() int {
	if c.Sockets == 0 {
		return min(max(runtime.GOMAXPROCS(0)/2, 1), maxSockets)
	}
	return c.Sockets
}

func (c Config) advertiseFaults() (faults []error) {
	listen, err := netip.ParseAddrPort(c.Listen)
	seen := map[netip.AddrPort]bool{}
	for _, s := range c.Advertise {
		ap, fault := parseAdvertised(s)
		switch {
		case fault != nil:
		case err == nil && ap.Addr().Is6() && listen.Addr().Unmap().Is4():
			fault = fmt.Errorf("%s is IPv6, but listen takes only IPv4; [::] takes both", s)
		case err == nil && ap.Addr().Is4() && listen.Addr().Unmap().Is6() && !listen.Addr().IsUnspecified():
			fault = fmt.Errorf("%s is IPv4, but listen takes only IPv6; [::] takes both", s)
		case seen[ap]:
			fault = fmt.Errorf("%s is there twice", s)
		}
		seen[ap] = true
		if fault != nil {
			faults = append(faults, fmt.Errorf("advertise: %w", fault))
		}
	}
	return faults
}

// What a transport allows itself to wait and to hold.
const (
	iceDisconnected  = 5 * time.Second  // silence after which the owner is told
	iceKeepalive     = 2 * time.Second  // between checks to an address that is quiet
	iceQuiet         = 3 * time.Second  // without a check from it, after which an address is quiet; Chromium's come every 2.5 s
	iceConsent       = 5 * time.Second  // between checks to one that is not, which are answers to its own where that can be (RFC 7675 section 5.1)
	relaxedKeepalive = 14 * time.Second // to other servers
	handshakeTimeout = 15 * time.Second
	flightInterval   = 100 * time.Millisecond // before a handshake's flight is sent again
	handshakeQueue   = 16                     // DTLS datagrams that wait for the handshake to read them
	maxDatagram      = 1500
	sealOverhead     = 16 // the most that SRTP adds: a GCM tag
)
