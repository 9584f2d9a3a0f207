//go:build linux || darwin

package udp

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsentBytes may lie in the kernel without having been sent even once.
const unsentBytes = 32 << 10

// limitUnsent keeps the kernel from queueing seconds of media for a slow peer: what waits, waits in the bounded queue,
// where newer packets are dropped while there is still a choice. Best effort.
func limitUnsent(conn net.Conn) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
	})
}
