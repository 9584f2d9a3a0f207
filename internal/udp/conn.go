package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxRead is how many datagrams one Read returns at most: beyond it, larger batches gain nothing measurable.
const maxRead = 64

// Config says how to open a Conn.
type Config struct {
	Listen        netip.AddrPort // required; port 0 takes a free one; unspecified IPv6 listens on IPv4 too
	ReceiveBuffer int            // kernel receive buffer in bytes, best effort; 0 keeps the system's default
	SendBuffer    int            // kernel send buffer likewise
	Gather        time.Duration  // how long Read waits for more where datagrams come thick, less than a second; 0: never
	ReusePort     bool           // let several sockets of this user share the port
	Stamp         bool           // have the kernel say when datagrams came, where it can: see Message.Waited
	Aside         Aside          // of shards: what can wait
}

// Message is one datagram received.
type Message struct {
	Buf  []byte // the caller's memory; a datagram that does not fit is cut and counted in Stats.Truncated
	N    int    // bytes of Buf that the datagram fills
	From Addr   // who sent it

	// Waited is how long the datagram was in the socket until Read took it, at most a second; 0 where nobody knows.
	Waited time.Duration
}

// Conn is one UDP socket. All its methods are safe for concurrent use.
type Conn struct {
	sock  *socket
	local netip.AddrPort
	stats counters
	done  chan struct{} // closed by Close
	once  sync.Once
}

// Listen opens a socket. The caller closes it. When the host has no IPv6, an unspecified IPv6 address is taken as the
// unspecified IPv4 address.
func Listen(cfg Config) (*Conn, error) {
	if !cfg.Listen.IsValid() {
		return nil, errors.New("udp: listen: no address")
	}
	s, local, err := openSocket(cfg)
	if err != nil {
		return nil, fmt.Errorf("udp: listen on %s: %w", cfg.Listen, err)
	}
	return &Conn{sock: s, local: local, done: make(chan struct{})}, nil
}

// LocalAddr is the address the socket is bound to, with the port it really has.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Read waits for at least one datagram and returns the first n messages filled; it takes what has already arrived. It is best
// called by one goroutine for each Conn; others wait for their turn. Only where datagrams come so thick that it is worth it, it
// waits for more, until Gather after the Read before. What is set aside comes behind the others. It returns net.ErrClosed once the Conn is closed; any other error means that
// the socket is broken.
func (c *Conn) Read(ms []Message) (n int, err error) {
	if len(ms) == 0 {
		return 0, nil
	}
	n, truncated, err := c.sock.read(ms[:min(len(ms), maxRead)])
	if err != nil {
		return 0, err
	}
	c.count(ms[:n], truncated)
	return n, nil
}

func (c *Conn) count(ms []Message, truncated int) {
	bytes := 0
	for i := range ms {
		bytes += ms[i].N
	}
	c.stats.addReceived(len(ms), bytes, truncated)
}

// Behind is how long ago the datagrams came that whoever calls Read works off at this moment, as far as the kernel has said (Config.Stamp);
// 0 while nothing is left to be read, and where nobody knows. What came since is still in the socket.
func (c *Conn) Behind() time.Duration { return c.sock.reading.behind() }

// WriteTo sends one datagram at once. It never blocks: what the kernel has no room for is dropped and reported.
func (c *Conn) WriteTo(b []byte, to Addr) (int, error) {
	err := c.sock.writeTo(b, to)
	if err != nil {
		c.stats.addSent(tally{syscalls: 1, errors: 1, drops: 1})
		if errors.Is(err, net.ErrClosed) {
			return 0, err
		}
		return 0, fmt.Errorf("udp: write to %s: %w", to, err)
	}
	c.stats.addSent(tally{syscalls: 1, sent: 1, bytes: len(b)})
	return len(b), nil
}

// Stats returns what the Conn has done since Listen. The counters are read one by one, so they may be a batch apart.
func (c *Conn) Stats() Stats {
	s := c.stats.load()
	s.ReceiveDrops = c.sock.receiveDrops()
	return s
}

// Close closes the socket and returns when no call uses it any more; a blocked Read returns at once. Closing again does
// nothing.
func (c *Conn) Close() error {
	var err error
	c.once.Do(func() {
		close(c.done)
		err = c.sock.close()
	})
	if err != nil {
		return fmt.Errorf("udp: close: %w", err)
	}
	return nil
}
