package udp

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// timer sleeps for less than the millisecond that Go's own timers are rounded up to where all threads are idle.
type timer struct {
	file *os.File
	raw  syscall.RawConn
	look func(fd uintptr) bool // made once: it would escape in each call
	set  unix.ItimerSpec
	due  uint64 // read from the file
}

func newTimer() (*timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	t := &timer{file: os.NewFile(uintptr(fd), "timer")}
	if t.raw, err = t.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, t.file.Close())
	}
	t.look = func(fd uintptr) bool {
		if t.set.Value.Nsec != 0 {
			_, _, errno := unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&t.set)), 0, 0, 0)
			t.set.Value.Nsec = 0
			return errno != 0
		}
		_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&t.due)), unsafe.Sizeof(t.due))
		return errno != unix.EAGAIN
	}
	return t, nil
}

// sleep waits for so many nanoseconds, less than a second, or until the timer is closed.
func (t *timer) sleep(nanoseconds int64) {
	t.set.Value.Nsec = nanoseconds
	_ = t.raw.Read(t.look) // whoever is woken early finds out why
}

func (t *timer) close() error { return t.file.Close() }
