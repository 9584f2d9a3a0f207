package system_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// The NATs of the lab are what they are called: coturn's tool for NAT behavior discovery (RFC 5780) says so.
func TestHomesAreWhatTheySay(t *testing.T) {
	w := lab.NewWorld(t, lab.Path{}, "eu")
	eu := w.Regions[0]
	one, two := eu.Address().String(), eu.Address().String()
	stun := eu.Run(t, "turnserver", "-n", "--no-auth", "-L", one, "-L", two, "--no-cli", "--log-file", "stdout",
		"--no-tls", "--no-dtls", "--pidfile", filepath.Join(t.TempDir(), "pid"))
	defer stun.Kill(t)
	figures := newTable(t, "kind", "mapping", "filtering", "")
	type kind struct {
		access             lab.Access
		mapping, filtering string
		home               *lab.Home
		found              string
	}
	kinds := []*kind{
		{access: lab.FullCone(), mapping: "Endpoint Independent", filtering: "Endpoint Independent"},
		{access: lab.PortRestricted(), mapping: "Endpoint Independent", filtering: "Address and Port Dependent"},
		{access: lab.Symmetric(), mapping: "Address and Port Dependent", filtering: "Address and Port Dependent"},
	}
	for _, k := range kinds {
		k.home = lab.NewHome(t, w, k.access)
	}
	lab.Until(t, 10*time.Second, "the STUN server listens", func() bool {
		conn, err := kinds[0].home.Dial(t.Context(), net.JoinHostPort(two, "3479")) // the last of its four
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	t.Run("all", func(t *testing.T) {
		for _, k := range kinds {
			t.Run(k.access.Name, func(t *testing.T) {
				t.Parallel() // they wait for packets that do not come
				k.found = k.home.Output(t, "turnutils_natdiscovery", "-m", "-f", "-L", k.home.Address().String(), one)
			})
		}
	})
	for _, k := range kinds {
		good := strings.Contains(k.found, k.mapping+" Mapping!") && strings.Contains(k.found, k.filtering+" Filtering!") &&
			strings.Contains(k.found, "UDP reflexive addr: "+k.home.Public().String())
		figures.add(k.access.Name, k.mapping, k.filtering, verdict(good))
		if !good {
			t.Errorf("%s is found to be\n%s", k.access.Name, k.found)
		}
	}
}

// Firewalls let through what they are to, and are silent about the rest, or refuse it.
func TestHomesHaveFirewalls(t *testing.T) {
	w := lab.NewWorld(t, lab.Path{}, "eu")
	eu := w.Regions[0]
	server := eu.ListenUDP(t)
	address := netip.MustParseAddrPort(server.LocalAddr().String())
	refused, silent := syscall.ECONNREFUSED, syscall.ETIMEDOUT
	for _, tc := range []struct {
		access          lab.Access
		udp, tcp, https error // nobody listens to TCP: what is let through is refused by the region
	}{
		{lab.Open(), nil, refused, refused},
		{lab.FullCone(), nil, refused, refused},
		{lab.UDPBlocked(), silent, refused, refused},
		{lab.UDPBlocked().Rejecting(), refused, refused, refused},
		{lab.OnlyTCP443(), silent, silent, refused},
		{lab.OnlyTCP443().Rejecting(), refused, refused, refused},
	} {
		h := lab.NewHome(t, w, tc.access)
		t.Run(tc.access.Name, func(t *testing.T) {
			if got := send(t, h, server, address); !errors.Is(got, tc.udp) {
				t.Errorf("UDP: %v, want %v", got, tc.udp)
			}
			for port, want := range map[uint16]error{7880: tc.tcp, 443: tc.https} {
				if got := call(t, h, netip.AddrPortFrom(address.Addr(), port)); !errors.Is(got, want) {
					t.Errorf("TCP to %d: %v, want %v", port, got, want)
				}
			}
		})
	}
}

// patience is how long a firewall's silence is listened to.
const patience = 200 * time.Millisecond

// send sends a datagram out of a home and has it answered.
func send(t *testing.T, h *lab.Home, server *net.UDPConn, to netip.AddrPort) error {
	t.Helper()
	conn, err := h.Net().DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	_ = server.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Write([]byte("hello")); err != nil {
		return err
	}
	buf := make([]byte, 16)
	if _, from, err := server.ReadFromUDPAddrPort(buf); err == nil {
		if from.Addr() != h.Public() {
			return fmt.Errorf("seen at %s, want %s", from, h.Public())
		}
		_, _ = server.WriteToUDPAddrPort([]byte("there"), from)
	}
	_, err = conn.Read(buf)
	return plain(err)
}

func call(t *testing.T, h *lab.Home, to netip.AddrPort) error {
	t.Helper()
	conn, err := h.Net().CreateDialer(&net.Dialer{Timeout: patience}).Dial("tcp4", to.String())
	if err == nil {
		conn.Close()
	}
	return plain(err)
}

// plain makes a timeout of Go's one of the system's.
func plain(err error) error {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return syscall.ETIMEDOUT
	}
	return err
}

// A home that changes its network has another address, inside and outside, and what was open before leads nowhere.
func TestHomesSwitch(t *testing.T) {
	w := lab.NewWorld(t, lab.Path{}, "eu")
	server := w.Regions[0].ListenUDP(t)
	address := netip.MustParseAddrPort(server.LocalAddr().String())
	h := lab.NewHome(t, w, lab.PortRestricted())
	if err := send(t, h, server, address); err != nil {
		t.Fatal(err)
	}
	private, public := h.Address(), h.Public()
	old, err := h.Net().DialUDP("udp4", nil, net.UDPAddrFromAddrPort(address))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	h.Leave(t)
	if err := call(t, h, address); !errors.Is(err, syscall.ENETUNREACH) || h.Address().IsValid() {
		t.Errorf("without a network: %v from %s", err, h.Address())
	}
	if all, err := h.Net().Interfaces(); err != nil || len(all) != 0 {
		t.Errorf("without a network there are interfaces: %v, %v", all, err)
	}
	h.Enter(t, lab.Symmetric())
	if h.Address() == private || h.Public() == public {
		t.Errorf("still at %s, seen at %s", private, public)
	}
	if err := send(t, h, server, address); err != nil {
		t.Errorf("in the new network: %v", err)
	}
	_, _ = old.Write([]byte("from the past"))
	_ = server.SetReadDeadline(time.Now().Add(patience))
	if n, from, err := server.ReadFromUDPAddrPort(make([]byte, 16)); err == nil {
		t.Errorf("%d bytes came from a socket of the old network, by %s", n, from)
	}
}
