package rtc

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/udp"
)

// mux hands STUN messages to the ICE agent they are for. It implements ice.UDPMux.
//
// Requests find their agent by the user name fragment they carry; responses by the transaction that the agent began.
// Addresses play no part, so a client whose NAT reuses a port reaches its new agent, and a forged source address changes
// nothing for anybody.
type mux struct {
	conn  *udp.Conn
	local []net.Addr
	wrote func(c *checkConn, to netip.AddrPort) // after an agent answered a check, which it does only for authenticated ones

	mu           sync.Mutex
	conns        map[connKey]*checkConn
	transactions map[transaction]pending
	swept        time.Time
}

type connKey struct {
	ufrag string
	six   bool
}

type transaction [12]byte

type pending struct {
	conn *checkConn
	at   time.Time
}

// A response that has not come within this time is not waited for; agents repeat their checks far more often.
const transactionTTL = 10 * time.Second

func newMux(conn *udp.Conn, local []net.Addr, wrote func(*checkConn, netip.AddrPort)) *mux {
	return &mux{conn: conn, local: local, wrote: wrote, conns: map[connKey]*checkConn{}, transactions: map[transaction]pending{}}
}

// GetConn returns the agent's side of the mux for one address family.
func (m *mux) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	ua, ok := addr.(*net.UDPAddr)
	if !ok {
		return nil, net.InvalidAddrError("not a UDP address")
	}
	key := connKey{ufrag, ua.IP.To4() == nil}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.conns[key]; ok {
		return c, nil
	}
	c := &checkConn{mux: m, key: key, local: addr, queue: make(chan check, checkQueue), closed: make(chan struct{})}
	m.conns[key] = c
	return c, nil
}

// RemoveConnByUfrag forgets an agent's side.
func (m *mux) RemoveConnByUfrag(ufrag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, connKey{ufrag, false})
	delete(m.conns, connKey{ufrag, true})
}

// relax has an agent's checks go out no more often than every relaxedKeepalive.
func (m *mux) relax(ufrag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, six := range []bool{false, true} {
		if c := m.conns[connKey{ufrag, six}]; c != nil {
			c.relaxed = true
		}
	}
}

// GetListenAddresses returns one address for each family that the socket serves: agents need no more, since all share it.
func (m *mux) GetListenAddresses() []net.Addr { return m.local }

// Close leaves the socket to its owner.
func (m *mux) Close() error { return nil }

// deliver copies a STUN message into the queue of the agent it is for, and drops it when there is none or it is behind.
func (m *mux) deliver(b []byte, from netip.AddrPort) {
	c := m.find(b, from.Addr().Is6())
	if c == nil {
		return
	}
	select {
	case c.queue <- check{append([]byte(nil), b...), from}:
	default:
	}
}

func (m *mux) find(b []byte, six bool) *checkConn {
	msg, ok := parseSTUN(b)
	if !ok {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if msg.request {
		return m.conns[connKey{msg.ufrag, six}]
	}
	p, ok := m.transactions[msg.id]
	if !ok {
		return nil
	}
	delete(m.transactions, msg.id)
	return p.conn
}

// begin remembers that the agent behind c waits for a response. It returns false for a check that is not to be sent.
func (m *mux) begin(id transaction, c *checkConn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if c.relaxed && now.Sub(c.checked) < relaxedKeepalive {
		return false
	}
	c.checked = now
	m.transactions[id] = pending{c, now}
	if now.Sub(m.swept) < transactionTTL {
		return true
	}
	m.swept = now
	for id, p := range m.transactions {
		if now.Sub(p.at) > transactionTTL {
			delete(m.transactions, id)
		}
	}
	return true
}

// stunMessage is the little of a STUN message (RFC 8489) that finding its agent takes.
type stunMessage struct {
	request bool // a request or an indication; otherwise a response
	id      transaction
	ufrag   string // of the receiver: the part of USERNAME before the colon
}

const (
	stunHeader    = 20
	stunCookie    = 0x2112A442
	stunClassMask = 0x0110
	stunRequest   = 0x0000
	stunUsername  = 0x0006
	maxUfrag      = 256 // RFC 8839
)

// parseSTUN reads a message's header and user name; ok is false for anything that is not STUN.
func parseSTUN(b []byte) (m stunMessage, ok bool) {
	if len(b) < stunHeader || b[0] > 3 || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return m, false
	}
	class := binary.BigEndian.Uint16(b) & stunClassMask
	m.request = class == stunRequest
	copy(m.id[:], b[8:stunHeader])
	end := stunHeader + int(binary.BigEndian.Uint16(b[2:]))
	if end > len(b) {
		return m, false
	}
	for attrs := b[stunHeader:end]; len(attrs) >= 4; {
		size := int(binary.BigEndian.Uint16(attrs[2:]))
		if size > len(attrs)-4 {
			return m, false
		}
		if binary.BigEndian.Uint16(attrs) == stunUsername {
			m.ufrag = localFragment(attrs[4 : 4+size])
			return m, true
		}
		attrs = attrs[min(len(attrs), 4+(size+3)&^3):]
	}
	return m, true
}

func localFragment(username []byte) string {
	for i, c := range username {
		if c == ':' {
			return string(username[:min(i, maxUfrag)])
		}
	}
	return ""
}

// check is one STUN message on its way to an agent.
type check struct {
	b    []byte
	from netip.AddrPort
}

// checkConn is an agent's net.PacketConn; it also has the allocation-free calls that pion/ice looks for.
type checkConn struct {
	mux    *mux
	key    connKey
	local  net.Addr
	queue  chan check
	once   sync.Once
	closed chan struct{}

	// Guarded by the mux's mutex.
	relaxed bool      // checks are to be rare
	checked time.Time // when one was last sent
}

// ReadFromAddrPort blocks until a message comes or the conn is closed.
func (c *checkConn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case p := <-c.queue:
		return copy(b, p.b), p.from, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

// WriteToAddrPort sends one of the agent's messages.
func (c *checkConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if msg, ok := parseSTUN(b); ok && msg.request {
		if !c.mux.begin(msg.id, c) {
			return len(b), nil
		}
	} else if ok {
		c.mux.wrote(c, to)
	}
	return c.mux.conn.WriteTo(b, udp.AddrFrom(to))
}

// ReadFrom implements net.PacketConn.
func (c *checkConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	return n, net.UDPAddrFromAddrPort(from), err
}

// WriteTo implements net.PacketConn.
func (c *checkConn) WriteTo(b []byte, to net.Addr) (int, error) {
	ua, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("not a UDP address")
	}
	ap := ua.AddrPort()
	return c.WriteToAddrPort(b, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
}

// Close ends reading; the socket stays open.
func (c *checkConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

// LocalAddr implements net.PacketConn.
func (c *checkConn) LocalAddr() net.Addr { return c.local }

// SetDeadline does nothing: the agent closes a conn that it no longer wants to read.
func (c *checkConn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *checkConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: writes do not block.
func (c *checkConn) SetWriteDeadline(time.Time) error { return nil }
