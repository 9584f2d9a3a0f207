package turn

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/udp"
)

const (
	permissionFor = 5 * time.Minute  // RFC 8656 section 9
	channelFor    = 10 * time.Minute // RFC 8656 section 12

	maxRoutes          = 64 // peers of one allocation
	requestsPerSession = 50 // a second, of a client with an allocation
)

// session is one allocation: a client, the socket that it is relayed over, and whom it may reach.
//
// pion knows it as the net.PacketConn that the allocation was made with, and reads nothing from it: the data is carried here.
type session struct {
	door        *door
	from        netip.AddrPort
	client      udp.Addr
	stream      *stream // nil over UDP
	relay       *udp.Conn
	username    string
	participant string
	key         []byte
	six         bool
	began       time.Time
	routes      atomic.Pointer[[]route] // never changed; read for every packet
	over        atomic.Bool             // to be ended; carries nothing any more
	end         chan struct{}           // closed to make pion let go
	ended       chan struct{}           // closed once pion has let go

	mu       sync.Mutex // guards what follows, and changes of routes
	expires  time.Time
	second   int64
	requests int // in that second
	closed   bool
	failing  bool
}

// route is a peer that the client may reach, through a channel or by indications.
type route struct {
	peer    udp.Addr
	told    netip.AddrPort // as the client named it
	channel uint16         // 0: none
	until   time.Time      // of the permission
	bound   time.Time      // of the channel
}

// paced says whether the client may make another request in this second.
func (s *session) paced(now time.Time, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if second := now.Unix(); second != s.second {
		s.second, s.requests = second, 0
	}
	s.requests++
	return s.requests <= limit
}

// extend notes for how long the allocation is good.
func (s *session) extend(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expires = until
}

func (s *session) expired(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !now.Before(s.expires)
}

// room says whether peers fit beside those that are there.
func (s *session) room(peers []netip.AddrPort) bool {
	routes := *s.routes.Load()
	fresh := 0
	for _, p := range peers {
		if !slices.ContainsFunc(routes, func(r route) bool { return r.told == p }) {
			fresh++
		}
	}
	return len(routes)+fresh <= maxRoutes
}

// permit lets the client and the peers reach each other, over the channel if it is not 0.
func (s *session) permit(peers []netip.AddrPort, channel uint16, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	routes := slices.Clone(*s.routes.Load())
	for _, p := range peers {
		i := slices.IndexFunc(routes, func(r route) bool { return r.told == p })
		if i < 0 {
			i = len(routes)
			routes = append(routes, route{peer: udp.AddrFrom(p), told: p})
		}
		routes[i].until = now.Add(permissionFor)
		if channel != 0 {
			routes[i].channel, routes[i].bound = channel, now.Add(channelFor)
		}
	}
	s.routes.Store(&routes)
}

// prune takes out what is over and whoever may not be reached any more.
func (s *session) prune(now time.Time, allows func(netip.AddrPort) bool) {
	stale := func(r route) bool {
		return r.channel != 0 && !now.Before(r.bound) || !now.Before(r.until) && r.channel == 0 || !allows(r.told)
	}
	if !slices.ContainsFunc(*s.routes.Load(), stale) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []route
	for _, r := range *s.routes.Load() {
		if r.channel != 0 && !now.Before(r.bound) {
			r.channel = 0
		}
		if !stale(r) {
			kept = append(kept, r)
		}
	}
	s.routes.Store(&kept)
}

func (s *session) byChannel(channel uint16) *route {
	routes := *s.routes.Load()
	for i := range routes {
		if routes[i].channel == channel {
			return &routes[i]
		}
	}
	return nil
}

func (s *session) byPeer(peer udp.Addr) *route {
	routes := *s.routes.Load()
	for i := range routes {
		if routes[i].peer == peer {
			return &routes[i]
		}
	}
	return nil
}

// channelData sends a client's ChannelData on to its peer. It reports false when there is none.
func (s *session) channelData(b []byte, out *udp.Batch) (sent int, ok bool) {
	if len(b) < channelHdr {
		return 0, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if channelHdr+n > len(b) || s.over.Load() {
		return 0, false
	}
	r := s.byChannel(binary.BigEndian.Uint16(b))
	if r == nil {
		return 0, false
	}
	return s.send(b[channelHdr:channelHdr+n], r, out), true
}

// indication does the same for a Send indication.
func (s *session) indication(m *message, out *udp.Batch) (sent int, ok bool) {
	if !m.hasData || len(m.peers) != 1 || m.badPeer || len(m.unknown) > 0 || s.over.Load() {
		return 0, false
	}
	routes := *s.routes.Load()
	i := slices.IndexFunc(routes, func(r route) bool { return r.told == m.peers[0] })
	if i < 0 {
		return 0, false
	}
	return s.send(m.data, &routes[i], out), true
}

func (s *session) send(payload []byte, r *route, out *udp.Batch) int {
	out.Use(s.relay)
	copy(out.Reserve(len(payload)), payload)
	out.Queue(len(payload), r.peer)
	return len(payload)
}

// deliver sends what came from a peer on to the client. It reports false for everybody who is no peer of this client.
func (s *session) deliver(from udp.Addr, payload []byte, out *batch) bool {
	r := s.byPeer(from)
	if r == nil || s.over.Load() {
		return false
	}
	if s.stream == nil {
		out.Use(s.door.conn)
		b := out.Reserve(len(payload) + indicationRoom)
		out.Queue(len(s.wrap(b[:0], r, payload)), s.client)
		return true
	}
	return s.stream.data(s, r, payload, out)
}

const indicationRoom = headerSize + attrHeader + 20 + attrHeader + 3 // what a Data indication adds at most

// wrap appends what carries the payload to the client: ChannelData, or a Data indication where no channel is bound.
func (s *session) wrap(b []byte, r *route, payload []byte) []byte {
	if r.channel != 0 {
		b = binary.BigEndian.AppendUint16(b, r.channel)
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
		return append(b, payload...)
	}
	w := newWriter(b, methodData, classIndication, randomTransaction())
	w.address(attrPeerAddress, r.told)
	w.attr(attrData, payload)
	return w.bytes()
}

// ReadFrom implements net.PacketConn for pion: it returns only when the allocation is to end.
func (s *session) ReadFrom([]byte) (int, net.Addr, error) {
	<-s.end
	return 0, nil, net.ErrClosed
}

// WriteTo implements net.PacketConn: pion has nothing to send.
func (s *session) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), nil }

// Close implements net.PacketConn: pion has let go of the allocation.
func (s *session) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if !first {
		return nil
	}
	s.over.Store(true)
	s.fail()
	s.door.forget(s)
	close(s.ended)
	return nil
}

// fail makes pion let go.
func (s *session) fail() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failing {
		s.failing = true
		close(s.end)
	}
}

// LocalAddr implements net.PacketConn.
func (s *session) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.relay.LocalAddr()) }

// SetDeadline implements net.PacketConn; there is nothing to wait for.
func (s *session) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.PacketConn.
func (s *session) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.PacketConn.
func (s *session) SetWriteDeadline(time.Time) error { return nil }
