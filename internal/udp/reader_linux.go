package udp

import (
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reader is what one recvmmsg needs besides the caller's memory.
type reader struct {
	headers [maxRead]unix.Mmsghdr
	vectors [maxRead]unix.Iovec
	names   [maxRead]unix.RawSockaddrInet6
	stamps  [maxRead]stamp
}

// stamp is the control message that says when a datagram came, by the system's clock (socket(7), SO_TIMESTAMPNS).
type stamp struct {
	header unix.Cmsghdr
	at     unix.Timespec
}

// longestWait bounds what a stamp is believed: the system's clock can be set.
const longestWait = time.Second

// waited is how long before now the datagram came; 0 where the kernel has not said.
func (s *stamp) waited(now int64) time.Duration {
	if s.header.Level != unix.SOL_SOCKET || s.header.Type != unix.SCM_TIMESTAMPNS {
		return 0
	}
	return min(max(0, time.Duration(now-s.at.Nano())), longestWait)
}

func newReader() *reader {
	r := &reader{}
	for i := range r.headers {
		h := &r.headers[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.vectors[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&r.stamps[i]))
	}
	return r
}

// read waits for a datagram at least.
func (s *socket) read(ms []Message) (n, truncated int, err error) {
	w, err := s.wait()
	if err != nil {
		return 0, 0, err
	}
	return w.read(ms)
}

// wait returns what reads the socket, which most sockets of groups never need.
func (s *socket) wait() (*waiter, error) {
	if w := s.waiter.Load(); w != nil {
		return w, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.waiter.Load(); w != nil {
		return w, nil
	}
	if !s.gate.enter() {
		return nil, net.ErrClosed
	}
	defer s.gate.leave()
	w, err := newWaiter(s)
	if err != nil {
		return nil, err
	}
	s.waiter.Store(w)
	return w, nil
}

// receive takes what is there, which may be nothing.
func (s *socket) receive(r *reader, ms []Message) (n, truncated int, err error) {
	r.point(ms, s.stamps)
	n, err = s.recvmmsg(r.headers[:len(ms)])
	if s.stamps && n > 0 {
		r.date(ms[:n], time.Now().UnixNano())
	}
	return n, r.collect(ms[:n]), err
}

// recvmmsg fills the first n headers with what is there, which may be nothing.
func (s *socket) recvmmsg(headers []unix.Mmsghdr) (n int, err error) {
	if !s.gate.enter() {
		return 0, net.ErrClosed
	}
	defer s.gate.leave()
	for {
		got, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(headers))),
			uintptr(len(headers)), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == 0:
			return int(got), nil
		case errno == unix.EAGAIN:
			return 0, nil
		case !passing(errno):
			return 0, os.NewSyscallError("recvmmsg", errno)
		}
	}
}

// passing tells errors that say something about one datagram or moment from those that say the socket is broken.
func passing(errno unix.Errno) bool {
	switch errno {
	case unix.EINTR, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EPROTO, unix.EMSGSIZE:
		return true
	default:
		return false
	}
}

// point aims the headers at the caller's buffers. The kernel overwrites lengths, so they are set anew as well.
func (r *reader) point(ms []Message, stamps bool) {
	for i := range ms {
		if r.headers[i].Hdr.SetControllen(0); stamps {
			r.headers[i].Hdr.SetControllen(int(unsafe.Sizeof(r.stamps[i])))
		}
		r.vectors[i].Base = unsafe.SliceData(ms[i].Buf)
		r.vectors[i].SetLen(len(ms[i].Buf))
		r.headers[i].Hdr.Namelen = unix.SizeofSockaddrInet6
	}
}

// date says how long datagrams have waited, at now by the system's clock.
func (r *reader) date(ms []Message, now int64) {
	for i := range ms {
		ms[i].Waited = r.stamps[i].waited(now)
		r.stamps[i].header = unix.Cmsghdr{}
	}
}

func (r *reader) collect(ms []Message) (truncated int) {
	for i := range ms {
		ms[i].N = int(r.headers[i].Len)
		ms[i].From = addrOf(&r.names[i])
		if r.headers[i].Hdr.Flags&unix.MSG_TRUNC != 0 {
			truncated++
		}
	}
	return truncated
}
