package rtc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/logging"

	"github.com/parley-sfu/parley/internal/udp"
)

// Endpoint owns the node's media sockets and the demultiplexing of what arrives on them. It is safe for concurrent use.
type Endpoint struct {
	conn        *udp.Conn
	listener    *udp.FramedListener // nil without ICE-TCP
	mux         *mux
	tcpMux      *ice.TCPMuxDefault
	networks    []ice.NetworkType
	addresses   *addresses
	certificate tls.Certificate
	fingerprint Fingerprint
	quiet       logging.LoggerFactory
	log         *slog.Logger
	began       time.Time
	idle        sync.Pool // of *reader

	mu      sync.RWMutex
	byUfrag map[string]*Transport
	bySrc   map[source]binding
}

// source is where a datagram came from: a UDP address, or the remote end of a TCP connection.
type source struct {
	addr udp.Addr
	tcp  bool
}

// binding says whose packets come from a source. A proven one has answered an authenticated check from there; before
// that it only lets handshake and media packets through to where keys decide, and never displaces a proven one.
type binding struct {
	t      *Transport
	proven bool
}

// maxBindings bounds the addresses that one remote can occupy.
const maxBindings = 8

// New opens the sockets. Nothing is read before Run; Run closes them.
func New(cfg Config, log *slog.Logger) (*Endpoint, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	certificate, err := newCertificate()
	if err != nil {
		return nil, fmt.Errorf("DTLS certificate: %w", err)
	}
	conn, tcp, err := open(cfg)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{
		conn: conn, log: log, certificate: certificate, fingerprint: fingerprintOf(certificate.Certificate[0]),
		began:   time.Now(),
		quiet:   quietLogs{log},
		byUfrag: map[string]*Transport{}, bySrc: map[source]binding{},
	}
	err = e.setAddresses(cfg)
	if err == nil && tcp != nil {
		err = e.muxTCP(tcp)
	}
	if err != nil {
		if tcp != nil {
			err = errors.Join(err, tcp.Close())
		}
		return nil, errors.Join(err, conn.Close())
	}
	return e, nil
}

// open opens the UDP port and, for ICE-TCP, the TCP port of the same number. A number that is free for UDP may be taken
// for TCP: where any will do, another is tried.
func open(cfg Config) (conn *udp.Conn, tcp *net.TCPListener, err error) {
	listen := netip.MustParseAddrPort(cfg.Listen)
	const tries = 16
	for range tries {
		conn, err = udp.Listen(udp.Config{Listen: listen, ReceiveBuffer: cfg.ReceiveBuffer, SendBuffer: cfg.SendBuffer})
		if err != nil {
			return nil, nil, fmt.Errorf("listen for media on %s: %w", listen, err)
		}
		if !cfg.TCP {
			return conn, nil, nil
		}
		tcp, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(conn.LocalAddr()))
		if err == nil {
			return conn, tcp, nil
		}
		err = errors.Join(fmt.Errorf("listen for ICE-TCP: %w", err), conn.Close())
		if listen.Port() != 0 {
			break
		}
	}
	return nil, nil, err
}

// setAddresses decides which addresses to advertise and which one of each family stands for the socket in ICE.
func (e *Endpoint) setAddresses(cfg Config) (err error) {
	bound := e.conn.LocalAddr()
	if e.addresses, err = newAddresses(bound, cfg.Advertise, net.InterfaceAddrs); err != nil {
		return err
	}
	var four, six bool
	var own []net.Addr
	for _, a := range e.addresses.own(time.Now()) {
		if a.Addr().Is4() && !four {
			four = true
			e.networks = append(e.networks, ice.NetworkTypeUDP4, ice.NetworkTypeTCP4)
			own = append(own, net.UDPAddrFromAddrPort(a))
		} else if a.Addr().Is6() && !six {
			six = true
			e.networks = append(e.networks, ice.NetworkTypeUDP6, ice.NetworkTypeTCP6)
			own = append(own, net.UDPAddrFromAddrPort(a))
		}
	}
	e.mux = newMux(e.conn, own, e.answered)
	return nil
}

