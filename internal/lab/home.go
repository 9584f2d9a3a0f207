package lab

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/pion/transport/v4"

	"github.com/parley-sfu/parley/internal/lab/network"
	"github.com/parley-sfu/parley/signal/client"
)

// Access is how a home comes to the network: what its router does (RFC 4787), and the way to the regions from there.
type Access struct {
	Name string
	Path Path // between the home and each region

	gate   network.Gate
	mapped bool // by a NAT
}

// The kinds of access. All but Open have a NAT.

// Open has a public address and nothing in between.
func Open() Access { return Access{Name: "open"} }

// FullCone maps and filters whatever the far end is.
func FullCone() Access { return Access{Name: "full-cone", mapped: true} }

// PortRestricted maps whatever the far end is, and lets in who was sent something: most home routers.
func PortRestricted() Access {
	return Access{Name: "port-restricted", mapped: true, gate: network.Gate{Filtering: network.AddressAndPortDependent}}
}

// Symmetric maps every far end to another port, and lets in nobody else.
func Symmetric() Access {
	return Access{Name: "symmetric", mapped: true, gate: network.Gate{
		Mapping: network.AddressAndPortDependent, Filtering: network.AddressAndPortDependent,
	}}
}

// UDPBlocked is a port-restricted NAT that lets TCP out, and says nothing about the rest.
func UDPBlocked() Access {
	a := PortRestricted()
	a.Name, a.gate.Pass = "UDP blocked", network.PassTCP
	return a
}

// OnlyTCP443 is a port-restricted NAT that lets out TCP to port 443, and says nothing about the rest.
func OnlyTCP443() Access {
	a := PortRestricted()
	a.Name, a.gate.Pass = "only TCP 443", network.PassTCP443
	return a
}

// Rejecting makes the firewall of an access answer what it does not let out, TCP with a reset and UDP by ICMP.
func (a Access) Rejecting() Access {
	a.Name, a.gate.Reject = a.Name+", rejecting", true
	return a
}

// Over gives the access a path.
func (a Access) Over(p Path) Access {
	a.Path = p
	return a
}

// Home is a network namespace that reaches the regions of a World through one access at a time: a flat behind its router, a
// phone in its mobile network. It has one private address of its own (with Open, a public one). All its methods but those that
// take a testing.TB are safe for concurrent use, and those must be called from one goroutine at a time.
type Home struct {
	Namespace string // for programs that are to run in it; see Browse

	world *World
	space *namespace
	moves int
	end   int // of the WAN, which is the home's now

	mu      sync.Mutex // protects following
	private netip.Addr // invalid: there is no network
	public  netip.Addr
	device  string
}

// homes is where the public addresses of accesses are from; each has 16.
func homes(number int) netip.Prefix {
	at := 192<<8 + number*16
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 77, byte(at >> 8), byte(at)}), 28)
}

// NewHome makes a home that is gone when the test is over.
func NewHome(tb testing.TB, w *World, access Access) *Home {
	tb.Helper()
	w.homes++
	space := newNamespace(tb, fmt.Sprint("home", w.homes))
	h := &Home{Namespace: space.name, world: w, space: space}
	h.Enter(tb, access)
	return h
}

// Leave takes the home's network away: its interface is gone, with its address.
func (h *Home) Leave(tb testing.TB) {
	tb.Helper()
	h.mu.Lock()
	device := h.device
	h.private, h.public, h.device = netip.Addr{}, netip.Addr{}, ""
	h.mu.Unlock()
	if device != "" {
		h.space.ip(tb, "link", "delete", device)
	}
}

// Enter gives a home without a network another one: a new interface with a new address, behind a router of its own, which
// knows nothing of the one before.
func (h *Home) Enter(tb testing.TB, access Access) {
	tb.Helper()
	if h.device != "" {
		tb.Fatal("lab: the home has a network; leave it first")
	}
	prefix := homes(h.world.accesses)
	h.world.accesses++
	h.moves++
	device, public := fmt.Sprint("net", h.moves), prefix.Addr().Next()
	private := public
	if access.mapped {
		private = netip.AddrFrom4([4]byte{192, 168, byte(h.moves), 2})
		access.gate.Public = public
	}
	h.end = h.world.WAN.attach(tb, h.space, network.End{Prefix: prefix, Device: device, Path: access.Path, Gate: access.gate})
	h.space.ip(tb, "addr", "add", private.String()+"/24", "dev", device)
	h.space.ip(tb, "route", "add", "default", "dev", device)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.private, h.public, h.device = private, public, device
}

// Switch changes the home's network for another, as a phone does that leaves the reach of its Wi-Fi. In between there is none.
func (h *Home) Switch(tb testing.TB, access Access) {
	tb.Helper()
	h.Leave(tb)
	h.Enter(tb, access)
}

// Shape changes the ways from each region to the home, and back. A rate is that of each of these ways: homes with a bottleneck
// are for worlds of one region.
func (h *Home) Shape(down, up Path) {
	for _, r := range h.world.Regions {
		h.world.WAN.setOneWay(r.index, h.end, down)
		h.world.WAN.setOneWay(h.end, r.index, up)
	}
}

// Passages are what passed the bottleneck from a region to the home since they were last asked for.
func (h *Home) Passages(from *Region) []Passage { return h.world.WAN.passages(from.index, h.end) }

// Rebind has the home's router forget what it has mapped of UDP, as routers do: what goes on comes from other ports. TCP goes on.
func (h *Home) Rebind(tb testing.TB) {
	tb.Helper()
	h.world.WAN.call("Rebind", h.end, &network.Nothing{})
}

// Address is the home's own address now; invalid if there is no network.
func (h *Home) Address() netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.private
}

// Public is the address that the home is seen at now.
func (h *Home) Public() netip.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.public
}

// Net opens media sockets in the home, at the address that it has by then.
func (h *Home) Net() transport.Net { return &sockets{h.space, h.Address} }

// Dial opens a TCP connection from the home.
func (h *Home) Dial(ctx context.Context, address string) (conn net.Conn, err error) {
	err = h.space.do(func() error {
		conn, err = (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, "tcp4", address)
		return err
	})
	return conn, err
}

// HTTPClient makes requests from the home, by HTTPS with that configuration. It keeps no connection.
func (h *Home) HTTPClient(secure *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   secure,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return h.Dial(ctx, address)
		},
	}}
}

// Output runs a command in the home and returns what it prints, its errors included.
func (h *Home) Output(tb testing.TB, command string, args ...string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command, args...)
	inside(h.Namespace, cmd)
	out, err := cmd.CombinedOutput()
	if err != nil {
		tb.Fatalf("lab: %s: %v\n%s", command, err, out)
	}
	return string(out)
}

// Join brings a client that is in this home into a meeting through exactly that node, and takes it out when the test is over.
// Its other candidates stay for when the node dies.
func (h *Home) Join(tb testing.TB, n *Node, meeting string, how client.JoinOptions, opts client.Options) *client.Client {
	tb.Helper()
	how.HTTPClient = h.HTTPClient(n.secure())
	return join(tb, n, meeting, how, opts, h.Net())
}
