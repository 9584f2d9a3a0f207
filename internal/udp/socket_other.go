//go:build !linux

package udp

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is package net's UDP socket where no better is known: one datagram a system call, through the netpoller.
type socket struct {
	udp     *net.UDPConn
	v4      bool
	reading reading // of which nothing is known
}

func openSocket(cfg Config) (*socket, netip.AddrPort, error) {
	network := "udp"
	if cfg.Listen.Addr().Unmap().Is4() {
		network = "udp4"
	}
	var lc net.ListenConfig
	if cfg.ReusePort {
		lc.Control = reusePort
	}
	pc, err := lc.ListenPacket(context.Background(), network, cfg.Listen.String())
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	conn := pc.(*net.UDPConn) // what ListenPacket promises for UDP networks
	if cfg.ReceiveBuffer > 0 {
		_ = conn.SetReadBuffer(cfg.ReceiveBuffer)
	}
	if cfg.SendBuffer > 0 {
		_ = conn.SetWriteBuffer(cfg.SendBuffer)
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return &socket{udp: conn, v4: network == "udp4"}, AddrFrom(local).AddrPort(), nil
}

func reusePort(_, _ string, raw syscall.RawConn) error {
	var set error
	err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	if err != nil {
		return err
	}
	return set
}

// share is not to be had: where SO_REUSEPORT exists it need not spread remotes.
func (s *socket) share() bool { return false }

// setAside does nothing: all datagrams come together.
func (s Shards) setAside(Config) {}

func (s *socket) read(ms []Message) (n, truncated int, err error) {
	got, from, err := s.udp.ReadFromUDPAddrPort(ms[0].Buf)
	if err != nil {
		return 0, 0, err
	}
	ms[0].N, ms[0].From = got, AddrFrom(from)
	return 1, 0, nil
}

func (s *socket) reaches(to Addr) bool { return to.kind == ipv4 || to.kind == ipv6 && !s.v4 }

func (s *socket) segments() bool { return false }

func (s *socket) writeTo(b []byte, to Addr) error {
	if !s.reaches(to) {
		return syscall.EAFNOSUPPORT
	}
	_, err := s.udp.WriteToUDPAddrPort(b, to.AddrPort())
	return err
}

func (s *socket) receiveDrops() uint64 { return 0 }

func (s *socket) close() error { return s.udp.Close() }
