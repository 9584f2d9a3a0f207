package turn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	pion "github.com/pion/turn/v4"

	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/internal/udp"
)

// The ways in.
const (
	overUDP = "udp"
	overTCP = "tcp"
	overTLS = "tls"
)

// door is one way in: a UDP socket, or a listener. pion reads it as a net.PacketConn that brings nothing but requests, one at a
// time, rewritten from what was understood of them; so what pion acts on is what was judged here. It is pion's
// RelayAddressGenerator too.
type door struct {
	s        *Server
	kind     string
	conn     *udp.Conn    // nil for a listener
	listener net.Listener // nil for UDP
	local    *net.UDPAddr // stands for the server in pion's 5-tuples
	pion     *pion.Server
	requests chan *request
	wake     chan struct{} // has an element when ending is not empty
	closed   chan struct{}
	once     sync.Once
	current  *request // under way at pion; its reading goroutine's alone

	mu       sync.RWMutex // guards what follows
	sessions map[udp.Addr]*session
	ending   []*session
	streams  map[*stream]struct{}
}

const requestQueue = 256

// request is what pion is given, and what it needs to be answered.
type request struct {
	msg         message
	from        netip.AddrPort
	stream      *stream // nil over UDP
	session     *session
	key         []byte // nil for a request that proved nothing
	participant string
	refusal     int // the error to answer with; 0: pion decides
	reserved    bool
	answered    bool
	lifetime    time.Duration
	raw         []byte // what pion sees
}

func newDoor(s *Server, kind string, local netip.AddrPort) *door {
	return &door{
		s: s, kind: kind, local: net.UDPAddrFromAddrPort(local), requests: make(chan *request, requestQueue),
		wake: make(chan struct{}, 1), closed: make(chan struct{}), sessions: map[udp.Addr]*session{},
		streams: map[*stream]struct{}{},
	}
}

// open has pion serve the door.
func (d *door) open() (err error) {
	d.pion, err = pion.NewServer(pion.ServerConfig{
		PacketConnConfigs: []pion.PacketConnConfig{{
			PacketConn: d, RelayAddressGenerator: d,
			PermissionHandler: func(net.Addr, net.IP) bool { return d.current.refusal == 0 },
		}},
		Realm:         d.s.cfg.Realm,
		AuthHandler:   func(string, string, net.Addr) ([]byte, bool) { return d.current.key, d.current.key != nil },
		QuotaHandler:  func(string, string, net.Addr) bool { return d.reserve(d.current) },
		LoggerFactory: rtc.Quiet(),
		InboundMTU:    maxMessage,
	})
	if err != nil {
		return fmt.Errorf("turn: %w", err)
	}
	return nil
}

// session finds the allocation of a client.
func (d *door) session(client udp.Addr) *session {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.sessions[client]
}

// relays reports whether one of the door's allocations is relayed from a port.
func (d *door) relays(port uint16) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, s := range d.sessions {
		if s.relay.LocalAddr().Port() == port {
			return true
		}
	}
	return false
}

func (d *door) all() []*session {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]*session, 0, len(d.sessions))
	for _, s := range d.sessions {
		all = append(all, s)
	}
	return all
}

// finish ends an allocation. It carries nothing from now on; pion lets go of it between two requests, because it does not
// stand being told to while it handles one.
func (d *door) finish(s *session) {
	if s.over.Swap(true) {
		return
	}
	d.mu.Lock()
	d.ending = append(d.ending, s)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *door) takeEnding() []*session {
	d.mu.Lock()
	defer d.mu.Unlock()
	ending := d.ending
	d.ending = nil
	return ending
}

// forget frees all that an allocation holds.
func (d *door) forget(s *session) {
	d.mu.Lock()
	if d.sessions[s.client] == s {
		delete(d.sessions, s.client)
	}
	d.mu.Unlock()
	d.s.group.Remove(s.relay)
	if err := s.relay.Close(); err != nil {
		d.s.log.Warn("turn: the socket of an allocation does not close", "error", err)
	}
	d.s.allocations.give(s.participant, s.from.Addr())
	if s.stream != nil {
		s.stream.orphan()
	}
}

