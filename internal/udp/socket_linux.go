package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a descriptor in blocking mode that no call ever blocks on: each carries MSG_DONTWAIT.
type socket struct {
	fd      int
	v4      bool        // AF_INET: names are sockaddr_in, not sockaddr_in6
	segment atomic.Bool // the kernel takes UDP_SEGMENT
	stamps  bool        // the kernel says when datagrams came
	gather  time.Duration
	aside   *socket       // of what can wait; nil: nothing is told apart. Set before anybody reads
	patient time.Duration // how long that may wait
	gate    gate
	dropped atomic.Uint64 // what receiveDrops said last before closing
	reading reading

	mu     sync.Mutex // held while the waiter is made, and while it is closed
	waiter atomic.Pointer[waiter]
}

func openSocket(cfg Config) (*socket, netip.AddrPort, error) {
	at := AddrFrom(cfg.Listen)
	s, local, err := bindSocket(cfg, at)
	if errors.Is(err, unix.EAFNOSUPPORT) && cfg.Listen.Addr() == netip.IPv6Unspecified() {
		anyV4 := netip.AddrPortFrom(netip.IPv4Unspecified(), cfg.Listen.Port())
		return bindSocket(cfg, AddrFrom(anyV4))
	}
	return s, local, err
}

func bindSocket(cfg Config, at Addr) (*socket, netip.AddrPort, error) {
	if !at.IsValid() {
		return nil, netip.AddrPort{}, errors.New("no such zone")
	}
	family := unix.AF_INET6
	if at.kind == ipv4 {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, netip.AddrPort{}, os.NewSyscallError("socket", err)
	}
	s := &socket{fd: fd, v4: at.kind == ipv4, gather: cfg.Gather, patient: cfg.Aside.Wait, gate: gate{empty: make(chan struct{})}, reading: reading{base: time.Now()}}
	local, err := s.bind(cfg, at)
	if err != nil {
		return nil, netip.AddrPort{}, errors.Join(err, unix.Close(fd))
	}
	return s, local, nil
}

func (s *socket) bind(cfg Config, at Addr) (netip.AddrPort, error) {
	if err := s.configure(cfg); err != nil {
		return netip.AddrPort{}, err
	}
	var name unix.RawSockaddrInet6
	size := s.name(&name, at)
	if _, _, errno := unix.Syscall(unix.SYS_BIND, uintptr(s.fd), uintptr(unsafe.Pointer(&name)), uintptr(size)); errno != 0 {
		return netip.AddrPort{}, os.NewSyscallError("bind", errno)
	}
	length := uint32(unix.SizeofSockaddrInet6)
	if _, _, errno := unix.Syscall(unix.SYS_GETSOCKNAME, uintptr(s.fd), uintptr(unsafe.Pointer(&name)),
		uintptr(unsafe.Pointer(&length))); errno != 0 {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", errno)
	}
	return addrOf(&name).AddrPort(), nil
}

func (s *socket) configure(cfg Config) error {
	if !s.v4 {
		if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return os.NewSyscallError("setsockopt IPV6_V6ONLY", err)
		}
	}
	if cfg.ReusePort {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return os.NewSyscallError("setsockopt SO_REUSEPORT", err)
		}
	}
	s.growBuffer(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, cfg.ReceiveBuffer)
	s.growBuffer(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, cfg.SendBuffer)
	// Setting the segment size that is the default anyway tells whether the kernel (4.18 and later) knows of it.
	s.segment.Store(unix.SetsockoptInt(s.fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 0) == nil)
	s.stamps = cfg.Stamp && unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) == nil
	return nil
}

// share lets further sockets of this user have the port of one that is bound already.
func (s *socket) share() bool {
	return unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) == nil
}

// growBuffer is best effort: beyond the system's limit only a privileged process gets what it asks for.
func (s *socket) growBuffer(force, polite, size int) {
	if size > 0 && unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, polite, size)
	}
}

// name writes a in the socket's own family and returns how many bytes of to that takes.
func (s *socket) name(to *unix.RawSockaddrInet6, a Addr) uint32 {
	port := *(*uint16)(unsafe.Pointer(&a.port)) // network byte order on both sides
	if s.v4 {
		to4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(to))
		to4.Family, to4.Port, to4.Addr = unix.AF_INET, port, [4]byte(a.ip[12:])
		return unix.SizeofSockaddrInet4
	}
	to.Family, to.Port, to.Addr, to.Scope_id = unix.AF_INET6, port, a.ip, a.zone
	return unix.SizeofSockaddrInet6
}

// addrOf is the inverse of name for either family.
func addrOf(name *unix.RawSockaddrInet6) Addr {
	a := Addr{kind: ipv6, port: *(*[2]byte)(unsafe.Pointer(&name.Port))}
	if name.Family == unix.AF_INET {
		a.kind, a.ip[10], a.ip[11] = ipv4, 0xff, 0xff
		copy(a.ip[12:], (*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr[:])
		return a
	}
	a.ip, a.zone = name.Addr, name.Scope_id
	if netip.AddrFrom16(a.ip).Is4In6() {
		a.kind = ipv4
	}
	return a
}

// reaches reports whether the socket's family can carry a datagram to an address.
func (s *socket) reaches(to Addr) bool { return to.kind == ipv4 || to.kind == ipv6 && !s.v4 }

func (s *socket) segments() bool { return s.segment.Load() }

func (s *socket) writeTo(b []byte, to Addr) error {
	if !s.reaches(to) {
		return unix.EAFNOSUPPORT
	}
	if !s.gate.enter() {
		return net.ErrClosed
	}
	defer s.gate.leave()
	var name unix.RawSockaddrInet6
	size := s.name(&name, to)
	if errno := s.sendto(b, &name, size); errno != 0 {
		return errno
	}
	return nil
}

func (s *socket) sendto(b []byte, name *unix.RawSockaddrInet6, size uint32) unix.Errno {
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
			uintptr(len(b)), unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(name)), uintptr(size))
		if errno != unix.EINTR {
			return errno
		}
	}
}

// receiveDrops is how many datagrams there was no room for.
func (s *socket) receiveDrops() uint64 {
	if s.aside != nil {
		return s.ownDrops() + s.aside.ownDrops()
	}
	return s.ownDrops()
}

// ownDrops asks the kernel; there is no counter to keep.
func (s *socket) ownDrops() uint64 {
	if !s.gate.enter() {
		return s.dropped.Load()
	}
	defer s.gate.leave()
	const drops = 8 // SK_MEMINFO_DROPS
	var info [drops + 1]uint32
	length := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return 0
	}
	return uint64(info[drops])
}

// close wakes who reads.
func (s *socket) close() error {
	s.dropped.Store(s.ownDrops())
	s.gate.shut()
	var err error
	s.mu.Lock()
	if s.aside != nil {
		err = s.aside.close()
	}
	if w := s.waiter.Load(); w != nil {
		err = errors.Join(err, w.close())
	}
	s.mu.Unlock()
	<-s.gate.empty
	return errors.Join(err, unix.Close(s.fd))
}
