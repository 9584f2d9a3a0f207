package rtc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pion/logging"

	"github.com/parley-sfu/parley/internal/udp"
)

// Endpoint owns the node's media sockets and the demultiplexing of what arrives on them. It is safe for concurrent use.
type Endpoint struct {
	shards      udp.Shards
	conn        *udp.Conn           // one of them, for what is not an answer to something read
	listener    *udp.FramedListener // nil without ICE-TCP
	mux         *mux
	addresses   *addresses
	certificate tls.Certificate
	fingerprint Fingerprint
	quiet       logging.LoggerFactory
	log         *slog.Logger
	began       time.Time
	idle        sync.Pool // of *reader

	mu         sync.RWMutex
	transports map[*Transport]struct{} // those that are not closed
	bySrc      map[source]binding
}

// source is where a datagram came from: a UDP address, or the remote end of a TCP connection.
type source struct {
	addr udp.Addr
	tcp  bool
}

// binding says whose packets come from a source: somebody has sent a check from there that was signed with the transport's
// password. A proven one has also answered a check that was sent there. The other lets media through to where keys decide,
// and handshakes wait; it never displaces a proven one.
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
	shards, tcp, err := open(cfg)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{
		shards: shards, conn: shards[0], log: log, certificate: certificate, fingerprint: fingerprintOf(certificate.Certificate[0]),
		began:      time.Now(),
		quiet:      quietLogs{log},
		transports: map[*Transport]struct{}{}, bySrc: map[source]binding{},
	}
	if tcp != nil {
		e.listener, err = udp.NewFramedListener(tcp, udp.FramedDefaults())
	}
	if err == nil {
		e.addresses, err = newAddresses(shards.LocalAddr(), cfg.Advertise, net.InterfaceAddrs)
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.mux = newMux(e.sendCheck)
	return e, nil
}

// open opens the UDP port and, for ICE-TCP, the TCP port of the same number. A number that is free for UDP may be taken
// for TCP: where any will do, another is tried.
func open(cfg Config) (shards udp.Shards, tcp *net.TCPListener, err error) {
	listen := netip.MustParseAddrPort(cfg.Listen)
	const tries = 16
	for range tries {
		shards, err = udp.ListenShards(udp.Config{
			Listen: listen, ReceiveBuffer: cfg.ReceiveBuffer, SendBuffer: cfg.SendBuffer, Gather: gatherFor, Stamp: true, Aside: setAside(),
		}, cfg.sockets())
		if err != nil {
			return nil, nil, fmt.Errorf("listen for media on %s: %w", listen, err)
		}
		if !cfg.TCP {
			return shards, nil, nil
		}
		tcp, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(shards.LocalAddr()))
		if err == nil {
			return shards, tcp, nil
		}
		err = errors.Join(fmt.Errorf("listen for ICE-TCP: %w", err), shards.Close())
		if listen.Port() != 0 {
			break
		}
	}
	return nil, nil, err
}

// Close closes the sockets of an endpoint that is not to run after all.
func (e *Endpoint) Close() error {
	if e.listener != nil {
		return errors.Join(e.shards.Close(), e.listener.Close())
	}
	return e.shards.Close()
}

