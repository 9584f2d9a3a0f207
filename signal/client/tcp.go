package client

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/transport/v4/packetio"
)

const (
	tcpQueue    = 1 << 20 // bytes that wait for a slow connection at most; more are lost
	tcpArrivals = 64      // packets read ahead of pion
	maxFrame    = 8 << 10 // bytes of the longest packet
)

// tcpMux opens the client's sockets for ICE-TCP. Pion takes one for each of the client's addresses and uses it as it would
// use a UDP socket. It implements ice.TCPMux, for a client that calls and is never called.
type tcpMux struct {
	dialer dialer

	mu      sync.Mutex              // protects following
	ctx     context.Context         //nolint:containedctx // of all connections; they outlive the call that makes them
	sockets map[string][]*tcpSocket // by ufrag
	remotes map[netip.AddrPort]bool // that may be called
}

func newTCPMux(ctx context.Context, d dialer) *tcpMux {
	return &tcpMux{ctx: ctx, dialer: d, sockets: map[string][]*tcpSocket{}, remotes: map[netip.AddrPort]bool{}}
}

// permit lets sockets call the server at an address.
func (m *tcpMux) permit(remote netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remotes[remote] = true
}

func (m *tcpMux) permits(remote netip.AddrPort) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.remotes[remote]
}

// GetConnByUfrag implements ice.TCPMux.
func (m *tcpMux) GetConnByUfrag(ufrag string, _ bool, local net.IP) (net.PacketConn, error) {
	address, ok := netip.AddrFromSlice(local)
	if !ok {
		return nil, &net.AddrError{Err: "not an address", Addr: local.String()}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	ctx, cancel := context.WithCancel(m.ctx)
	s := &tcpSocket{
		mux: m, local: address.Unmap(), ctx: ctx, cancel: cancel,
		calls: map[netip.AddrPort]*packetio.Buffer{}, arrivals: make(chan arrivedPacket, tcpArrivals),
	}
	m.sockets[ufrag] = append(m.sockets[ufrag], s)
	return s, nil
}

// RemoveConnByUfrag implements ice.TCPMux.
func (m *tcpMux) RemoveConnByUfrag(ufrag string) {
	m.mu.Lock()
	sockets := m.sockets[ufrag]
	delete(m.sockets, ufrag)
	m.mu.Unlock()
	for _, s := range sockets {
		_ = s.Close()
	}
}

// Close implements ice.TCPMux. The context that the mux was made with closes its sockets.
func (m *tcpMux) Close() error { return nil }

// tcpSocket is one address of the client. It connects to a server when it is first given something for it. Packets are framed
// with their length (RFC 4571). It implements net.PacketConn.
type tcpSocket struct {
	mux    *tcpMux
	local  netip.Addr
	ctx    context.Context //nolint:containedctx // ends with the socket
	cancel context.CancelFunc

	arrivals chan arrivedPacket

	mu    sync.Mutex                          // protects following
	calls map[netip.AddrPort]*packetio.Buffer // what waits to be sent
}

type arrivedPacket struct {
	from *net.TCPAddr
	data []byte
}

// WriteTo implements net.PacketConn. It never blocks: what a connection has no room for is lost.
func (s *tcpSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	if s.ctx.Err() != nil {
		return 0, io.ErrClosedPipe
	}
	address, ok := to.(*net.TCPAddr)
	if !ok {
		return 0, &net.AddrError{Err: "not a TCP address", Addr: to.String()}
	}
	queue := s.call(address)
	if queue == nil {
		return len(b), nil
	}
	if _, err := queue.Write(b); err != nil && s.ctx.Err() != nil {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}

// call returns what leads to the remote, and nil where nothing does. A connection that broke is not made again: ICE finds
// out, and restarts with other sockets.
func (s *tcpSocket) call(to *net.TCPAddr) *packetio.Buffer {
	remote := to.AddrPort()
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	s.mu.Lock()
	defer s.mu.Unlock()
	if queue, known := s.calls[remote]; known {
		return queue
	}
	if !s.mux.permits(remote) || remote.Addr().Is4() != s.local.Is4() || s.local.IsLoopback() != remote.Addr().IsLoopback() {
		return nil
	}
	queue := packetio.NewBuffer()
	queue.SetLimitSize(tcpQueue)
	s.calls[remote] = queue
	go s.carry(remote, queue)
	return queue
}

// carry is the life of a connection.
func (s *tcpSocket) carry(remote netip.AddrPort, queue *packetio.Buffer) {
	defer func() { _ = queue.Close() }()
	conn, err := s.mux.dialer.dial(s.ctx, "tcp", s.local, remote.String())
	if err != nil {
		return
	}
	stop := context.AfterFunc(s.ctx, func() {
		_ = conn.Close()
		_ = queue.Close()
	})
	defer stop()
	defer conn.Close()
	go func() {
		defer func() { _ = queue.Close() }() // which ends send
		s.receive(conn, net.TCPAddrFromAddrPort(remote))
	}()
	send(conn, queue)
}

func send(conn net.Conn, queue *packetio.Buffer) {
	frame := make([]byte, 2+maxFrame)
	for {
		n, err := queue.Read(frame[2:])
		if err != nil {
			return
		}
		binary.BigEndian.PutUint16(frame, uint16(n))
		if _, err := conn.Write(frame[:2+n]); err != nil {
			return
		}
	}
}

// receive reads frames until the connection ends. One that is longer than any packet ends it.
func (s *tcpSocket) receive(conn net.Conn, from *net.TCPAddr) {
	in := bufio.NewReader(conn)
	var size [2]byte
	for {
		if _, err := io.ReadFull(in, size[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint16(size[:])
		if n > maxFrame {
			return
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(in, data); err != nil {
			return
		}
		select {
		case s.arrivals <- arrivedPacket{from, data}:
		case <-s.ctx.Done():
			return
		}
	}
}

// ReadFrom implements net.PacketConn.
func (s *tcpSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-s.arrivals:
		return copy(b, p.data), p.from, nil
	case <-s.ctx.Done():
		return 0, nil, net.ErrClosed
	}
}

// Close implements net.PacketConn.
func (s *tcpSocket) Close() error {
	s.cancel()
	return nil
}

// LocalAddr implements net.PacketConn. The port is the one of an active candidate (RFC 6544, section 4.5).
func (s *tcpSocket) LocalAddr() net.Addr { return &net.TCPAddr{IP: s.local.AsSlice(), Port: 9} }

// SetDeadline implements net.PacketConn. Pion sets one only to free a read right before it closes the socket, which does.
func (s *tcpSocket) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.PacketConn, as SetDeadline does.
func (s *tcpSocket) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.PacketConn. Writes do not block.
func (s *tcpSocket) SetWriteDeadline(time.Time) error { return nil }
