package udp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Group reads any number of Conns with one goroutine, in batches. It waits through Go's netpoller: where datagrams are rare,
// waking a thread that the runtime has written off costs more than the datagram. Add and Remove are safe for concurrent use.
type Group[T any] struct {
	file *os.File // an epoll instance, which Go's own waits for
	raw  syscall.RawConn

	closed atomic.Bool

	mu      sync.Mutex
	next    uint64
	members map[uint64]member[T] // by what epoll says of them
	numbers map[*Conn]uint64
}

type member[T any] struct {
	conn *Conn
	tag  T
}

const maxEvents = 64 // members served in one turn

// NewGroup returns a group without members, which the caller closes.
func NewGroup[T any]() (*Group[T], error) {
	file, raw, err := newEpoll()
	if err != nil {
		return nil, err
	}
	return &Group[T]{file: file, raw: raw, members: map[uint64]member[T]{}, numbers: map[*Conn]uint64{}}, nil
}

// Add has the group read c, which nobody else may read from now on; tag comes with its datagrams. The Conn stays the caller's:
// it removes it before it closes it.
func (g *Group[T]) Add(c *Conn, tag T) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.sock.gate.enter() {
		return net.ErrClosed
	}
	defer c.sock.gate.leave()
	g.next++
	if err := g.control(unix.EPOLL_CTL_ADD, c.sock.fd, g.next); err != nil {
		return fmt.Errorf("udp: group: %w", err)
	}
	g.members[g.next], g.numbers[c] = member[T]{c, tag}, g.next
	return nil
}

func (g *Group[T]) control(how, fd int, number uint64) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN}
	*(*uint64)(unsafe.Pointer(&event.Fd)) = number // Fd and Pad are the union's eight bytes
	var set error
	if err := g.raw.Control(func(epoll uintptr) { set = unix.EpollCtl(int(epoll), how, fd, &event) }); err != nil {
		return err
	}
	return os.NewSyscallError("epoll_ctl", set)
}

// Remove takes c out. A call of read for it may still be under way.
func (g *Group[T]) Remove(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	number, ok := g.numbers[c]
	if !ok {
		return
	}
	delete(g.members, number)
	delete(g.numbers, c)
	if c.sock.gate.enter() {
		_ = g.control(unix.EPOLL_CTL_DEL, c.sock.fd, number) // closing would have done it
		c.sock.gate.leave()
	}
}

// Run calls read with the datagrams of each member that has some, in ms, and turn after each round of such calls, until Close.
// Both run on the caller's goroutine. It returns nil when the group was closed.
func (g *Group[T]) Run(ms []Message, read func(tag T, ms []Message), turn func()) error {
	events := make([]unix.EpollEvent, maxEvents)
	ready := make([]member[T], 0, maxEvents)
	in := newReader()
	var n, errno uintptr
	wait := func(epoll uintptr) bool {
		var e unix.Errno
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, epoll, uintptr(unsafe.Pointer(&events[0])), maxEvents, 0, 0, 0)
		errno = uintptr(e)
		return n != 0 // nothing is there: wait until something is
	}
	for {
		if err := g.raw.Read(wait); err != nil {
			if g.closed.Load() {
				return nil
			}
			return fmt.Errorf("udp: group: %w", err)
		}
		switch unix.Errno(errno) {
		case 0:
		case unix.EINTR:
			continue
		default:
			return os.NewSyscallError("epoll_wait", unix.Errno(errno))
		}
		ready = g.resolve(ready[:0], events[:n])
		for i := range ready {
			g.serve(&ready[i], in, ms, read)
		}
		clear(ready)
		turn()
	}
}

// serve reads a member once: who has more to say is ready again in the next round, so nobody waits for a flooded one.
func (g *Group[T]) serve(m *member[T], in *reader, ms []Message, read func(tag T, ms []Message)) {
	n, truncated, err := m.conn.sock.receive(in, ms[:min(len(ms), maxRead)])
	if err != nil {
		g.Remove(m.conn) // closed, or broken for good
		return
	}
	if n > 0 {
		m.conn.count(ms[:n], truncated)
		read(m.tag, ms[:n])
	}
}

// resolve says who is meant by events.
func (g *Group[T]) resolve(ready []member[T], events []unix.EpollEvent) []member[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range events {
		if m, ok := g.members[*(*uint64)(unsafe.Pointer(&events[i].Fd))]; ok {
			ready = append(ready, m)
		}
	}
	return ready
}

// Close ends Run.
func (g *Group[T]) Close() error {
	g.closed.Store(true)
	if err := g.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("udp: group: %w", err)
	}
	return nil
}
