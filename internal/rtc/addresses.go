package rtc

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// addressesFor is how long this machine's list of addresses is good: interfaces come and go.
const addressesFor = 5 * time.Second

// addresses knows where an endpoint can be reached. It is safe for concurrent use.
type addresses struct {
	bound      netip.AddrPort
	configured []netip.AddrPort // from outside, best first
	list       func() ([]net.Addr, error)

	mu    sync.Mutex
	local []netip.AddrPort // of this machine; empty when that could never be found out
	at    time.Time        // when local was listed
}

// newAddresses of a socket bound to an address. It fails where the endpoint could be reached nowhere.
func newAddresses(bound netip.AddrPort, advertise []string, list func() ([]net.Addr, error)) (*addresses, error) {
	a := &addresses{bound: bound, list: list}
	for _, s := range advertise {
		ap, err := parseAdvertised(s)
		if err != nil {
			return nil, err
		}
		if ap.Port() == 0 {
			ap = netip.AddrPortFrom(ap.Addr(), bound.Port())
		}
		a.configured = append(a.configured, ap)
	}
	if len(a.all()) == 0 {
		return nil, errors.New("this machine has no address to be reached at")
	}
	return a, nil
}

// parseAdvertised reads an address, or an address and port; port 0 stands for the one that is listened on.
func parseAdvertised(s string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(s)
	if err == nil && ap.Port() == 0 {
		return ap, fmt.Errorf("%s: port 0 can be reached nowhere", s)
	}
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return ap, fmt.Errorf("%q is no IP address or address:port; names are not possible, since clients are told addresses", s)
		}
		ap = netip.AddrPortFrom(addr, 0)
	}
	addr := ap.Addr().Unmap()
	if addr.IsUnspecified() || addr.IsMulticast() || addr.IsLinkLocalUnicast() || addr.Zone() != "" || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return ap, fmt.Errorf("%s is no address that others reach a host at", addr)
	}
	return netip.AddrPortFrom(addr, ap.Port()), nil
}

// all returns the configured addresses and then this machine's own, without repetition.
func (a *addresses) all() []netip.AddrPort {
	all := slices.Clone(a.configured)
	for _, l := range a.own(time.Now()) {
		if !slices.Contains(all, l) {
			all = append(all, l)
		}
	}
	return all
}

// own returns this machine's addresses that the socket listens on. Where they cannot be listed now, the last ones count.
func (a *addresses) own(now time.Time) []netip.AddrPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.bound.Addr().IsUnspecified() {
		return []netip.AddrPort{a.bound}
	}
	if a.local != nil && now.Sub(a.at) < addressesFor {
		return a.local
	}
	a.at = now
	if all, err := a.list(); err == nil {
		a.local = nil
		for _, addr := range reachable(all, a.bound.Addr().Is6()) {
			a.local = append(a.local, netip.AddrPortFrom(addr, a.bound.Port()))
		}
	}
	return a.local
}

// reachable picks the unicast addresses that others can reach, loopback only if there is nothing else. Link-local IPv6 is
// left out: its zone means nothing to anybody else.
func reachable(all []net.Addr, six bool) []netip.Addr {
	var global, loopback []netip.Addr // IPv4 first: other nodes may have nothing else
	for _, a := range all {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		switch addr := prefix.Addr().Unmap(); {
		case addr.Is6() && (!six || addr.IsLinkLocalUnicast()):
		case addr.IsLoopback():
			loopback = append(loopback, addr)
		default:
			global = append(global, addr)
		}
	}
	if len(global) == 0 {
		global = loopback
	}
	slices.SortStableFunc(global, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return global
}

// Addresses returns every address and port that this endpoint can be reached at: first those that were configured, best
// first, then the machine's own as they are now.
func (e *Endpoint) Addresses() []netip.AddrPort { return e.addresses.all() }

// Advertised is the first address that clients are told, as host:port.
func (e *Endpoint) Advertised() string { return e.Addresses()[0].String() }

// Candidates returns the values of the a=candidate lines that reach this endpoint (RFC 8839 section 5.1), best first.
func (e *Endpoint) Candidates() []string {
	var lines []string
	for i, a := range e.Addresses() {
		preference := 65535 - i
		lines = append(lines, fmt.Sprintf("%d 1 udp %d %s %d typ host", i+1, 126<<24|preference<<8|255, a.Addr(), a.Port()))
		if e.listener != nil {
			// RFC 6544 section 4.2: passive TCP, below every UDP candidate.
			lines = append(lines, fmt.Sprintf("%d 1 tcp %d %s %d typ host tcptype passive",
				i+101, 90<<24|(4<<13|preference&0x1fff)<<8|255, a.Addr(), a.Port()))
		}
	}
	return lines
}
