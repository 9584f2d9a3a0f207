package udp

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sweep reads any number of Conns that nobody waits for: each Turn takes what has come since the last one. Sender and
// receiver are spared what waking somebody costs, for which datagrams lie in the kernel until the next turn: the kernel's
// timestamps tell when they came. Add and Remove are safe for concurrent use; one goroutine at a time calls Turn.
type Sweep[T any] struct {
	taker taker

	mu      sync.Mutex
	members atomic.Pointer[[]member[T]] // never changed in place; mu is held to replace it
}

// NewSweep returns a sweep without members. It needs no closing.
func NewSweep[T any]() *Sweep[T] {
	s := &Sweep[T]{}
	s.members.Store(&[]member[T]{})
	return s
}

// Add has the sweep read c, which nobody else may read from now on; tag comes with its datagrams. The Conn stays the
// caller's: it removes it before it closes it.
func (s *Sweep[T]) Add(c *Conn, tag T) error {
	if !c.sock.gate.enter() {
		return net.ErrClosed
	}
	defer c.sock.gate.leave()
	if err := unix.SetsockoptInt(c.sock.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("udp: sweep: %w", os.NewSyscallError("setsockopt SO_TIMESTAMPNS", err))
	}
	_ = unix.SetsockoptInt(c.sock.fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) // an old kernel (before 5.0) gives one by one
	s.mu.Lock()
	defer s.mu.Unlock()
	all := append(slices.Clone(*s.members.Load()), member[T]{c, tag})
	s.members.Store(&all)
	return nil
}

// Remove takes c out. A call of Turn that began before may still read it.
func (s *Sweep[T]) Remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(*s.members.Load()), func(m member[T]) bool { return m.conn == c })
	s.members.Store(&all)
}

// Len is the number of members.
func (s *Sweep[T]) Len() int { return len(*s.members.Load()) }

// Turn calls read with what has come for each member, and returns how many datagrams that were. What cannot be read any more
// is taken out.
func (s *Sweep[T]) Turn(read func(tag T, ps []Piece)) (datagrams int) {
	for _, m := range *s.members.Load() {
		for range sweepRounds {
			pieces, inside, err := s.taker.take(m.conn)
			if err != nil {
				s.Remove(m.conn) // closed, or broken for good
				break
			}
			datagrams += inside
			if pieces > 0 {
				read(m.tag, s.taker.pieces[:pieces])
			}
			if pieces < sweepVector {
				break
			}
		}
	}
	return datagrams
}

const (
	sweepVector = 16      // messages in one recvmmsg
	sweepRounds = 64      // of one member in one turn
	pieceSize   = 1 << 16 // more than any segmented message has
	controlSize = 64      // room for a timestamp and a segment size
)

// taker is the memory of one sweep, made with its first use.
type taker struct {
	headers  [sweepVector]unix.Mmsghdr
	vectors  [sweepVector]unix.Iovec
	names    [sweepVector]unix.RawSockaddrInet6
	controls [sweepVector][controlSize]byte
	pieces   [sweepVector]Piece
	memory   []byte
}

func (t *taker) prepare() {
	t.memory = make([]byte, sweepVector*pieceSize)
	for i := range t.headers {
		h := &t.headers[i].Hdr
		t.vectors[i].Base = &t.memory[i*pieceSize]
		t.vectors[i].SetLen(pieceSize)
		h.Name = (*byte)(unsafe.Pointer(&t.names[i]))
		h.Iov = &t.vectors[i]
		h.SetIovlen(1)
		h.Control = &t.controls[i][0]
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlSize)
	}
}

// take fills the pieces with what is there, and says how many datagrams are in them.
func (t *taker) take(c *Conn) (pieces, datagrams int, err error) {
	if t.memory == nil {
		t.prepare()
	}
	pieces, err = c.sock.recvmmsg(t.headers[:])
	datagrams, bytes := t.collect(pieces)
	c.stats.addReceived(datagrams, bytes, 0)
	return pieces, datagrams, err
}

// collect makes pieces of the first messages, and the headers ready for the next call. It returns how many datagrams and
// bytes there are.
func (t *taker) collect(messages int) (datagrams, bytes int) {
	for i := range messages {
		h, p := &t.headers[i], &t.pieces[i]
		n := int(h.Len)
		*p = Piece{B: t.memory[i*pieceSize:][:n:n], Size: n, From: addrOf(&t.names[i])}
		p.control(t.controls[i][:min(h.Hdr.Controllen, controlSize)])
		h.Hdr.Namelen = unix.SizeofSockaddrInet6
		h.Hdr.SetControllen(controlSize)
		bytes += n
		if p.Size > 0 {
			datagrams += (n + p.Size - 1) / p.Size
		}
	}
	return datagrams, bytes
}

// control reads the ancillary data of a message.
func (p *Piece) control(b []byte) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(b)))
		if h.Len < unix.SizeofCmsghdr || int(h.Len) > len(b) {
			break
		}
		data := b[unix.SizeofCmsghdr:h.Len]
		switch {
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS && len(data) >= int(unsafe.Sizeof(unix.Timespec{})):
			p.At = (*unix.Timespec)(unsafe.Pointer(unsafe.SliceData(data))).Nano()
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			p.Size = int(binary.NativeEndian.Uint32(data))
		}
		b = b[min(len(b), unix.CmsgSpace(len(data))):]
	}
	if p.At == 0 {
		p.At = time.Now().UnixNano()
	}
}
