package turn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/telemetry"
	"github.com/parley-sfu/parley/internal/udp"
)

// Deps are what a relay needs of the rest of the node.
type Deps struct {
	Credentials *Credentials
	// Addresses are those that clients reach this node's media at: what clients are told where Config.Advertise is empty, and what
	// relayed addresses are made of.
	Addresses []netip.Addr
	// TLS are the ways in by TLS, whose connections are those of clients after the handshake or just before. The relay closes
	// them.
	TLS []TLSListener
	// Revoked says whether a participant was removed. It is asked often and does not block. nil: nobody ever is.
	Revoked func(participant string) bool
	Log     *slog.Logger

	now func() time.Time // for tests
}

// TLSListener is a way in that somebody else has opened.
type TLSListener struct {
	Listener net.Listener
	Host     string // that clients are told, which its certificate is for; empty: the relay's own
	Port     int    // that clients are told; 0: that of the listener
}

const (
	peerGrace       = time.Minute // for which a peer that is no longer named stays: gossip may have lost a node that carries calls
	sweepEvery      = time.Second
	requestsInAll   = 20_000 // a second, of clients without an allocation
	relayTries      = 16
	relayBuffer     = 256 << 10 // bytes of kernel buffer of an allocation's socket
	clientBuffer    = 4 << 20   // of the socket for all clients
	sameNumber      = 16        // tries to find a port that is free for UDP and TCP
	stopRelayingFor = 3 * time.Second
)

// Server is the relay. It is safe for concurrent use.
type Server struct {
	cfg          Config
	credentials  *Credentials
	allow        *allowList
	allocations  *quota
	conns        *quota
	pace         *pace
	perSession   int // requests a second
	firstMessage time.Duration
	metrics      meters
	log          *slog.Logger
	now          func() time.Time
	isRevoked    func(participant string) bool
	four, six    netip.Addr // what relayed addresses are made of; invalid: there is none of that family
	bind         netip.Addr // that relays are bound to
	hosts        []string
	doors        []*door
	group        *udp.Group[member] // all UDP sockets
	batches      sync.Pool          // of *batch
	overTLS      []TLSListener
}

// New opens the sockets of a relay that relays to nobody before SetPeers. Run serves and closes them. A configuration without
// Listen is an error: there is no relay then.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Listen == "" || deps.Credentials == nil || deps.Log == nil {
		return nil, errors.New("turn: a relay needs an address, credentials and a log")
	}
	if deps.now == nil {
		deps.now = time.Now
	}
	s := &Server{
		cfg: cfg, credentials: deps.Credentials, log: deps.Log, now: deps.now, isRevoked: deps.Revoked, metrics: newMeters(),
		allow:       newAllowList(deps.now, peerGrace),
		allocations: newQuota(cfg.MaxAllocations, cfg.PerCredential, cfg.PerAddress),
		conns:       newQuota(cfg.MaxConns, 0, cfg.MaxConnsPerAddr),
		perSession:  requestsPerSession, firstMessage: firstMessage,
		pace: newPace(deps.now, requestsInAll, cfg.RequestsPerSecond),
	}
	var err error
	if s.group, err = udp.NewGroup[member](); err != nil {
		return nil, fmt.Errorf("turn: %w", err)
	}
	if err := s.open(deps); err != nil {
		return nil, errors.Join(err, s.closeDoors(), s.group.Close())
	}
	s.batches.New = func() any { return &batch{Batch: s.doors[0].conn.NewBatch()} }
	s.register()
	return s, nil
}

// open opens all ways in.
func (s *Server) open(deps Deps) (err error) {
	conn, tcp, err := openPair(s.cfg.Listen)
	if err != nil {
		return err
	}
	s.addDoor(overUDP, conn.LocalAddr()).conn = conn
	s.addDoor(overTCP, conn.LocalAddr()).listener = tcp
	s.locate(conn.LocalAddr().Addr(), deps.Addresses)
	for _, l := range deps.TLS {
		s.addTLS(l)
	}
	return nil
}

func (s *Server) addTLS(l TLSListener) {
	local := addrPortOf(l.Listener.Addr())
	s.addDoor(overTLS, local).listener = l.Listener
	if l.Port == 0 {
		l.Port = int(local.Port())
	}
	s.overTLS = append(s.overTLS, l)
}

