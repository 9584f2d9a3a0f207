package udp

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sender is what one sendmmsg needs besides the batch's memory.
type sender struct {
	sock     *socket
	headers  [maxRuns]unix.Mmsghdr
	vectors  [maxRuns]unix.Iovec
	names    [maxRuns]unix.RawSockaddrInet6
	controls [maxRuns]segmentSize
}

// segmentSize is the control message that makes one message many datagrams (udp(7), UDP_SEGMENT).
type segmentSize struct {
	header unix.Cmsghdr
	size   uint16
	_      [6]byte // up to what CMSG_SPACE says
}

func newSender(sock *socket) *sender {
	d := &sender{sock: sock}
	for i := range d.headers {
		c := &d.controls[i]
		c.header.Level, c.header.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.header.SetLen(unix.CmsgLen(2))
		h := &d.headers[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&d.names[i]))
		h.Iov = &d.vectors[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(c))
	}
	return d
}

// send hands all runs to the kernel and adds to t what came of them. The scheduler is not told: that would wake the runtime's
// monitor thread where it sleeps, which costs more than many datagrams, and no more than an arena is sent at a time.
func (d *sender) send(arena []byte, runs []run, t *tally) error {
	if !d.sock.gate.enter() {
		for i := range runs {
			t.drops += runs[i].segments
		}
		return net.ErrClosed
	}
	defer d.sock.gate.leave()
	d.point(arena, runs)
	for i := 0; i < len(runs); {
		sent, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(d.sock.fd), uintptr(unsafe.Pointer(&d.headers[i])),
			uintptr(len(runs)-i), unix.MSG_DONTWAIT, 0, 0)
		t.syscalls++
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			d.refused(i, arena, &runs[i], errno, t)
			i++ // sendmmsg fails only for the first message it is given
		default:
			t.took(runs[i : i+int(sent)])
			i += int(sent)
		}
	}
	return nil
}

// point aims the headers at the runs.
func (d *sender) point(arena []byte, runs []run) {
	for i := range runs {
		r, h := &runs[i], &d.headers[i].Hdr
		h.Namelen = d.sock.name(&d.names[i], r.to)
		d.vectors[i].Base = unsafe.SliceData(arena[r.from:])
		d.vectors[i].SetLen(r.length)
		h.SetControllen(0)
		if r.segments > 1 {
			d.controls[i].size = uint16(r.size)
			h.SetControllen(unix.CmsgSpace(2))
		}
	}
}

// refused deals with the run at i that the kernel would not take. EIO says that segmentation does not work on the way
// out, so it is never tried again. EINVAL and EMSGSIZE may only say that the path to this one address has a small MTU,
// which whoever is at the other end can bring about: then only this run goes one by one.
func (d *sender) refused(i int, arena []byte, r *run, errno unix.Errno, t *tally) {
	t.errors++
	switch {
	case r.segments == 1:
		t.drops++
		return
	case errno == unix.EIO:
		d.sock.segment.Store(false)
	case errno != unix.EINVAL && errno != unix.EMSGSIZE:
		t.drops += r.segments
		return
	}
	t.unsegmented++
	rest := arena[r.from : r.from+r.length]
	for len(rest) > 0 {
		n := min(r.size, len(rest))
		t.syscalls++
		if errno := d.sock.sendto(rest[:n], &d.names[i], d.headers[i].Hdr.Namelen); errno != 0 {
			t.errors++
			t.drops++
		} else {
			t.sent++
			t.bytes += n
		}
		rest = rest[n:]
	}
}

// took counts runs that the kernel accepted.
func (t *tally) took(runs []run) {
	for i := range runs {
		t.sent += runs[i].segments
		t.bytes += runs[i].length
		if runs[i].segments > 1 {
			t.segmented += runs[i].segments
		}
	}
}
