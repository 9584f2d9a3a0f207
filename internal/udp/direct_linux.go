package udp

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Direct reads and writes a TCP connection with system calls that the scheduler is not told of, and waits through Go's netpoller
// only. The connection stays the caller's, deadlines included. One goroutine at a time may read, and one write.
type Direct struct {
	raw     syscall.RawConn
	in, out transfer
}

// transfer is what one call works on. The function is made once: it would escape in each call.
type transfer struct {
	b     []byte
	n     int
	errno unix.Errno
	call  func(fd uintptr) bool
}

// NewDirect returns nil for a connection that is closed.
func NewDirect(conn *net.TCPConn) *Direct {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	d := &Direct{raw: raw}
	d.in.call = func(fd uintptr) bool {
		d.in.do(unix.SYS_READ, fd)
		return d.in.errno != unix.EAGAIN // nothing is there: wait until something is
	}
	d.out.call = func(fd uintptr) bool {
		d.out.do(unix.SYS_WRITE, fd)
		return true
	}
	return d
}

func (t *transfer) do(what, fd uintptr) {
	for {
		n, _, errno := unix.RawSyscall(what, fd, uintptr(unsafe.Pointer(unsafe.SliceData(t.b))), uintptr(len(t.b)))
		if errno == unix.EINTR {
			continue
		}
		t.n, t.errno = 0, errno
		if errno == 0 {
			t.n = int(n)
		}
		return
	}
}

// Read implements io.Reader.
func (d *Direct) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	d.in.b = b
	err := d.raw.Read(d.in.call)
	d.in.b = nil
	switch {
	case err != nil:
		return 0, err
	case d.in.errno != 0:
		return 0, os.NewSyscallError("read", d.in.errno)
	case d.in.n == 0:
		return 0, io.EOF
	}
	return d.in.n, nil
}

// TryWrite writes what the kernel takes of b at once, which may be nothing, and never waits.
func (d *Direct) TryWrite(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	d.out.b = b
	err := d.raw.Write(d.out.call)
	d.out.b = nil
	switch {
	case err != nil:
		return 0, err
	case d.out.errno != 0 && d.out.errno != unix.EAGAIN:
		return 0, os.NewSyscallError("write", d.out.errno)
	}
	return d.out.n, nil
}
