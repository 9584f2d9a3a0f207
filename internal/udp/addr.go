package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
)

// Addr is a socket address in 24 bytes: comparable, cheap to hash, and laid out so that it is copied, never converted, on
// its way to and from the kernel. IPv4 and IPv4-mapped addresses are the same Addr. The zero Addr is no address.
type Addr struct {
	ip   [16]byte // IPv4 in its mapped form
	zone uint32   // interface index of a link-local IPv6 address, else 0
	port [2]byte  // network byte order
	kind addrKind // fills what would be padding, so that comparing and hashing run over plain memory
}

type addrKind uint16

const (
	noAddr addrKind = iota
	ipv4
	ipv6
)

// AddrFrom converts ap. Zones become interface indexes; an invalid ap and a zone that names no interface give the zero Addr.
func AddrFrom(ap netip.AddrPort) Addr {
	ip := ap.Addr().Unmap()
	if !ip.IsValid() {
		return Addr{}
	}
	a := Addr{ip: ip.As16(), kind: ipv6}
	binary.BigEndian.PutUint16(a.port[:], ap.Port())
	if ip.Is4() {
		a.kind = ipv4
		return a
	}
	if zone := ip.Zone(); zone != "" {
		index, ok := zoneIndex(zone)
		if !ok {
			return Addr{}
		}
		a.zone = index
	}
	return a
}

// zoneIndex accepts an index in digits, which is what AddrPort makes, before it asks the system about names.
func zoneIndex(zone string) (uint32, bool) {
	if index, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(index), true
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, false
	}
	return uint32(ifi.Index), true
}

// AddrPort converts back. IPv4 is never in its mapped form, and a zone is the interface index in digits. The zero Addr
// gives the zero netip.AddrPort.
func (a Addr) AddrPort() netip.AddrPort {
	if a.kind == noAddr {
		return netip.AddrPort{}
	}
	ip := netip.AddrFrom16(a.ip).Unmap()
	if a.zone != 0 {
		ip = ip.WithZone(strconv.FormatUint(uint64(a.zone), 10))
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(a.port[:]))
}

// IsValid reports whether a is an address at all.
func (a Addr) IsValid() bool { return a.kind != noAddr }

// Is6 reports whether a is an IPv6 address; one that stands for an IPv4 address is not.
func (a Addr) Is6() bool { return a.kind == ipv6 }

// String is a's usual text form, for logs.
func (a Addr) String() string { return a.AddrPort().String() }
