package udp

import (
	"net"
	"net/netip"
	"testing"
	"unsafe"
)

func TestAddr(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"IPv4", "192.0.2.7:7881", "192.0.2.7:7881"},
		{"IPv4-mapped", "[::ffff:192.0.2.7]:7881", "192.0.2.7:7881"},
		{"IPv6", "[2001:db8::1]:443", "[2001:db8::1]:443"},
		{"zone in digits", "[fe80::1%3]:443", "[fe80::1%3]:443"},
		{"unspecified IPv4", "0.0.0.0:0", "0.0.0.0:0"},
		{"unspecified IPv6", "[::]:65535", "[::]:65535"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := AddrFrom(netip.MustParseAddrPort(tc.in))
			want := netip.MustParseAddrPort(tc.want)
			if got := a.AddrPort(); got != want {
				t.Errorf("AddrPort = %s, want %s", got, want)
			}
			if !a.IsValid() || a != AddrFrom(want) || a.String() != tc.want {
				t.Errorf("%v is not the same as %s", a, want)
			}
		})
	}
}

func TestAddrInvalid(t *testing.T) {
	for name, ap := range map[string]netip.AddrPort{
		"zero":       {},
		"lost zone":  netip.MustParseAddrPort("[fe80::1%no-such-interface]:1"),
		"index 2^32": netip.MustParseAddrPort("[fe80::1%4294967296]:1"),
	} {
		if a := AddrFrom(ap); a.IsValid() || a != (Addr{}) || a.AddrPort().IsValid() {
			t.Errorf("%s: got %v", name, a)
		}
	}
}

func TestAddrNamedZone(t *testing.T) {
	all, err := net.Interfaces()
	if err != nil || len(all) == 0 {
		t.Fatal("a host without interfaces", err)
	}
	ip := netip.MustParseAddr("fe80::1")
	named := AddrFrom(netip.AddrPortFrom(ip.WithZone(all[0].Name), 9))
	if int(named.zone) != all[0].Index {
		t.Errorf("zone = %d, want %d", named.zone, all[0].Index)
	}
	if again := AddrFrom(named.AddrPort()); again != named {
		t.Errorf("there and back gives %v, want %v", again, named)
	}
}

func TestAddrHasNoPadding(t *testing.T) {
	if size := unsafe.Sizeof(Addr{}); size != 24 {
		t.Errorf("an Addr takes %d bytes", size)
	}
}
