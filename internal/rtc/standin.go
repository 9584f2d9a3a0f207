package rtc

import (
	"net"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

// Agents want local candidates, though all that they have is the endpoint's sockets: one address of each family stands for
// them. They are addresses that nobody has (RFC 5737, RFC 3849), since nobody is told; so interfaces may come and go.
const standInPort = 9 // likewise: discard

func standIns() [2]net.IP { return [2]net.IP{net.IPv4(192, 0, 2, 1).To4(), net.ParseIP("2001:db8::1")} }

// standInNet shows agents one interface with the stand-ins. It spares each of them asking the system.
type standInNet struct {
	stdnet.Net
	all []*transport.Interface
}

func newStandInNet(four, six bool) *standInNet {
	i := transport.NewInterface(net.Interface{Index: 1, MTU: maxDatagram, Name: "media", Flags: net.FlagUp})
	for family, ip := range standIns() {
		if family == 0 && four || family == 1 && six {
			i.AddAddress(&net.IPNet{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))})
		}
	}
	return &standInNet{all: []*transport.Interface{i}}
}

// Interfaces implements transport.Net.
func (n *standInNet) Interfaces() ([]*transport.Interface, error) { return n.all, nil }
