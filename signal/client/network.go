package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/transport/v4"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/signal/wire"
)

const (
	doubtTime = 1500 * time.Millisecond // for the pong of a socket on a network that may be dead
	awayLimit = 5 * time.Second         // after which a client tries although it sees no way to the server
)

// network is what the client knows of the way to its server. It is safe for concurrent use.
type network struct {
	over transport.Net // nil: this machine's own

	mu      sync.Mutex // protects following
	server  netip.AddrPort
	from    netip.Addr // of this machine, towards the server when it was reached
	away    bool
	changed chan struct{} // closed when there is another way to the server, or one again
}

func newNetwork(over transport.Net) *network {
	return &network{over: over, changed: make(chan struct{})}
}

// reached notes that the server was reached, and which way leads there. It asks as look does: the socket itself may be bound to
// an address, or go through a proxy.
func (n *network) reached(server netip.AddrPort) {
	from := n.route(server)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server, n.from, n.away = server, from, false
}

// next is closed by the next change.
func (n *network) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

// note takes what a look has shown.
func (n *network) note(away, changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.away = away
	if changed {
		close(n.changed)
		n.changed = make(chan struct{})
	}
}

// await waits while there is no way to the server, but not for ever: what is seen may be wrong.
func (n *network) await(ctx context.Context) {
	n.mu.Lock()
	away, changed := n.away, n.changed
	n.mu.Unlock()
	if !away {
		return
	}
	timer := time.NewTimer(awayLimit)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// until returns a context that ends with ctx, when the network changes, or when cancel is called, which must be.
func (n *network) until(ctx context.Context) (own context.Context, cancel context.CancelFunc) {
	own, cancel = context.WithCancel(ctx)
	changed := n.next()
	go func() {
		select {
		case <-changed:
			cancel()
		case <-own.Done():
		}
	}()
	return own, cancel
}

// look sees which way the server is reached now.
func (n *network) look() view {
	n.mu.Lock()
	v := view{server: n.server, from: n.from}
	n.mu.Unlock()
	v.route = n.route(v.server)
	return v
}

// route asks the kernel from which address the server would be reached; there may be none. No packet is sent for that.
func (n *network) route(server netip.AddrPort) netip.Addr {
	if !server.IsValid() {
		return netip.Addr{}
	}
	var conn net.Conn
	var err error
	if n.over != nil {
		conn, err = n.over.Dial("udp", server.String())
	} else {
		conn, err = (&net.Dialer{}).DialContext(context.Background(), "udp", server.String())
	}
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close() // nothing was sent
	return addrOf(conn.LocalAddr()).Addr()
}

func addrOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.UDPAddr:
		return unmapped(a.AddrPort())
	case *net.TCPAddr:
		return unmapped(a.AddrPort())
	default:
		return netip.AddrPort{}
	}
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// watchNetwork notices that the machine has changed networks, or that what was connected is connected no more, long before
// the timeouts of TCP and ICE would.
func (c *Client) watchNetwork(ctx context.Context) {
	var l lookout
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		v := c.network.look()
		m := c.currentMedia()
		if m != nil {
			v.path, v.flows = m.received()
		}
		n := l.look(v, time.Now())
		c.network.note(l.away, n.rerouted || n.returned)
		c.act(n, m)
		wait := lookEvery
		if l.uneasy() || c.State() == StateReconnecting || m != nil && m.current() == MediaDisconnected {
			wait = lookOften
		}
		timer.Reset(wait)
	}
}

// act does something about the news.
func (c *Client) act(n news, m *media) {
	if n == (news{}) {
		return
	}
	c.log.Debug("the network has news", "rerouted", n.rerouted, "returned", n.returned, "doubtful", n.doubtful, "broken", n.broken)
	if n.rerouted || n.returned {
		c.forgetConnections()
	}
	sock, err := c.liveSocket()
	switch {
	case err != nil:
	case n.rerouted:
		c.dropSocket(sock) // nothing more is asked there
		sock.abort()
	case n.returned || n.doubtful:
		c.background(func(ctx context.Context) { sock.probe(ctx, doubtTime) })
	}
	if m != nil && (n.rerouted || n.broken) {
		m.enter(MediaDisconnected) // long before ICE says so: keepMedia restarts it
	}
}

// forgetConnections closes what HTTP has kept open: it is dead, and an upgrade that was written to it would wait for long.
func (c *Client) forgetConnections() {
	httpClient := c.opts.HTTPClient
	if httpClient == nil {
		httpClient = http.DefaultClient
	}
	httpClient.CloseIdleConnections()
}

// received counts what has come over the media path, and says whether there is one.
func (m *media) received() (count uint64, flows bool) {
	if m.current() != MediaConnected {
		return 0, false
	}
	pair, ok := m.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	return uint64(pair.PacketsReceived) + pair.ResponsesReceived, ok
}

// renewServers takes STUN and TURN servers with fresh credentials, for the next path that media need.
func (c *Client) renewServers(raw []byte) error {
	var fresh wire.ICEServers
	if err := json.Unmarshal(raw, &fresh); err != nil {
		return fmt.Errorf("decode %s: %w", wire.TypeICEServers, err)
	}
	servers := make([]ICEServer, 0, len(fresh.ICEServers))
	for _, s := range fresh.ICEServers {
		servers = append(servers, ICEServer(s))
	}
	c.mu.Lock()
	c.servers = servers
	m := c.media
	c.mu.Unlock()
	if m != nil {
		m.servers.Store(&servers)
	}
	return nil
}

// renew has the ICE restart that follows gather through the newest servers. Pion must not gather while they change.
func (m *media) renew() error {
	servers := m.servers.Load()
	if servers == nil || m.pc.ICEGatheringState() != webrtc.ICEGatheringStateComplete {
		return nil
	}
	m.sockets.relays.know(*servers)
	configuration := m.pc.GetConfiguration()
	configuration.ICEServers = Ticket{ICEServers: *servers}.iceServers(m.opts.Transport)
	if err := m.pc.SetConfiguration(configuration); err != nil {
		return fmt.Errorf("use new ICE servers: %w", err)
	}
	m.servers.CompareAndSwap(servers, nil)
	return nil
}
