package udp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waiter reads one socket for Conn.Read and waits through Go's netpoller. That knows only an epoll instance, which watches the
// socket for datagrams, and only while somebody waits: told of the socket itself, the netpoller would be woken by every datagram
// that is sent, and by those that come while the reader is at work.
//
// The instance is never asked: that it wakes the netpoller is all it is for.
type waiter struct {
	sock *socket
	file *os.File // the instance
	raw  syscall.RawConn

	mu        sync.Mutex // one reads at a time; guards what follows
	watching  bool       // the instance watches
	event     unix.EpollEvent
	pace      pace
	timer     *timer    // nil without a pace
	began     time.Time // what the pace counts from
	in        *reader
	ms        []Message // what the call under way fills
	n         int
	urgent    int // of them, those that cannot wait; they come first
	truncated int
	failed    error
	aside     *patience                // of the socket of what can wait; nil: there is none
	try       func(epoll uintptr) bool // made once: it would escape in each call
}

func newWaiter(s *socket) (*waiter, error) {
	file, raw, err := newEpoll()
	if err != nil {
		return nil, err
	}
	w := &waiter{sock: s, file: file, raw: raw, in: newReader(), began: time.Now(), pace: newPace(s.gather)}
	w.try = w.attempt
	if w.pace.least > 0 {
		if w.timer, err = newTimer(); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	var set error
	err = raw.Control(func(epoll uintptr) {
		set = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{})
		if set == nil && s.aside != nil {
			w.aside, set = newPatience(s.aside, s.patient, int(epoll))
		}
	})
	if err = errors.Join(err, os.NewSyscallError("epoll_ctl", set)); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *waiter) now() int64 { return time.Since(w.began).Nanoseconds() }

// attempt reports whether there is something to return: datagrams, or a failure.
func (w *waiter) attempt(epoll uintptr) bool {
	if w.watching {
		w.watch(epoll, 0)
	}
	if w.take() {
		return true
	}
	w.watch(epoll, unix.EPOLLIN)
	w.sock.reading.done()
	// What came before the instance watched need not have woken anybody: nobody has told the instance that what it knew is over.
	return w.failed != nil || w.take()
}

// take reads what is there, and reports whether there is something to return.
func (w *waiter) take() bool {
	w.n, w.truncated, w.failed = w.sock.receive(w.in, w.ms)
	w.urgent = w.n
	if w.aside != nil && w.failed == nil {
		w.takeAside()
	}
	return w.n != 0 || w.failed != nil
}

// takeAside reads what can wait as well, if it has waited for long enough, or the reader is awake for others anyway.
func (w *waiter) takeAside() {
	now, rest := w.now(), w.ms[w.n:]
	if len(rest) == 0 || w.n == 0 && w.aside.left(now) > 0 {
		return
	}
	n, truncated, err := w.aside.sock.receive(w.in, rest)
	w.aside.read(n, len(rest), now)
	w.n, w.truncated, w.failed = w.n+n, w.truncated+truncated, err
}

func (w *waiter) watch(epoll uintptr, events uint32) {
	w.failed = w.sock.watch(epoll, events, &w.event)
	w.watching = events != 0
	if w.aside != nil && w.failed == nil {
		w.failed = w.aside.watch(epoll, events, w.now(), &w.event)
	}
}

// watch has an epoll instance watch the socket for events, 0 for none; the event is scratch.
func (s *socket) watch(epoll uintptr, events uint32, event *unix.EpollEvent) error {
	if !s.gate.enter() {
		return net.ErrClosed
	}
	defer s.gate.leave()
	event.Events = events
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, epoll, unix.EPOLL_CTL_MOD, uintptr(s.fd), uintptr(unsafe.Pointer(event)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// newEpoll makes an epoll instance that Go's own waits for.
func newEpoll() (*os.File, syscall.RawConn, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil { // or Go would not wait for it
		return nil, nil, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(epoll))
	}
	file := os.NewFile(uintptr(epoll), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, raw, nil
}

// read waits for a datagram at least.
func (w *waiter) read(ms []Message) (n, truncated int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		if pause := w.pace.pause(w.now()); pause > 0 {
			w.timer.sleep(pause)
		}
	}
	w.ms = ms
	err = w.raw.Read(w.try)
	w.ms = nil
	switch {
	case w.sock.gate.isShut():
		return 0, 0, net.ErrClosed
	case err != nil:
		return 0, 0, fmt.Errorf("wait: %w", err)
	}
	w.pace.read(w.urgent, len(ms), w.now())
	w.sock.reading.begin(ms[:w.urgent])
	return w.n, w.truncated, w.failed
}

// close ends reading.
func (w *waiter) close() error {
	err := w.file.Close()
	if w.timer != nil {
		err = errors.Join(err, w.timer.close())
	}
	if w.aside != nil {
		err = errors.Join(err, w.aside.close())
	}
	return err
}
