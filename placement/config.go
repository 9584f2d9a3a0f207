package placement

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"
)

// Config says how a node gossips.
type Config struct {
	// NodeID is the node's name, unique in the cluster.
	NodeID string `koanf:"-"`
	// Region is the operator's name for the place where the node is.
	Region string `koanf:"-"`
	// Listen is the ip:port of gossip, UDP and TCP. Port 0 takes a free one.
	Listen string
	// Advertise is the ip or ip:port at which other nodes reach Listen. Empty: what Listen says, and a private address of
	// this machine where it says any.
	Advertise string
	// Join are host:port of other nodes. Some are enough, and this node itself may be among them.
	Join []string
	// Key encrypts gossip: base64 of 32 bytes, the same on all nodes. While it is being changed, several, separated by
	// commas: the first encrypts, all are understood. It is required unless Listen is on loopback.
	Key string

	timing    timing
	transport memberlist.Transport // for tests, which cut cables
}

// timing is how often gossip does things.
type timing struct {
	probeEvery, probeTimeout time.Duration
	suspicion                int // see memberlist.Config.SuspicionMult
	gossipEvery, syncEvery   time.Duration
	streamTimeout            time.Duration
	rejoinEvery              time.Duration // how often nodes that were lost of late are looked for
	patientEvery             int           // rejoins from one look for all lost nodes, over TCP, to the next
	rejoinEager              time.Duration // how long a node counts as lost of late
	seedsSoon, seedsEvery    time.Duration // from one look for absent configured nodes to the next, at first and later
	seedsEager               time.Duration // how long that is at first
	seedsAgain               time.Duration // from one look for a configured node that has answered to the next
	askEvery                 time.Duration // from one packet of a question to the next
	pulseEvery               time.Duration // shortest time from one pulse to the next
	rememberLost             time.Duration
	leaveWithin              time.Duration
}

// wanTiming fits round trips of up to 400 ms and a few lost packets in a hundred: a dead node is noticed after about
// five seconds in clusters of a few nodes, and nobody is suspected for a slow answer alone.
func wanTiming() timing {
	return timing{
		probeEvery: time.Second, probeTimeout: 500 * time.Millisecond, suspicion: 4,
		gossipEvery: 200 * time.Millisecond, syncEvery: 15 * time.Second, streamTimeout: 5 * time.Second,
		rejoinEvery: 500 * time.Millisecond, patientEvery: 10, rejoinEager: 2 * time.Minute,
		seedsSoon: time.Second, seedsEvery: 5 * time.Second, seedsEager: time.Minute, seedsAgain: 30 * time.Second, askEvery: 250 * time.Millisecond,
		pulseEvery: time.Second, rememberLost: time.Hour, leaveWithin: 2 * time.Second,
	}
}

// Validate names every fault at once, each by its key.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.NodeID == "" || len(c.NodeID) > 64 || strings.ContainsAny(c.NodeID, "/ ") {
		fault("node_id: 1 to 64 characters without blanks and slashes")
	}
	if c.Region == "" || len(c.Region) > 64 {
		fault("region: 1 to 64 characters")
	}
	listen, err := netip.ParseAddrPort(c.Listen)
	if err != nil {
		fault("gossip.listen: %w", err)
	}
	if _, err := c.advertise(); err != nil {
		fault("gossip.advertise: %w", err)
	}
	for _, to := range c.Join {
		if _, _, err := splitHostPort(to); err != nil {
			fault("gossip.join: %w", err)
		}
	}
	switch keys, err := c.Keys(); {
	case err != nil:
		fault("gossip.key: %w", err)
	case len(keys) == 0 && !listen.Addr().IsLoopback():
		fault("gossip.key: required, for %s is not loopback; `openssl rand -base64 32` makes one", c.Listen)
	}
	return errors.Join(faults...)
}

// Keys returns the keys, the one that encrypts first; none where nothing is encrypted.
func (c Config) Keys() (keys [][]byte, err error) {
	if c.Key == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(c.Key, ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil || len(key) != 32 {
			return nil, errors.New("must be base64 of 32 bytes") // says nothing of the secret
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// advertise returns the address to advertise; invalid where nothing is said, with port 0 for the port that listens.
func (c Config) advertise() (netip.AddrPort, error) {
	if c.Advertise == "" {
		return netip.AddrPort{}, nil
	}
	if ip, err := netip.ParseAddr(c.Advertise); err == nil {
		return netip.AddrPortFrom(ip, 0), nil
	}
	return netip.ParseAddrPort(c.Advertise)
}

// memberlist translates the configuration. The delegates, the transport and the log are the caller's.
func (c Config) memberlist() (*memberlist.Config, error) {
	listen, err := netip.ParseAddrPort(c.Listen)
	if err != nil {
		return nil, err
	}
	advertise, err := c.advertise()
	if err != nil {
		return nil, err
	}
	keys, err := c.Keys()
	if err != nil {
		return nil, err
	}
	m := memberlist.DefaultWANConfig()
	m.Name = c.NodeID
	m.Label = "parley"            // a stranger's memberlist is refused at its first byte
	m.DelegateProtocolVersion = 1 // of facts and pulses
	m.DelegateProtocolMin, m.DelegateProtocolMax = 1, 1
	m.BindAddr, m.BindPort = listen.Addr().String(), int(listen.Port())
	m.AdvertisePort = m.BindPort
	if advertise.IsValid() {
		m.AdvertiseAddr = advertise.Addr().String()
		if advertise.Port() != 0 {
			m.AdvertisePort = int(advertise.Port())
		}
	}
	if len(keys) > 0 {
		if m.Keyring, err = memberlist.NewKeyring(keys, keys[0]); err != nil {
			return nil, err
		}
	}
	t := c.timing
	m.ProbeInterval, m.ProbeTimeout, m.SuspicionMult = t.probeEvery, t.probeTimeout, t.suspicion
	m.GossipInterval, m.PushPullInterval, m.TCPTimeout = t.gossipEvery, t.syncEvery, t.streamTimeout
	m.DeadNodeReclaimTime = t.probeEvery // an id may come back at another address once it was declared dead
	m.Transport = c.transport
	m.DNSConfigPath = "" // names are resolved here
	return m, nil
}