// ReadFrom implements net.PacketConn: it gives pion the next request.
func (d *door) ReadFrom(p []byte) (int, net.Addr, error) {
	d.settle()
	for {
		for _, s := range d.takeEnding() {
			s.fail()
			<-s.ended
		}
		select {
		case r := <-d.requests:
			if r.session != nil && r.session.over.Load() {
				r.session = nil
			}
			d.current = r
			return copy(p, r.raw), net.UDPAddrFromAddrPort(r.from), nil
		case <-d.wake:
		case <-d.closed:
			return 0, nil, net.ErrClosed
		}
	}
}

// settle ends a request. pion says nothing to a client that has no allocation: it would ask again and again.
func (d *door) settle() {
	r := d.current
	d.current = nil
	if r == nil {
		return
	}
	if !r.answered && r.key != nil {
		d.refuse(r, codeMismatch)
	}
	if r.reserved {
		d.s.allocations.give(r.participant, r.from.Addr())
	}
}

// Close implements net.PacketConn.
func (d *door) Close() error {
	var err error
	d.once.Do(func() {
		close(d.closed)
		if d.conn != nil {
			err = d.conn.Close()
		}
		if d.listener != nil {
			err = d.listener.Close()
		}
	})
	if errors.Is(err, net.ErrClosed) {
		return nil // whoever gave the listener was quicker
	}
	return err
}

// reserve decides on an allocation; pion asks once it has found the request authentic.
func (d *door) reserve(r *request) bool {
	if r.refusal != 0 {
		return false
	}
	if r.reserved = d.s.allocations.take(r.participant, r.from.Addr()); !r.reserved {
		r.refusal = codeQuota
	}
	return r.reserved
}

// AllocatePacketConn implements pion's RelayAddressGenerator: it opens the socket of a new allocation. An error makes pion answer
// 508.
func (d *door) AllocatePacketConn(string, int) (net.PacketConn, net.Addr, error) {
	r := d.current
	if r == nil || !r.reserved {
		return nil, nil, errors.New("turn: no allocation is under way")
	}
	six := r.msg.family == familyIPv6
	relay, err := d.s.openRelay(six, r.msg.evenPort)
	if err != nil {
		d.s.log.Warn("turn: no socket for an allocation", "error", err)
		return nil, nil, err
	}
	now := d.s.now()
	s := &session{
		door: d, from: r.from, client: udp.AddrFrom(r.from), stream: r.stream, relay: relay, username: r.msg.username,
		participant: r.participant, key: r.key, six: six, began: now, expires: now.Add(r.lifetime),
		end: make(chan struct{}), ended: make(chan struct{}),
	}
	s.routes.Store(&[]route{})
	if err := d.s.group.Add(relay, member{d, s}); err != nil {
		return nil, nil, errors.Join(err, relay.Close())
	}
	r.reserved, r.session = false, s // the session gives back what was taken
	d.mu.Lock()
	d.sessions[s.client] = s
	d.mu.Unlock()
	if r.stream != nil {
		r.stream.adopt(s)
	}
	d.s.metrics.allocated(d.kind)
	d.s.log.Debug("turn: allocation", "participant_id", s.participant, "transport", d.kind)
	return s, net.UDPAddrFromAddrPort(netip.AddrPortFrom(d.s.relayed(six), relay.LocalAddr().Port())), nil
}

// AllocateConn implements pion's RelayAddressGenerator; there is no TCP relaying.
func (d *door) AllocateConn(string, int) (net.Conn, net.Addr, error) {
	return nil, nil, errors.ErrUnsupported
}

// Validate implements pion's RelayAddressGenerator.
func (d *door) Validate() error { return nil }

// LocalAddr implements net.PacketConn.
func (d *door) LocalAddr() net.Addr { return d.local }

// SetDeadline implements net.PacketConn; pion sets none.
func (d *door) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.PacketConn.
func (d *door) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.PacketConn.
func (d *door) SetWriteDeadline(time.Time) error { return nil }

func randomTransaction() (id [transactionID]byte) {
	a, b := rand.Uint64(), rand.Uint32()
	for i := range 8 {
		id[i] = byte(a >> (8 * i))
	}
	for i := range 4 {
		id[8+i] = byte(b >> (8 * i))
	}
	return id
}
