package rtc

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/parley-sfu/parley/internal/udp"
)

// mux stands between the sockets and the ICE agents, over UDP and TCP alike. It implements ice.UDPMux; tcpMux is its other
// side.
//
// Requests find their agent by the user name fragment they carry, and are passed on only if they are signed with the agent's
// password; responses find it by the transaction that the agent began, and must come from where its request went. Addresses
// play no other part, so a client whose NAT reuses a port reaches its new agent, and a forged source address changes nothing for anybody.
//
// Whatever an agent is told or believes, nothing leaves for an address that has not sent a signed check, and little for one
// that has not answered.
type mux struct {
	local []net.Addr                      // stands for the socket, once a family
	send  func(b []byte, to source) error // one message
	heard func(a *checked, from source)   // a signed check has come
	proof func(a *checked, from source)   // a check that went there has been answered from there

	mu           sync.Mutex
	agents       map[string]*checked
	transactions map[transaction]pending
	swept        time.Time
}

// checked is what the mux knows of one agent between two ICE restarts.
type checked struct {
	ufrag    string
	password password

	// Guarded by the mux's mutex.
	conns   [2][2]*checkConn // by family and transport
	paths   paths
	relaxed bool      // checks are to be rare
	last    time.Time // when one was last sent
}

type pending struct {
	conn *checkConn
	to   source
	at   time.Time
}

// A response that has not come within this time is not waited for; agents repeat their checks far more often.
const transactionTTL = 10 * time.Second

func newMux(local []net.Addr, send func([]byte, source) error) *mux {
	return &mux{
		local: local, send: send, heard: func(*checked, source) {}, proof: func(*checked, source) {},
		agents: map[string]*checked{}, transactions: map[transaction]pending{},
	}
}

// GetConn returns the agent's side of the mux for one address family over UDP.
func (m *mux) GetConn(ufrag string, addr net.Addr) (net.PacketConn, error) {
	ua, ok := addr.(*net.UDPAddr)
	if !ok {
		return nil, net.InvalidAddrError("not a UDP address")
	}
	return m.conn(ufrag, ua.IP.To4() == nil, false, addr), nil
}

func (m *mux) conn(ufrag string, six, tcp bool, local net.Addr) *checkConn {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.agents[ufrag]
	if a == nil {
		a = &checked{ufrag: ufrag, paths: newPaths()}
		m.agents[ufrag] = a
	}
	c := &a.conns[index(six)][index(tcp)]
	if *c == nil {
		*c = &checkConn{mux: m, agent: a, tcp: tcp, local: local, queue: make(chan check, checkQueue), closed: make(chan struct{})}
	}
	return *c
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// RemoveConnByUfrag forgets an agent's side.
func (m *mux) RemoveConnByUfrag(ufrag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.agents, ufrag)
}

// GetListenAddresses returns one address for each family that the socket serves: agents need no more, since all share it.
func (m *mux) GetListenAddresses() []net.Addr { return m.local }

// Close leaves the sockets to their owner.
func (m *mux) Close() error { return nil }

func (m *mux) agent(ufrag string) *checked {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.agents[ufrag]
}

// admit lets an agent's remote in: who signs with this password.
func (m *mux) admit(ufrag, password string) {
	if a := m.agent(ufrag); a != nil {
		a.password.set(password)
	}
}

// dial has an agent send checks to an address that has sent none.
func (m *mux) dial(ufrag string, to source) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.agents[ufrag]; a != nil {
		a.paths.dial(to)
	}
}

// relax has an agent's checks go out no more often than every relaxedKeepalive.
func (m *mux) relax(ufrag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a := m.agents[ufrag]; a != nil {
		a.relaxed = true
	}
}

// proved reports whether an address has answered a check of an agent within the last while.
func (m *mux) proved(ufrag string, s source, while time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.agents[ufrag]
	return a != nil && a.paths.proved(s, time.Now().Add(-while))
}

