package path

import (
	"fmt"
	"net"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

// loopback is pion's network with no other interface than loopback, on which a viewer's sockets are sinks.
type loopback struct {
	transport.Net

	sinks *sweeper
}

// newLoopback returns a network whose media sockets are read by the sweeper.
func newLoopback(w *sweeper) (*loopback, error) {
	own, err := stdnet.NewNet()
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	return &loopback{own, w}, nil
}

// Interfaces implements transport.Net.
func (n *loopback) Interfaces() ([]*transport.Interface, error) {
	all, err := n.Net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.Flags&net.FlagLoopback != 0 {
			only := transport.NewInterface(one.Interface)
			only.AddAddress(&net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)})
			return []*transport.Interface{only}, nil
		}
	}
	return nil, fmt.Errorf("network: no loopback interface")
}

// ListenUDP implements transport.Net.
func (n *loopback) ListenUDP(string, *net.UDPAddr) (transport.UDPConn, error) { return n.sinks.open() }
