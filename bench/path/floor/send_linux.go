package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	atOnce     = 64 // messages in one sendmmsg
	maxSegment = 1472
	maxRun     = 64
	sendBuffer = 4 << 20 // bytes

	rtpVersion, payloadType = 0x80, 96 // so that whoever counts RTP counts these
)

// An order says what to send for how long.
type order struct {
	To       []netip.AddrPort `json:"to"`
	Size     int              `json:"size"`     // bytes of a datagram
	Run      int              `json:"run"`      // datagrams to one address in a row
	Offload  bool             `json:"offload"`  // each such run is one message, which the kernel cuts up
	Interval time.Duration    `json:"interval"` // between two rounds to all addresses; 0: none
	Duration time.Duration    `json:"duration"`
}

func (o order) validate() error {
	switch {
	case len(o.To) == 0:
		return errors.New("order: no addresses")
	case o.Size < 2 || o.Size > maxSegment:
		return fmt.Errorf("order: size must be from 2 to %d", maxSegment)
	case o.Run < 1 || o.Run > maxRun || o.Offload && o.Run*o.Size > 65_000:
		return errors.New("order: run is too long")
	}
	return nil
}

// sender sends over one socket.
type sender struct {
	fd       int
	messages [atOnce]message
	vectors  [atOnce]unix.Iovec
	control  [24]byte // one UDP_SEGMENT
	memory   [atOnce * maxSegment]byte
}

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

func newSender() (*sender, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) // best effort
	return &sender{fd: fd}, nil
}

// carryOut sends until the order's time is over, and returns the number of datagrams.
func (s *sender) carryOut(o order) (sent uint64, err error) {
	if err := o.validate(); err != nil {
		return 0, err
	}
	names := make([]unix.RawSockaddrInet4, len(o.To))
	for i, to := range o.To {
		names[i] = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().As4()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&names[i].Port))[:], to.Port())
	}
	s.prepare(o)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for begun, due := time.Now(), time.Duration(0); ; due += o.Interval {
		if wait := due - time.Since(begun); wait > 0 {
			timer.Reset(wait)
			<-timer.C
		}
		if time.Since(begun) >= o.Duration {
			return sent, nil
		}
		n, err := s.round(o, names)
		if err != nil {
			return sent, err
		}
		sent += n
	}
}

// prepare lays out what all messages of an order have in common.
func (s *sender) prepare(o order) {
	for i := range s.messages {
		h := &s.messages[i].header
		*h = unix.Msghdr{Iov: &s.vectors[i]}
		h.SetIovlen(1)
		s.vectors[i].Base = &s.memory[i*s.stride(o)]
		s.vectors[i].SetLen(o.Size)
		if !o.Offload {
			continue
		}
		s.vectors[i].Base = &s.memory[0]
		s.vectors[i].SetLen(o.Size * o.Run)
		h.Control = &s.control[0]
		h.SetControllen(unix.CmsgSpace(2))
	}
	clear(s.memory[:])
	for at := 0; at+1 < len(s.memory); at += s.stride(o) {
		s.memory[at], s.memory[at+1] = rtpVersion, payloadType
	}
	c := (*unix.Cmsghdr)(unsafe.Pointer(&s.control))
	c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	c.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(s.control[unix.CmsgLen(0):], uint16(o.Size))
}

// stride is the distance between datagrams in memory.
func (s *sender) stride(o order) int {
	if o.Offload {
		return o.Size
	}
	return maxSegment
}

// round sends a run to every address.
func (s *sender) round(o order, names []unix.RawSockaddrInet4) (sent uint64, err error) {
	messages, each := o.Run, 1
	if o.Offload {
		messages, each = 1, o.Run
	}
	queued := 0
	for i := range names {
		for range messages {
			h := &s.messages[queued].header
			h.Name, h.Namelen = (*byte)(unsafe.Pointer(&names[i])), unix.SizeofSockaddrInet4
			if queued++; queued == atOnce {
				if err := s.flush(queued); err != nil {
					return sent, err
				}
				queued = 0
			}
			sent += uint64(each)
		}
	}
	return sent, s.flush(queued)
}

// flush sends the first messages; a few calls may be needed.
func (s *sender) flush(count int) error {
	for from := 0; from < count; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.messages[from])),
			uintptr(count-from), 0, 0, 0)
		switch errno {
		case 0:
			from += int(n)
		case unix.EINTR, unix.ECONNREFUSED: // the latter of an earlier datagram to a socket that is gone
		default:
			return os.NewSyscallError("sendmmsg", errno)
		}
	}
	return nil
}