func (s *Server) addDoor(kind string, local netip.AddrPort) *door {
	d := newDoor(s, kind, local)
	s.doors = append(s.doors, d)
	return d
}

// openPair opens UDP and TCP on the same port. A number that is free for UDP may be taken for TCP: where any will do, another is
// tried.
func openPair(listen string) (conn *udp.Conn, tcp net.Listener, err error) {
	at, err := netip.ParseAddrPort(listen)
	if err != nil {
		return nil, nil, fmt.Errorf("turn: %w", err)
	}
	for range sameNumber {
		conn, err = udp.Listen(udp.Config{Listen: at, ReceiveBuffer: clientBuffer, SendBuffer: clientBuffer})
		if err != nil {
			return nil, nil, fmt.Errorf("turn: listen on %s: %w", at, err)
		}
		tcp, err = new(net.ListenConfig).Listen(context.Background(), "tcp", conn.LocalAddr().String())
		if err == nil {
			return conn, tcp, nil
		}
		err = errors.Join(fmt.Errorf("turn: listen: %w", err), conn.Close())
		if at.Port() != 0 {
			break
		}
	}
	return nil, nil, err
}

// locate decides what clients are told of where this node is.
func (s *Server) locate(bound netip.Addr, media []netip.Addr) {
	s.hosts = s.cfg.Advertise
	var known []netip.Addr
	for _, host := range s.hosts {
		if addr, err := netip.ParseAddr(host); err == nil {
			known = append(known, addr.Unmap())
		}
	}
	if len(s.hosts) == 0 {
		for _, addr := range media {
			s.hosts = append(s.hosts, addr.String())
		}
	}
	known = append(known, media...)
	if s.bind = bound; !bound.IsUnspecified() {
		known = append([]netip.Addr{bound}, known...)
	}
	for _, addr := range known {
		switch {
		case addr.Is4() && !s.four.IsValid() && (bound.Is4() || bound.IsUnspecified()):
			s.four = addr
		case addr.Is6() && !s.six.IsValid() && bound.Is6():
			s.six = addr
		}
	}
	if len(s.hosts) == 0 && !bound.IsUnspecified() {
		s.hosts = []string{bound.String()}
	}
}

// relayed is the address that allocations of a family are told; invalid where there are none.
func (s *Server) relayed(six bool) netip.Addr {
	if six {
		return s.six
	}
	return s.four
}

// openRelay opens the socket of an allocation.
func (s *Server) openRelay(six, even bool) (*udp.Conn, error) {
	at := s.bind
	switch {
	case six == at.Is6():
	case six:
		at = netip.IPv6Unspecified()
	default:
		at = netip.IPv4Unspecified()
	}
	var err error
	for range relayTries {
		port := s.cfg.MinPort + rand.IntN(s.cfg.MaxPort-s.cfg.MinPort+1)
		if even && port > s.cfg.MinPort {
			port &^= 1
		}
		var conn *udp.Conn
		conn, err = udp.Listen(udp.Config{Listen: netip.AddrPortFrom(at, uint16(port)), ReceiveBuffer: relayBuffer, SendBuffer: relayBuffer})
		if err == nil {
			return conn, nil
		}
	}
	return nil, fmt.Errorf("turn: no free port among %d to %d: %w", s.cfg.MinPort, s.cfg.MaxPort, err)
}

// SetPeers names everybody who may be relayed to: the cluster's SFUs, each address of each. Those that are no longer named stay
// for a minute.
func (s *Server) SetPeers(peers []netip.AddrPort) { s.allow.set(peers) }

// Relays reports whether an allocation is relayed from a port at present.
func (s *Server) Relays(port uint16) bool {
	if int(port) < s.cfg.MinPort || int(port) > s.cfg.MaxPort {
		return false
	}
	for _, d := range s.doors {
		if d.relays(port) {
			return true
		}
	}
	return false
}

// Addr is where the relay listens for UDP and TCP.
func (s *Server) Addr() netip.AddrPort { return s.doors[0].conn.LocalAddr() }

