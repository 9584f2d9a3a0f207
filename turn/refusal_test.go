package turn

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// The special-purpose ranges of IANA's two registries, and what else is not the address of one host on the Internet, or is another
// way to write one.
var special = []struct{ name, prefix string }{
	{"this network", "0.0.0.0/8"},
	{"this host", "0.0.0.0/32"},
	{"private use", "10.0.0.0/8"},
	{"shared address space", "100.64.0.0/10"},
	{"loopback", "127.0.0.0/8"},
	{"link local, and the metadata services of clouds", "169.254.0.0/16"},
	{"private use", "172.16.0.0/12"},
	{"IETF protocol assignments", "192.0.0.0/24"},
	{"IPv4 service continuity", "192.0.0.0/29"},
	{"IPv4 dummy address", "192.0.0.8/32"},
	{"PCP anycast", "192.0.0.9/32"},
	{"TURN anycast", "192.0.0.10/32"},
	{"NAT64/DNS64 discovery", "192.0.0.170/31"},
	{"documentation", "192.0.2.0/24"},
	{"AS112-v4", "192.31.196.0/24"},
	{"AMT", "192.52.193.0/24"},
	{"6to4 relay anycast", "192.88.99.0/24"},
	{"6a44 relay anycast", "192.88.99.2/32"},
	{"private use", "192.168.0.0/16"},
	{"direct delegation AS112", "192.175.48.0/24"},
	{"benchmarking", "198.18.0.0/15"},
	{"documentation", "198.51.100.0/24"},
	{"documentation", "203.0.113.0/24"},
	{"multicast", "224.0.0.0/4"},
	{"reserved", "240.0.0.0/4"},
	{"limited broadcast", "255.255.255.255/32"},
	{"the Internet", "8.8.8.0/24"},

	{"loopback", "::1/128"},
	{"unspecified", "::/128"},
	{"IPv4-compatible", "::7f00:0/104"},
	{"IPv4-mapped", "::ffff:0:0/96"},
	{"IPv4-mapped loopback", "::ffff:127.0.0.0/104"},
	{"IPv4-translated", "::ffff:0:0:0/96"},
	{"NAT64", "64:ff9b::/96"},
	{"NAT64 of loopback", "64:ff9b::7f00:0/104"},
	{"NAT64 of local use", "64:ff9b:1::/48"},
	{"discard only", "100::/64"},
	{"dummy", "100:0:0:1::/64"},
	{"IETF protocol assignments", "2001::/23"},
	{"Teredo", "2001::/32"},
	{"PCP anycast", "2001:1::1/128"},
	{"TURN anycast", "2001:1::2/128"},
	{"DNS-SD anycast", "2001:1::3/128"},
	{"benchmarking", "2001:2::/48"},
	{"AMT", "2001:3::/32"},
	{"AS112-v6", "2001:4:112::/48"},
	{"ORCHID", "2001:10::/28"},
	{"ORCHIDv2", "2001:20::/28"},
	{"drone remote identification", "2001:30::/28"},
	{"documentation", "2001:db8::/32"},
	{"6to4", "2002::/16"},
	{"6to4 of loopback", "2002:7f00::/24"},
	{"direct delegation AS112", "2620:4f:8000::/48"},
	{"documentation", "3fff::/20"},
	{"segment routing", "5f00::/16"},
	{"unique local", "fc00::/7"},
	{"link local", "fe80::/10"},
	{"site local of old", "fec0::/10"},
	{"multicast", "ff00::/8"},
	{"the Internet", "2606:4700::/32"},
}

// ends returns the first and the last address of a range, and one between them.
func ends(prefix netip.Prefix) []netip.Addr {
	first, last, middle := prefix.Masked().Addr().AsSlice(), prefix.Masked().Addr().AsSlice(), prefix.Masked().Addr().AsSlice()
	for bit := prefix.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
		if bit%3 == 0 {
			middle[bit/8] |= 1 << (7 - bit%8)
		}
	}
	var all []netip.Addr
	for _, raw := range [][]byte{first, middle, last} {
		addr, _ := netip.AddrFromSlice(raw)
		all = append(all, addr)
	}
	return all
}

// dualRig relays to one SFU, which stands on loopback with an address of each family.
func dualRig(t *testing.T, perSession int) (r *rig, four, six netip.AddrPort) {
	t.Helper()
	four, six = echo(t, "127.0.0.1:0"), echo(t, "[::1]:0")
	cfg := testConfig()
	cfg.Listen = "[::]:0"
	cfg.Advertise = []string{"127.0.0.1", "::1"}
	r = newRigWith(t, cfg, Deps{}, func(s *Server) { s.perSession, s.pace.perAddress = perSession, perSession }, four, six)
	return r, four, six
}

func ofFamily(family byte) func(*writer) {
	return func(w *writer) { w.attr(attrAddressFamily, []byte{family, 0, 0, 0}) }
}