// deliver copies a STUN message into the queue of the agent it is for, and drops it when there is none or it is behind. It
// reports whether the sender has shown that it belongs to a transport: by a signed request, or by answering one.
func (m *mux) deliver(b []byte, from source) (authentic bool) {
	msg, ok := parseSTUN(b)
	if !ok {
		return false
	}
	var c *checkConn
	if msg.request {
		c = m.signed(b, &msg, from)
	} else {
		c = m.awaited(&msg, from)
	}
	if c == nil {
		return false
	}
	select {
	case c.queue <- check{append([]byte(nil), b...), from.addr.AddrPort()}:
	default:
	}
	return true
}

// signed finds whom a request is for.
func (m *mux) signed(b []byte, msg *stunMessage, from source) *checkConn {
	a := m.agent(msg.ufrag)
	if a == nil || !a.password.signed(b, msg) {
		return nil
	}
	m.mu.Lock()
	c := a.conns[index(from.addr.Is6())][index(from.tcp)]
	ok := c != nil && a.paths.heard(from, time.Now())
	m.mu.Unlock()
	if !ok {
		return nil
	}
	m.heard(a, from)
	return c
}

// awaited finds whose request a response answers.
func (m *mux) awaited(msg *stunMessage, from source) *checkConn {
	m.mu.Lock()
	p, ok := m.transactions[msg.id]
	if !ok || p.to != from { // RFC 8445 section 7.2.5.2.1
		m.mu.Unlock()
		return nil
	}
	delete(m.transactions, msg.id)
	proof := msg.success && p.conn.agent.paths.answered(from, time.Now())
	m.mu.Unlock()
	if proof {
		m.proof(p.conn.agent, from)
	}
	return p.conn
}

// begin remembers that the agent behind c waits for a response. It returns false for a check that is not to be sent.
func (m *mux) begin(id transaction, c *checkConn, to source) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	a := c.agent
	if a.relaxed && now.Sub(a.last) < relaxedKeepalive || !a.paths.ask(to) {
		return false
	}
	a.last = now
	m.transactions[id] = pending{c, to, now}
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

// answer reports whether an agent may respond to an address.
func (m *mux) answer(a *checked, to source) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return a.paths.known(to)
}

// tcpMux is the mux as agents see it for TCP. It implements ice.TCPMux.
type tcpMux struct{ *mux }

// GetConnByUfrag returns the agent's side of the mux for one address family over TCP.
func (m tcpMux) GetConnByUfrag(ufrag string, six bool, local net.IP) (net.PacketConn, error) {
	return m.conn(ufrag, six, true, &net.TCPAddr{IP: local, Port: standInPort}), nil
}

// check is one STUN message on its way to an agent.
type check struct {
	b    []byte
	from netip.AddrPort
}

// checkConn is an agent's net.PacketConn; it also has the allocation-free calls that pion/ice looks for.
type checkConn struct {
	mux    *mux
	agent  *checked
	tcp    bool
	local  net.Addr
	queue  chan check
	once   sync.Once
	closed chan struct{}
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

// WriteToAddrPort sends one of the agent's messages, if it may go there.
func (c *checkConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	s := source{udp.AddrFrom(to), c.tcp}
	msg, ok := parseSTUN(b)
	switch {
	case !ok:
		return len(b), nil // an agent has nothing else to say
	case msg.request && !c.mux.begin(msg.id, c, s), !msg.request && !c.mux.answer(c.agent, s):
		return len(b), nil // lost, as on a network
	}
	if err := c.mux.send(b, s); err != nil {
		return 0, err
	}
	return len(b), nil
}

// ReadFrom implements net.PacketConn.
func (c *checkConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if c.tcp {
		return n, net.TCPAddrFromAddrPort(from), err
	}
	return n, net.UDPAddrFromAddrPort(from), err
}

// WriteTo implements net.PacketConn.
func (c *checkConn) WriteTo(b []byte, to net.Addr) (int, error) {
	var ap netip.AddrPort
	switch a := to.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	default:
		return 0, net.InvalidAddrError("neither a UDP nor a TCP address")
	}
	return c.WriteToAddrPort(b, netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()))
}

// Close ends reading; the sockets stay open.
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