// Addresses say where clients reach the relay, for URLs: host:port for STUN and TURN over UDP and TCP, and with "s:" in front for
// TURN over TLS. What stands with "k:" in front is for MintFor. The most useful come first: gossip may have no room for all.
func (s *Server) Addresses() []string {
	var hosts []string
	for _, host := range s.hosts[:min(len(s.hosts), maxAdvertise)] {
		hosts = append(hosts, net.JoinHostPort(host, strconv.Itoa(int(s.Addr().Port()))))
	}
	first := min(1, len(hosts))
	all := append(slices.Clone(hosts[:first]), s.credentials.marks()...)
	for _, l := range s.overTLS {
		host := l.Host
		if host == "" && len(s.hosts) > 0 {
			host = s.hosts[0]
		}
		if host != "" {
			all = append(all, tlsMark+net.JoinHostPort(host, strconv.Itoa(l.Port)))
		}
	}
	return append(all, hosts[first:]...)
}

// Run relays until ctx ends, then ends all allocations. It returns an error only when a socket breaks.
func (s *Server) Run(ctx context.Context) error {
	own, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for _, d := range s.doors {
		if err := d.open(); err != nil {
			stop(err)
			break
		}
		if d.listener != nil {
			wg.Go(func() { stop(d.accept()) })
		}
	}
	wg.Go(func() { stop(s.carry()) })
	wg.Go(func() { s.sweep(own) })
	<-own.Done()
	s.endAll()
	err := errors.Join(s.group.Close(), s.closeDoors())
	wg.Wait()
	if ctx.Err() == nil {
		return fmt.Errorf("turn: %w", context.Cause(own))
	}
	return err
}

// member is a UDP socket: that of the clients or that of an allocation. One goroutine reads them all.
type member struct {
	door    *door
	session *session // nil: the socket of the clients
}

// carry works off whatever comes over UDP, from clients and from peers, until the group is closed.
func (s *Server) carry() error {
	out := s.takeBatch()
	defer s.giveBatch(out)
	for _, d := range s.doors {
		if d.conn != nil {
			if err := s.group.Add(d.conn, member{door: d}); err != nil {
				return err
			}
		}
	}
	return s.group.Run(messages(), func(to member, ms []udp.Message) {
		for i := range ms {
			switch m := &ms[i]; {
			case m.N == 0 || m.N >= maxMessage: // a full one may have been cut
			case to.session != nil:
				out.tally.to(m.N, to.session.deliver(m.From, m.Buf[:m.N], out))
			default:
				to.door.datagram(m.Buf[:m.N], m.From, out)
			}
		}
	}, func() { out.flush(&s.metrics) })
}

// sweep ends what is over, once a second.
func (s *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.allow.age()
			for _, d := range s.doors {
				for _, one := range d.all() {
					s.review(one)
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// review ends an allocation that is over or was revoked, and what is over of it.
func (s *Server) review(one *session) {
	now := s.now()
	switch {
	case s.revoked(one.participant):
		s.log.Info("turn: the allocation of a removed participant ends", "participant_id", one.participant)
		one.door.finish(one)
	case one.expired(now):
		one.door.finish(one)
	default:
		one.prune(now, s.allow.allows)
	}
}

func (s *Server) revoked(participant string) bool {
	return s.isRevoked != nil && s.isRevoked(participant)
}

// endAll has pion let go of everything.
func (s *Server) endAll() {
	limit := time.NewTimer(stopRelayingFor)
	defer limit.Stop()
	for _, d := range s.doors {
		for _, one := range d.all() {
			d.finish(one)
			select {
			case <-one.ended:
			case <-limit.C:
				return
			}
		}
	}
}

func (s *Server) closeDoors() error {
	var faults []error
	for _, d := range s.doors {
		faults = append(faults, d.Close())
	}
	return errors.Join(faults...)
}

func (s *Server) takeBatch() *batch {
	b, ok := s.batches.Get().(*batch)
	if !ok {
		b = &batch{Batch: s.doors[0].conn.NewBatch()}
	}
	return b
}

func (s *Server) giveBatch(b *batch) {
	b.flush(&s.metrics)
	s.batches.Put(b)
}

func (s *Server) register() {
	telemetry.Gauge("parley_turn_allocations", func() float64 { return float64(s.allocations.len()) })
	telemetry.Gauge("parley_turn_connections", func() float64 { return float64(s.conns.len()) })
}