// Close closes the sockets of an endpoint that is not to run after all.
func (e *Endpoint) Close() error {
	if e.tcpMux != nil {
		return errors.Join(e.conn.Close(), e.tcpMux.Close())
	}
	return e.conn.Close()
}

// Run reads the sockets until ctx ends, then closes them.
func (e *Endpoint) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	broke := make(chan error, 1)
	wg.Go(func() { broke <- e.read() })
	var err error
	select {
	case <-ctx.Done():
	case err = <-broke:
	}
	closing := e.Close()
	wg.Wait()
	if ctx.Err() == nil {
		return fmt.Errorf("media socket: %w", err)
	}
	if closing != nil {
		return fmt.Errorf("close media sockets: %w", closing)
	}
	return nil
}

// Addr is the address of the media sockets, with the port they really have.
func (e *Endpoint) Addr() netip.AddrPort { return e.conn.LocalAddr() }

// Fingerprint is that of the endpoint's certificate, for answers.
func (e *Endpoint) Fingerprint() Fingerprint { return e.fingerprint }

// Now is the endpoint's monotonic clock in nanoseconds: the one that packet.Packet.Arrival is of.
func (e *Endpoint) Now() int64 { return time.Since(e.began).Nanoseconds() }

// Stats counts what the UDP socket has done.
func (e *Endpoint) Stats() udp.Stats { return e.conn.Stats() }

// NewBatch returns an empty send batch on the media socket, for one goroutine at a time. It holds memory from its first
// use on.
func (e *Endpoint) NewBatch() *udp.Batch { return e.conn.NewBatch() }

// name notes a transport's present ICE user name fragment. e.mu guards t.ufrag.
func (e *Endpoint) name(t *Transport, ufrag string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.byUfrag, t.ufrag)
	if !t.forgotten {
		t.ufrag = ufrag
		e.byUfrag[ufrag] = t
	}
}

// forget removes every trace of a closed transport.
func (e *Endpoint) forget(t *Transport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t.forgotten = true
	delete(e.byUfrag, t.ufrag)
	for _, s := range t.bindings {
		if e.bySrc[s].t == t {
			delete(e.bySrc, s)
		}
	}
	t.bindings = nil
}

// bind notes that packets from s belong to t.
func (e *Endpoint) bind(t *Transport, s source, proven bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old, taken := e.bySrc[s]
	if t.forgotten || taken && (old.t == t && old.proven || old.proven && !proven) {
		return
	}
	e.bySrc[s] = binding{t, proven}
	if taken && old.t == t {
		return
	}
	t.bindings = append(t.bindings, s)
	if len(t.bindings) > maxBindings {
		if e.bySrc[t.bindings[0]].t == t {
			delete(e.bySrc, t.bindings[0])
		}
		t.bindings = t.bindings[1:]
	}
}

func (e *Endpoint) lookup(s source) *Transport {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.bySrc[s].t
}

// answered is told by the mux that an agent has answered a check from an address, which takes the right password.
func (e *Endpoint) answered(c *checkConn, to netip.AddrPort) {
	e.mu.RLock()
	t := e.byUfrag[c.key.ufrag]
	e.mu.RUnlock()
	if t != nil {
		e.bind(t, source{addr: udp.AddrFrom(to)}, false)
	}
}

// reach turns a remote candidate into a destination.
func (e *Endpoint) reach(c ice.Candidate) (destination, bool) {
	addr, err := netip.ParseAddr(c.Address())
	if err != nil {
		return destination{}, false
	}
	ap := netip.AddrPortFrom(addr.Unmap(), uint16(c.Port()))
	d := destination{addr: udp.AddrFrom(ap)}
	if c.NetworkType().IsTCP() {
		if d.tcp = e.listener.Conn(ap); d.tcp == nil {
			return destination{}, false
		}
	}
	return d, true
}

func (d destination) source() source { return source{d.addr, d.tcp != nil} }
