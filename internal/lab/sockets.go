package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/pion/transport/v4"
	"golang.org/x/sys/unix"

	"github.com/parley-sfu/parley/internal/lab/network"
)

// sockets opens sockets for media in a namespace, at the one address of it that is a client's now: who gathers candidates
// through it finds that one. It implements transport.Net; it does not listen for TCP.
type sockets struct {
	space   *namespace
	address func() netip.Addr // none: there is no network
}

// at is an address that does not change.
func at(address netip.Addr) func() netip.Addr { return func() netip.Addr { return address } }

// ListenPacket implements transport.Net.
func (s *sockets) ListenPacket(network, address string) (conn net.PacketConn, err error) {
	err = s.space.do(func() error {
		conn, err = new(net.ListenConfig).ListenPacket(context.Background(), network, address)
		return err
	})
	return conn, err
}

// ListenUDP implements transport.Net.
func (s *sockets) ListenUDP(network string, local *net.UDPAddr) (transport.UDPConn, error) {
	var conn *net.UDPConn
	err := s.space.do(func() (err error) {
		conn, err = net.ListenUDP(network, local)
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// ListenTCP implements transport.Net.
func (s *sockets) ListenTCP(string, *net.TCPAddr) (transport.TCPListener, error) {
	return nil, transport.ErrNotSupported
}

// Dial implements transport.Net.
func (s *sockets) Dial(network, address string) (net.Conn, error) {
	return dialing{s, &net.Dialer{Timeout: dialLimit}}.Dial(network, address)
}

// DialUDP implements transport.Net.
func (s *sockets) DialUDP(network string, local, remote *net.UDPAddr) (transport.UDPConn, error) {
	var conn *net.UDPConn
	err := s.space.do(func() (err error) {
		conn, err = net.DialUDP(network, local, remote)
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// DialTCP implements transport.Net.
func (s *sockets) DialTCP(network string, local, remote *net.TCPAddr) (transport.TCPConn, error) {
	how := &net.Dialer{Timeout: dialLimit}
	if local != nil {
		how.LocalAddr = local
	}
	conn, err := dialing{s, how}.Dial(network, remote.String())
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(transport.ErrNotSupported, conn.Close())
	}
	return tcp, nil
}

// ResolveIPAddr implements transport.Net.
func (s *sockets) ResolveIPAddr(network, address string) (*net.IPAddr, error) {
	return net.ResolveIPAddr(network, address)
}

// ResolveUDPAddr implements transport.Net.
func (s *sockets) ResolveUDPAddr(network, address string) (*net.UDPAddr, error) {
	return net.ResolveUDPAddr(network, address)
}

// ResolveTCPAddr implements transport.Net.
func (s *sockets) ResolveTCPAddr(network, address string) (*net.TCPAddr, error) {
	return net.ResolveTCPAddr(network, address)
}

// Interfaces implements transport.Net: there is one, with one address, or none.
func (s *sockets) Interfaces() ([]*transport.Interface, error) {
	address := s.address()
	if !address.IsValid() {
		return nil, nil
	}
	own := transport.NewInterface(net.Interface{Index: 1, MTU: network.MTU, Name: "lab", Flags: net.FlagUp})
	own.AddAddress(&net.IPNet{IP: address.AsSlice(), Mask: net.CIDRMask(24, 32)})
	return []*transport.Interface{own}, nil
}

// InterfaceByIndex implements transport.Net.
func (s *sockets) InterfaceByIndex(index int) (*transport.Interface, error) {
	return s.find(func(i *transport.Interface) bool { return i.Index == index })
}

// InterfaceByName implements transport.Net.
func (s *sockets) InterfaceByName(name string) (*transport.Interface, error) {
	return s.find(func(i *transport.Interface) bool { return i.Name == name })
}

func (s *sockets) find(match func(*transport.Interface) bool) (*transport.Interface, error) {
	all, err := s.Interfaces()
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, match); i >= 0 {
		return all[i], nil
	}
	return nil, transport.ErrInterfaceNotFound
}

// CreateDialer implements transport.Net.
func (s *sockets) CreateDialer(how *net.Dialer) transport.Dialer { return dialing{s, how} }

// dialing is transport.Dialer on sockets. Where it was not told an address to call from, it is the sockets' own.
type dialing struct {
	*sockets

	how *net.Dialer
}

// Dial implements transport.Dialer.
func (d dialing) Dial(network, address string) (conn net.Conn, err error) {
	how := *d.how
	own := d.address()
	if !own.IsValid() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: unix.ENETUNREACH}
	}
	if how.LocalAddr == nil && strings.HasPrefix(network, "tcp") {
		how.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(own, 0))
	}
	err = d.space.do(func() error {
		conn, err = how.DialContext(context.Background(), network, address)
		return err
	})
	return conn, err
}

// CreateListenConfig implements transport.Net. What the configuration was set to is not used.
func (s *sockets) CreateListenConfig(*net.ListenConfig) transport.ListenConfig { return listening{s} }

// listening is transport.ListenConfig on sockets.
type listening struct{ *sockets }

// Listen implements transport.ListenConfig.
func (listening) Listen(context.Context, string, string) (net.Listener, error) {
	return nil, transport.ErrNotSupported
}

// ListenPacket implements transport.ListenConfig.
func (l listening) ListenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	return l.sockets.ListenPacket(network, address)
}
