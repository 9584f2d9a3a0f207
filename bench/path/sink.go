package path

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/transport/v4"

	"github.com/parley-sfu/parley/internal/udp"
)

const (
	sinkBuffer   = 1 << 20 // bytes of kernel memory that packets wait in
	queuedChecks = 64      // datagrams of ICE and DTLS that wait for pion
)

// A sink is the socket of one viewer. It is read by a [sweeper] and by nobody else, and nobody waits for it: a waiting reader,
// or Go's epoll, would be woken by the sender, in the sender's own CPU time. Media are counted and dropped; what belongs to ICE
// and DTLS is handed to pion through ReadFrom.
type sink struct {
	transport.UDPConn // nil: pion uses a socket as a net.PacketConn, all of which stands below

	conn   *udp.Conn
	sweep  *udp.Sweep[*sink] // that reads it
	checks chan datagram
	media  atomic.Uint64 // packets of RTP that were read
	closed chan struct{}
	over   atomic.Bool // closed is
}

type datagram struct {
	body []byte
	from *net.UDPAddr
}

// newSink opens a socket on loopback, which the sweep reads until Close.
func newSink(sweep *udp.Sweep[*sink]) (*sink, error) {
	local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	conn, err := udp.Listen(udp.Config{Listen: local, ReceiveBuffer: sinkBuffer})
	if err != nil {
		return nil, err
	}
	s := &sink{conn: conn, sweep: sweep, checks: make(chan datagram, queuedChecks), closed: make(chan struct{})}
	if err := sweep.Add(conn, s); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

func (s *sink) address() netip.AddrPort { return s.conn.LocalAddr() }

// LocalAddr implements net.PacketConn.
func (s *sink) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.address()) }

// SetDeadline implements net.PacketConn. Only Close ends a read.
func (s *sink) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.PacketConn, as SetDeadline does.
func (s *sink) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.PacketConn: no write waits.
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// ReadFrom implements net.PacketConn.
func (s *sink) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-s.checks:
		return copy(b, d.body), d.from, nil
	case <-s.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements net.PacketConn.
func (s *sink) WriteTo(b []byte, to net.Addr) (int, error) {
	at, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, &net.AddrError{Err: "not a UDP address", Addr: to.String()}
	}
	return s.conn.WriteTo(b, udp.AddrFrom(at.AddrPort()))
}

// Close implements net.PacketConn.
func (s *sink) Close() error {
	if s.over.Swap(true) {
		return nil
	}
	close(s.closed)
	s.sweep.Remove(s.conn)
	return s.conn.Close()
}

// drops is how many datagrams found the socket's memory full.
func (s *sink) drops() uint64 { return s.conn.Stats().ReceiveDrops }

// receive takes what has come, and returns how many packets of media that was.
func (s *sink) receive(ps []udp.Piece) (media uint64) {
	for i := range ps {
		from := ps[i].From
		ps[i].Datagrams(func(b []byte) {
			switch classify(b) {
			case isMedia:
				media++
			case isCheck:
				s.pass(b, from)
			case isReport:
			}
		})
	}
	s.media.Add(media)
	return media
}

// pass hands a datagram to pion, or drops it when pion is behind.
func (s *sink) pass(b []byte, from udp.Addr) {
	select {
	case s.checks <- datagram{append([]byte(nil), b...), net.UDPAddrFromAddrPort(from.AddrPort())}:
	default:
	}
}
