package path

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/pion/transport/v4"
	"golang.org/x/sys/unix"
)

const (
	sinkBuffer   = 1 << 20 // bytes of kernel memory that packets wait in
	maxRun       = 1 << 16 // bytes of datagrams that the kernel hands over in one piece
	readAtOnce   = 64
	queuedChecks = 64 // datagrams of ICE and DTLS that wait for pion
)

// A sink is the socket of one viewer. It is read by a [sweeper] and by nobody else, and nobody waits for it: a waiting reader,
// or Go's epoll, would be woken by the sender, in the sender's own CPU time. Media are counted and dropped; what belongs to ICE
// and DTLS is handed to pion through ReadFrom.
type sink struct {
	transport.UDPConn // nil: what is not implemented below is not used

	fd     int
	local  *net.UDPAddr
	checks chan datagram
	media  atomic.Uint64 // packets of RTP that were read

	once   sync.Once
	closed chan struct{}
	mu     sync.RWMutex // held for reading while fd is used
	done   bool
}

type datagram struct {
	body []byte
	from *net.UDPAddr
}

// newSink opens a socket on loopback.
func newSink() (*sink, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, sinkBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, sinkBuffer) // what the system allows
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) // where the kernel has it: runs come in one piece, as they were sent
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), unix.Close(fd))
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("getsockname", err), unix.Close(fd))
	}
	at, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return nil, errors.Join(errors.New("getsockname: not IPv4"), unix.Close(fd))
	}
	return &sink{
		fd: fd, local: &net.UDPAddr{IP: at.Addr[:], Port: at.Port},
		checks: make(chan datagram, queuedChecks), closed: make(chan struct{}),
	}, nil
}

func (s *sink) address() netip.AddrPort { return s.local.AddrPort() }

// LocalAddr implements transport.UDPConn.
func (s *sink) LocalAddr() net.Addr { return s.local }

// SetDeadline implements transport.UDPConn. Only Close ends a read.
func (s *sink) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements transport.UDPConn, as SetDeadline does.
func (s *sink) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements transport.UDPConn: no write waits.
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// ReadFrom implements transport.UDPConn.
func (s *sink) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-s.checks:
		return copy(b, d.body), d.from, nil
	case <-s.closed:
		return 0, nil, net.ErrClosed
	}
}

// WriteTo implements transport.UDPConn.
func (s *sink) WriteTo(b []byte, to net.Addr) (int, error) {
	at, ok := to.(*net.UDPAddr)
	if !ok || at.IP.To4() == nil {
		return 0, &net.AddrError{Err: "not an IPv4 address", Addr: to.String()}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.done {
		return 0, net.ErrClosed
	}
	if err := unix.Sendto(s.fd, b, 0, &unix.SockaddrInet4{Port: at.Port, Addr: [4]byte(at.IP.To4())}); err != nil {
		return 0, os.NewSyscallError("sendto", err)
	}
	return len(b), nil
}

// Close implements transport.UDPConn.
func (s *sink) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closed)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.done = true
		err = unix.Close(s.fd)
	})
	return err
}

// drops is how many datagrams found the socket's memory full.
func (s *sink) drops() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.done {
		return 0
	}
	const skMeminfoDrops = 8
	var info [skMeminfoDrops + 1]uint32
	length := uint32(unsafe.Sizeof(info))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&length)), 0); errno != 0 {
		return 0
	}
	return uint64(info[skMeminfoDrops])
}

// A scoop reads many datagrams with one call of the kernel. It belongs to one goroutine.
type scoop struct {
	messages [readAtOnce]message
	vectors  [readAtOnce]unix.Iovec
	names    [readAtOnce]unix.RawSockaddrInet4
	controls [readAtOnce][controlSize]byte
	memory   [readAtOnce][maxRun]byte
}

const controlSize = 64 // bytes; one UDP_GRO takes 24

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

func newScoop() *scoop {
	c := &scoop{}
	for i := range c.messages {
		c.vectors[i].Base = &c.memory[i][0]
		c.vectors[i].SetLen(maxRun)
		h := &c.messages[i].header
		h.Name, h.Iov = (*byte)(unsafe.Pointer(&c.names[i])), &c.vectors[i]
		h.SetIovlen(1)
	}
	return c
}

// empty reads all that a sink holds and returns how many packets of media that was.
func (c *scoop) empty(s *sink) (media int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for !s.done {
		for i := range c.messages {
			h := &c.messages[i].header
			h.Namelen, h.Control = unix.SizeofSockaddrInet4, &c.controls[i][0]
			h.SetControllen(controlSize)
		}
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&c.messages)), readAtOnce,
			unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			break
		}
		for i := range n {
			body := c.memory[i][:c.messages[i].length]
			switch classify(body) {
			case isMedia:
				media += c.datagrams(int(i))
			case isCheck:
				s.pass(body, &c.names[i])
			case isReport:
			}
		}
		if n < readAtOnce {
			break
		}
	}
	s.media.Add(uint64(media))
	return media
}

// datagrams is how many a message holds: several where the sender had the kernel cut up a run.
func (c *scoop) datagrams(i int) int {
	m := &c.messages[i]
	const size = unix.SizeofCmsghdr + 4
	if m.header.Controllen < size {
		return 1
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c.controls[i]))
	if h.Level != unix.IPPROTO_UDP || h.Type != unix.UDP_GRO {
		return 1
	}
	each := binary.NativeEndian.Uint32(c.controls[i][unix.CmsgLen(0):])
	if each == 0 {
		return 1
	}
	return int((m.length + each - 1) / each)
}

// pass hands a datagram to pion, or drops it when pion is behind.
func (s *sink) pass(body []byte, name *unix.RawSockaddrInet4) {
	port := (*[2]byte)(unsafe.Pointer(&name.Port))
	from := &net.UDPAddr{IP: append(net.IP(nil), name.Addr[:]...), Port: int(port[0])<<8 | int(port[1])}
	select {
	case s.checks <- datagram{append([]byte(nil), body...), from}:
	default:
	}
}
