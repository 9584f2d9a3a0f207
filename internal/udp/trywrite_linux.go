package udp

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TryWrite writes what the kernel takes at once of b to a TCP connection, which may be nothing, and never waits. It spares a
// goroutine, and the scheduler, where a connection has room, as it mostly has.
func TryWrite(conn syscall.RawConn, b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	var errno unix.Errno
	err = conn.Write(func(fd uintptr) bool {
		var written uintptr
		written, _, errno = unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if errno == 0 {
			n = int(written)
		}
		return true
	})
	switch {
	case err != nil:
		return n, err
	case errno == 0 || errno == unix.EAGAIN || errno == unix.EINTR:
		return n, nil
	}
	return n, errno
}
