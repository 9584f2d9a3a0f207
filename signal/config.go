package signal

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config of a Service. Durations and sizes are limits that a client feels.
type Config struct {
	Origins         []string      // browser origins that may connect: scheme://host[:port], where the port may be *
	MaxMessageBytes int64         // of one message, after inflating
	MessagesPerSec  float64       // sustained, a session
	MessageBurst    int           // at once, a session
	OffersPerSec    float64       // sustained, a session
	QueueMessages   int           // outbound; a session that lets more wait is dropped
	QueueBytes      int           // likewise
	KeptEvents      int           // a session, for resuming
	MaxWaiting      int           // in one room's lobby
	HelloTimeout    time.Duration // from the upgrade to the first message
	PingEvery       time.Duration // silence of the socket before the server pings
	PingTimeout     time.Duration // for the pong
	Grace           time.Duration // that a lost participant's place is kept
	DigestEvery     time.Duration // between comparisons of the roster with other nodes
	NodeSilence     time.Duration // after which a node that says nothing has left the room
	NodeGrace       time.Duration // that participants of a node that has gone have to come back through another
	ICEServersEvery time.Duration // after which a client is told fresh credentials of the relays; shorter than they last
	DrainDeadline   time.Duration // for a participant to move away from a node that drains, before its socket is closed

	migration   migration
	homeTimeout time.Duration // for tests; 0: as the constant says
}

// Defaults returns the configuration that serves no browser yet: Origins is empty.
func Defaults() Config {
	return Config{
		MaxMessageBytes: 128 << 10,
		MessagesPerSec:  50,
		MessageBurst:    100,
		OffersPerSec:    5,
		QueueMessages:   1024,
		QueueBytes:      1 << 20,
		KeptEvents:      256,
		MaxWaiting:      200,
		HelloTimeout:    10 * time.Second,
		PingEvery:       15 * time.Second,
		PingTimeout:     10 * time.Second,
		Grace:           20 * time.Second,
		DigestEvery:     2 * time.Second,
		NodeSilence:     10 * time.Second,
		NodeGrace:       3 * time.Second,
		ICEServersEvery: 10 * time.Minute,
		DrainDeadline:   time.Minute,
		migration:       defaultMigration(),
	}
}

// LoopbackOrigins are the origins that `parley dev` allows: any port of this machine.
func LoopbackOrigins() []string {
	return []string{"http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*"}
}

// Validate names all faults of c.
func (c Config) Validate() error {
	var faults []error
	for _, origin := range c.Origins {
		if !validOrigin(origin) {
			faults = append(faults, fmt.Errorf("origins: %q is not scheme://host or scheme://host:port", origin))
		}
	}
	for _, limit := range []struct {
		key string
		ok  bool
	}{
		{"max_message_bytes", c.MaxMessageBytes > 0},
		{"messages_per_sec", c.MessagesPerSec > 0},
		{"message_burst", c.MessageBurst > 0},
		{"offers_per_sec", c.OffersPerSec > 0},
		{"queue_messages", c.QueueMessages > 0},
		{"queue_bytes", c.QueueBytes > 0},
		{"kept_events", c.KeptEvents > 0},
		{"max_waiting", c.MaxWaiting > 0},
		{"hello_timeout", c.HelloTimeout > 0},
		{"ping_every", c.PingEvery > 0},
		{"ping_timeout", c.PingTimeout > 0},
		{"grace", c.Grace > 0},
		{"digest_every", c.DigestEvery > 0},
		{"node_grace", c.NodeGrace > 0},
		{"node_silence", c.NodeSilence > c.DigestEvery},
		{"ice_servers_every", c.ICEServersEvery > 0},
		{"drain_deadline", c.DrainDeadline > 0},
	} {
		if !limit.ok {
			faults = append(faults, fmt.Errorf("%s: must be positive, and node_silence longer than digest_every", limit.key))
		}
	}
	return errors.Join(faults...)
}

func validOrigin(origin string) bool {
	u, err := url.Parse(strings.TrimSuffix(origin, ":*"))
	return err == nil && u.Scheme != "" && u.Host != "" && u.Scheme+"://"+u.Host == strings.TrimSuffix(origin, ":*")
}

// originAllowed says whether a browser's Origin header (RFC 6454) is in the list. No header means no browser.
func (c Config) originAllowed(origin string) bool {
	if origin == "" {
		return true
	}
	for _, allowed := range c.Origins {
		if strings.EqualFold(allowed, origin) {
			return true
		}
		host, anyPort := strings.CutSuffix(allowed, ":*")
		if port, ok := cutPrefixFold(origin, host+":"); anyPort && ok && isPort(port) {
			return true
		}
	}
	return false
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

func isPort(s string) bool {
	return s != "" && len(s) <= 5 && strings.Trim(s, "0123456789") == ""
}
