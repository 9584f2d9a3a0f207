package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

const (
	dialLimit = 5 * time.Second // to connect to a relay, and to agree on TLS with it

	// silenceLimit is how long a relay is asked over UDP before it counts as out of reach. Pion itself asks for ten seconds, and
	// cannot be closed before it has given up.
	silenceLimit = 2 * time.Second
)

// relayNet is where sockets for media are opened. It knows those that lead to relays over UDP.
type relayNet struct {
	transport.Net

	mu      sync.Mutex // protects following
	ended   bool
	sockets []*relaySocket
}

func newRelayNet(inner transport.Net) (*relayNet, error) {
	if inner == nil {
		own, err := stdnet.NewNet()
		if err != nil {
			return nil, fmt.Errorf("network: %w", err)
		}
		inner = own
	}
	return &relayNet{Net: inner}, nil
}

// ListenPacket implements transport.Net. Pion opens sockets to relays with it, and no others.
func (n *relayNet) ListenPacket(network, address string) (net.PacketConn, error) {
	conn, err := n.Net.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	s := &relaySocket{PacketConn: conn, net: n}
	n.sockets = append(n.sockets, s)
	return s, nil
}

// end closes the sockets to relays that have never answered. The others have something to give back first.
func (n *relayNet) end() {
	n.mu.Lock()
	n.ended = true
	sockets := n.sockets
	n.sockets = nil
	n.mu.Unlock()
	for _, s := range sockets {
		if !s.heard.Load() {
			_ = s.Close()
		}
	}
}

func (n *relayNet) forget(s *relaySocket) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sockets = slices.DeleteFunc(slices.Clone(n.sockets), func(o *relaySocket) bool { return o == s })
}

// relaySocket leads to a relay over UDP.
type relaySocket struct {
	net.PacketConn

	net   *relayNet
	heard atomic.Bool  // the relay has answered
	since atomic.Int64 // Unix nanoseconds of the first packet to it
}

// Close implements net.PacketConn.
func (s *relaySocket) Close() error {
	s.net.forget(s)
	return s.PacketConn.Close()
}

// ReadFrom implements net.PacketConn.
func (s *relaySocket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.PacketConn.ReadFrom(b)
	if err == nil && !s.heard.Load() {
		s.heard.Store(true)
	}
	return n, from, err
}

// WriteTo implements net.PacketConn. It fails when the relay has been silent for too long.
func (s *relaySocket) WriteTo(b []byte, to net.Addr) (int, error) {
	if !s.heard.Load() {
		now := time.Now().UnixNano()
		if !s.since.CompareAndSwap(0, now) && now-s.since.Load() > int64(silenceLimit) {
			return 0, fmt.Errorf("relay %s does not answer", to)
		}
	}
	return s.PacketConn.WriteTo(b, to)
}

// dialer opens TCP connections where media sockets belong.
type dialer struct{ net transport.Net } // nil: this machine's own

// dial connects from an address, or from any if it is not valid. It gives up when ctx ends.
func (d dialer) dial(ctx context.Context, network string, from netip.Addr, address string) (net.Conn, error) {
	how := &net.Dialer{Timeout: dialLimit}
	if from.IsValid() {
		how.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	if d.net == nil {
		return how.DialContext(ctx, network, address)
	}
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() { // a dialer of a Net knows no context; its time limit ends it
		conn, err := d.net.CreateDialer(how).Dial(network, address)
		if err == nil && ctx.Err() != nil {
			conn.Close()
		}
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		return r.conn, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// relayDialer is how pion connects to TURN servers over TCP and TLS: it would dial past the Net, and knows no
// certificates but the system's. It implements proxy.Dialer, whose Dial is to do the handshake as well.
type relayDialer struct {
	ctx   context.Context //nolint:containedctx // of all that is dialled; Dial has none
	plain dialer
	trust *tls.Config

	mu     sync.Mutex // protects following
	secure map[string]bool
}

func newRelayDialer(ctx context.Context, opts Options, servers []ICEServer) *relayDialer {
	d := &relayDialer{ctx: ctx, plain: dialer{opts.Net}, trust: opts.TLS, secure: map[string]bool{}}
	d.know(servers)
	return d
}

// know learns which addresses, host and port, are spoken to over TLS.
func (d *relayDialer) know(servers []ICEServer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range servers {
		for _, text := range s.URLs {
			if url, err := stun.ParseURI(text); err == nil && relays(url) && url.Proto == stun.ProtoTypeTCP {
				d.secure[net.JoinHostPort(url.Host, strconv.Itoa(url.Port))] = url.Scheme == stun.SchemeTypeTURNS
			}
		}
	}
}

func (d *relayDialer) isSecure(address string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.secure[address]
}

// Dial implements proxy.Dialer.
func (d *relayDialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, dialLimit)
	defer cancel()
	plain, err := d.plain.dial(ctx, network, netip.Addr{}, address)
	if err != nil || !d.isSecure(address) {
		return plain, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.trust != nil {
		config = d.trust.Clone()
	}
	config.NextProtos = nil // those of HTTP mean nothing here
	if host, _, err := net.SplitHostPort(address); err == nil && config.ServerName == "" {
		config.ServerName = host
	}
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("turn over TLS to %s: %w", address, err), plain.Close())
	}
	return conn, nil
}
