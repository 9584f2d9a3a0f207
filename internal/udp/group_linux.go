package udp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Group reads any number of Conns with one goroutine, in batches, where a goroutine for each would cost a thread or a turn of
// the netpoller for every few datagrams. Add and Remove are safe for concurrent use.
type Group[T any] struct {
	epoll, wake int

	mu      sync.Mutex
	closed  bool
	running bool
	next    uint64
	members map[uint64]member[T] // by what epoll says of them
	numbers map[*Conn]uint64
}

type member[T any] struct {
	conn *Conn
	tag  T
}

const maxEvents = 64 // members served in one turn

// NewGroup returns a group without members. The caller runs it, or closes it.
func NewGroup[T any]() (*Group[T], error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), unix.Close(epoll))
	}
	g := &Group[T]{epoll: epoll, wake: wake, members: map[uint64]member[T]{}, numbers: map[*Conn]uint64{}}
	if err := g.watch(wake, 0); err != nil {
		return nil, errors.Join(err, g.release())
	}
	return g, nil
}

func (g *Group[T]) watch(fd int, number uint64) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN}
	*(*uint64)(unsafe.Pointer(&event.Fd)) = number // Fd and Pad are the union's eight bytes
	if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

// Add has the group read c, which nobody else may read from now on; tag comes with its datagrams. The Conn stays the caller's:
// it removes it before it closes it.
func (g *Group[T]) Add(c *Conn, tag T) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || !c.sock.gate.enter() {
		return net.ErrClosed
	}
	defer c.sock.gate.leave()
	g.next++
	if err := g.watch(c.sock.fd, g.next); err != nil {
		return fmt.Errorf("udp: group: %w", err)
	}
	g.members[g.next], g.numbers[c] = member[T]{c, tag}, g.next
	return nil
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
	if !g.closed && c.sock.gate.enter() {
		_ = unix.EpollCtl(g.epoll, unix.EPOLL_CTL_DEL, c.sock.fd, nil) // closing would have done it
		c.sock.gate.leave()
	}
}

// Run calls read with the datagrams of each member that has some, into ms, and turn after each round of such calls, until Close.
// Both run on the caller's goroutine. It returns nil when the group was closed; it runs once.
func (g *Group[T]) Run(ms []Message, read func(tag T, ms []Message), turn func()) error {
	if !g.start() {
		return nil
	}
	events := make([]unix.EpollEvent, maxEvents)
	ready := make([]member[T], 0, maxEvents)
	for {
		n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(g.epoll), uintptr(unsafe.Pointer(&events[0])), maxEvents, ^uintptr(0), 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return errors.Join(os.NewSyscallError("epoll_wait", errno), g.finish())
		}
		var open bool
		if ready, open = g.resolve(ready[:0], events[:n]); !open {
			return g.finish()
		}
		for i := range ready {
			g.serve(&ready[i], ms, read)
		}
		clear(ready)
		turn()
	}
}

func (g *Group[T]) start() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running = !g.closed
	return g.running
}

// serve reads a member once: who has more to say is ready again in the next round, so nobody waits for a flooded one.
func (g *Group[T]) serve(m *member[T], ms []Message, read func(tag T, ms []Message)) {
	n, truncated, err := m.conn.sock.poll(ms[:min(len(ms), maxRead)])
	if err != nil {
		g.Remove(m.conn) // closed, or broken for good
		return
	}
	if n > 0 {
		m.conn.count(ms[:n], truncated)
		read(m.tag, ms[:n])
	}
}

// resolve says who is meant by events. It is false once the group is closed.
func (g *Group[T]) resolve(ready []member[T], events []unix.EpollEvent) ([]member[T], bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range events {
		if m, ok := g.members[*(*uint64)(unsafe.Pointer(&events[i].Fd))]; ok {
			ready = append(ready, m)
		}
	}
	return ready, !g.closed
}

// Close ends Run.
func (g *Group[T]) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	if !g.running {
		return g.release()
	}
	one := [8]byte{1}
	if _, err := unix.Write(g.wake, one[:]); err != nil {
		return os.NewSyscallError("write", err)
	}
	return nil
}

// finish closes what the group owns once Run uses it no more.
func (g *Group[T]) finish() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	return g.release()
}

func (g *Group[T]) release() error {
	return errors.Join(unix.Close(g.wake), unix.Close(g.epoll))
}