// Run reads the sockets until ctx ends, then closes them.
func (e *Endpoint) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	broke := make(chan error, len(e.shards))
	for _, c := range e.shards {
		wg.Go(func() { broke <- e.read(c) })
	}
	if e.listener != nil {
		wg.Go(e.accept)
	}
	own, stop := context.WithCancel(ctx)
	wg.Go(func() { e.watch(own) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-broke:
	}
	stop()
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
func (e *Endpoint) Addr() netip.AddrPort { return e.shards.LocalAddr() }

// Fingerprint is that of the endpoint's certificate, for answers.
func (e *Endpoint) Fingerprint() Fingerprint { return e.fingerprint }

// Now is the endpoint's monotonic clock in nanoseconds: the one that packet.Packet.Arrival is of.
func (e *Endpoint) Now() int64 { return time.Since(e.began).Nanoseconds() }

// Stats counts what the UDP sockets have done together.
func (e *Endpoint) Stats() udp.Stats { return e.shards.Stats() }

// NewBatch returns an empty send batch on a media socket, for one goroutine at a time. It holds memory from its first
// use on.
func (e *Endpoint) NewBatch() *udp.Batch { return e.conn.NewBatch() }

// keep has a transport watched and bound from now on.
func (e *Endpoint) keep(t *Transport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.transports[t] = struct{}{}
}

// forget removes every trace of a closed transport, and closes its connections.
func (e *Endpoint) forget(t *Transport) {
	e.mu.Lock()
	delete(e.transports, t)
	var own []source
	for _, s := range t.bindings {
		if e.bySrc[s].t == t {
			delete(e.bySrc, s)
			own = append(own, s)
		}
	}
	t.bindings = nil
	e.mu.Unlock()
	for _, s := range own {
		if d, ok := e.reach(s); ok && d.tcp != nil {
			_ = d.tcp.Close() // it may have gone by itself
		}
	}
}

// bind notes that packets from s belong to t.
func (e *Endpoint) bind(t *Transport, s source, proven bool) {
	if b := e.lookup(s); b.t == t && (b.proven || !proven) {
		return // as nearly always
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old, taken := e.bySrc[s]
	if _, kept := e.transports[t]; !kept || taken && (old.t == t && old.proven || old.proven && !proven) {
		return
	}
	e.bySrc[s] = binding{t, proven}
	if taken && old.t == t {
		return
	}
	t.bindings = append(t.bindings, s)
	if len(t.bindings) > maxBindings {
		e.unbindLocked(t)
	}
}

// unbindLocked forgets the oldest source of a transport that has not been proven, or else the oldest that is not in use.
func (e *Endpoint) unbindLocked(t *Transport) {
	last := len(t.bindings) - 1
	i := slices.IndexFunc(t.bindings[:last], func(s source) bool { b := e.bySrc[s]; return b.t != t || !b.proven })
	if i < 0 {
		i = max(0, slices.IndexFunc(t.bindings[:last], func(s source) bool { return !t.goesTo(s) }))
	}
	if e.bySrc[t.bindings[i]].t == t {
		delete(e.bySrc, t.bindings[i])
	}
	t.bindings = slices.Delete(t.bindings, i, i+1)
}

func (e *Endpoint) lookup(s source) binding {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.bySrc[s]
}

// SetRelays names the test that tells a relay's end from other addresses. It is asked once for each address that a remote uses, and
// must neither block nor call the endpoint's transports. Who comes over a relay waits for a moment, so that a better path can be found first.
func (e *Endpoint) SetRelays(relays func(from netip.AddrPort) bool) { e.mux.relays.Store(&relays) }

// sendCheck sends an agent's message.
func (e *Endpoint) sendCheck(b []byte, to source) error {
	if !to.tcp {
		_, err := e.conn.WriteTo(b, to.addr)
		return err
	}
	if d, ok := e.reach(to); ok {
		d.tcp.WriteUrgent(b)
	}
	return nil
}

// watch has the agents' checks sent, and looks every second who has not answered for too long.
func (e *Endpoint) watch(ctx context.Context) {
	tick := time.NewTicker(checkTick)
	defer tick.Stop()
	for ticks := 1; ; ticks++ {
		select {
		case now := <-tick.C:
			e.mux.tick(now)
		case <-ctx.Done():
			return
		}
		if ticks%int(time.Second/checkTick) != 0 {
			continue
		}
		e.mu.RLock()
		all := slices.Collect(maps.Keys(e.transports))
		e.mu.RUnlock()
		for _, t := range all {
			t.watch(e.Now())
		}
	}
}

// reach turns a source into a destination.
func (e *Endpoint) reach(s source) (destination, bool) {
	d := destination{addr: s.addr}
	if s.tcp {
		d.tcp = e.listener.Conn(s.addr.AddrPort())
		return d, d.tcp != nil
	}
	return d, true
}