// Whatever the method, nobody but the SFU is reached, be it at the SFU's own port or at another.
func TestNobodyElseIsReached(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			r, four, six := dualRig(t, 1<<20)
			for _, family := range []struct {
				code byte
				sfu  netip.AddrPort
			}{{familyIPv4, four}, {familyIPv6, six}} {
				a := dialAgent(t, network, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), r.Addr().Port()).String(), "", "")
				a.user, a.password = r.credential("pt_prober")
				a.want(a.allocate(ofFamily(family.code)), 0, "Allocate")
				var probes []netip.AddrPort
				for _, s := range special {
					for _, addr := range ends(netip.MustParsePrefix(s.prefix)) {
						for _, port := range []uint16{family.sfu.Port(), 0, 53, 22, 80, family.sfu.Port() + 1} {
							if at := netip.AddrPortFrom(addr, port); at != four && at != six {
								probes = append(probes, at)
							}
						}
					}
				}
				probes = append(probes, netip.AddrPortFrom(netip.AddrFrom16(four.Addr().As16()), four.Port())) // the SFU, mapped
				for i, at := range probes {
					a.want(a.permit(at), codeForbidden, fmt.Sprintf("CreatePermission %s", at))
					a.want(a.permit(family.sfu, at), codeForbidden, fmt.Sprintf("CreatePermission of the SFU and %s", at))
					a.want(a.bind(minChannel+uint16(i%200), at), codeForbidden, fmt.Sprintf("ChannelBind %s", at))
					a.send(at, []byte("x"))
					a.channel(minChannel+uint16(i%200), []byte("x"))
				}
				a.want(a.refresh(time.Hour), 0, "Refresh") // all before it was worked off
				sessions := allSessions(r)
				if len(sessions) != 1 {
					t.Fatalf("%d allocations, want 1", len(sessions))
				}
				if sent := sessions[0].relay.Stats(); sent.Sent+sent.SendErrors != 0 {
					t.Errorf("%d datagrams left the relay", sent.Sent+sent.SendErrors)
				}
				a.want(a.bind(minChannel, family.sfu), 0, "ChannelBind of the SFU")
				a.exchanges(func(b []byte) { a.channel(minChannel, b) }, "over the channel")
				a.exchanges(func(b []byte) { a.send(family.sfu, b) }, "by indication")
				a.want(a.refresh(0), 0, "Refresh to nothing")
			}
		})
	}
}

func allSessions(r *rig) (all []*session) {
	for _, d := range r.doors {
		all = append(all, d.all()...)
	}
	return all
}

// What a stranger sends to the relayed address does not reach the client, nor does another port of the SFU's machine.
func TestOnlyPeersReachTheClient(t *testing.T) {
	sfu := echo(t, "127.0.0.1:0")
	r := newRig(t, testConfig(), Deps{}, sfu)
	a := newAgent(t, r, "udp", "pt_1")
	a.want(a.allocate(), 0, "Allocate")
	a.want(a.permit(sfu), 0, "CreatePermission")
	relayed := allSessions(r)[0].relay.LocalAddr()
	stranger := dialAgent(t, "udp", relayed.String(), "", "")
	stranger.write([]byte("from nobody"))
	a.exchanges(func(b []byte) { a.send(sfu, b) }, "from the SFU alone")
}

func TestOnlyUDPIsRelayed(t *testing.T) {
	r := newRigWith(t, testConfig(), Deps{}, func(s *Server) { s.pace.perAddress = 1 << 20 })
	a := newAgent(t, r, "udp", "pt_1")
	for protocol := range 256 {
		if protocol == transportUDP {
			continue
		}
		got := a.ask(methodAllocate, func(w *writer) { w.attr(attrTransport, []byte{byte(protocol), 0, 0, 0}) })
		a.want(got, codeTransport, fmt.Sprint("transport ", protocol))
	}
	a.want(a.ask(methodAllocate, nil), codeBadRequest, "no transport")
	if n := r.allocations.len(); n != 0 {
		t.Errorf("%d allocations", n)
	}
}

func TestAllocateRefusals(t *testing.T) {
	r := newRig(t, testConfig(), Deps{})
	for _, tc := range []struct {
		name string
		with func(*writer)
		want int
	}{
		{"IPv6, which this relay has not", ofFamily(familyIPv6), codeFamily},
		{"IPv4", ofFamily(familyIPv4), 0},
		{"no family at all", ofFamily(7), codeFamily},
		{"both families", func(w *writer) { w.attr(attrAdditionalFamily, []byte{familyIPv6, 0, 0, 0}) }, codeFamily},
		{"an even port", func(w *writer) { w.attr(attrEvenPort, []byte{0}) }, 0},
		{"an even port and the next", func(w *writer) { w.attr(attrEvenPort, []byte{0x80}) }, codeCapacity},
		{"a reserved port", func(w *writer) { w.attr(attrReservation, make([]byte, 8)) }, codeCapacity},
		{"unfragmented", func(w *writer) { w.attr(attrDontFragment, nil) }, codeUnknownAttribute},
		{"something unknown", func(w *writer) { w.attr(0x7FFE, nil) }, codeUnknownAttribute},
		{"something unknown that may be skipped", func(w *writer) { w.attr(0x8FFE, nil) }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAgent(t, r, "udp", "pt_1")
			a.want(a.allocate(tc.with), tc.want, "Allocate")
		})
	}
}
