package rtc

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// interfaces is a machine's addresses, in the text form of CIDR.
func interfaces(cidrs ...string) func() ([]net.Addr, error) {
	return func() (all []net.Addr, err error) {
		for _, c := range cidrs {
			ip, network, err := net.ParseCIDR(c)
			if err != nil {
				return nil, err
			}
			all = append(all, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		return all, nil
	}
}

func TestAddresses(t *testing.T) {
	machine := interfaces("127.0.0.1/8", "::1/128", "10.0.0.5/24", "fe80::1/64", "2001:db8::5/64")
	for name, tc := range map[string]struct {
		bound     string
		advertise []string
		machine   func() ([]net.Addr, error)
		want      string
	}{
		"both families":            {"[::]:7881", nil, machine, "10.0.0.5:7881 [2001:db8::5]:7881"},
		"IPv4 alone":               {"0.0.0.0:7881", nil, machine, "10.0.0.5:7881"},
		"one address":              {"10.0.0.5:7881", nil, machine, "10.0.0.5:7881"},
		"nothing but loopback":     {"[::]:7881", nil, interfaces("127.0.0.1/8", "::1/128"), "127.0.0.1:7881 [::1]:7881"},
		"IPv6 listed first":        {"[::]:7881", nil, interfaces("2001:db8::5/64", "10.0.0.5/24"), "10.0.0.5:7881 [2001:db8::5]:7881"},
		"no global IPv6":           {"[::]:7881", nil, interfaces("10.0.0.5/24", "fe80::1/64"), "10.0.0.5:7881"},
		"behind a 1:1 NAT":         {"[::]:7881", []string{"203.0.113.7"}, machine, "203.0.113.7:7881 10.0.0.5:7881 [2001:db8::5]:7881"},
		"a port of its own":        {"0.0.0.0:7881", []string{"203.0.113.7:17881"}, machine, "203.0.113.7:17881 10.0.0.5:7881"},
		"several outside":          {"[::]:7881", []string{"203.0.113.7", "[2001:db8:1::7]:443"}, interfaces("10.0.0.5/24"), "203.0.113.7:7881 [2001:db8:1::7]:443 10.0.0.5:7881"},
		"one of the machine's own": {"[::]:7881", []string{"2001:db8::5"}, machine, "[2001:db8::5]:7881 10.0.0.5:7881"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := newAddresses(netip.MustParseAddrPort(tc.bound), tc.advertise, tc.machine)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, ap := range a.all() {
				got = append(got, ap.String())
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("addresses\n%s, want\n%s", s, tc.want)
			}
		})
	}
	if _, err := newAddresses(netip.MustParseAddrPort("[::]:1"), nil, interfaces()); err == nil {
		t.Error("an endpoint without any address was made")
	}
}

// TestAddressesChange: an interface that comes or goes is noticed; a machine that cannot say keeps the last list.
func TestAddressesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		machine := interfaces("10.0.0.5/24")
		a, err := newAddresses(netip.MustParseAddrPort("[::]:7881"), nil, func() ([]net.Addr, error) { return machine() })
		if err != nil {
			t.Fatal(err)
		}
		was := a.all()
		machine = interfaces("10.0.1.9/24", "2001:db8::9/64")
		if got := a.all(); !slices.Equal(got, was) {
			t.Errorf("listed again at once: %v", got)
		}
		time.Sleep(addressesFor)
		is := a.all()
		if len(is) != 2 || is[0].String() != "10.0.1.9:7881" {
			t.Errorf("%v after a change", is)
		}
		machine = func() ([]net.Addr, error) { return nil, errors.New("no netlink") }
		time.Sleep(addressesFor)
		if got := a.all(); !slices.Equal(got, is) {
			t.Errorf("%v when the machine cannot say", got)
		}
	})
}

func TestValidateAdvertise(t *testing.T) {
	for name, tc := range map[string]struct {
		listen    string
		advertise []string
		fault     string // part of it; empty: fine
	}{
		"an address":             {"[::]:7881", []string{"203.0.113.7"}, ""},
		"with a port":            {"[::]:7881", []string{"203.0.113.7:17881"}, ""},
		"both families":          {"[::]:7881", []string{"203.0.113.7", "[2001:db8::7]:7881"}, ""},
		"two ports":              {"[::]:7881", []string{"203.0.113.7:1", "203.0.113.7:2"}, ""},
		"a name":                 {"[::]:7881", []string{"sfu.example.org"}, "names are not possible"},
		"a name with a port":     {"[::]:7881", []string{"sfu.example.org:7881"}, "names are not possible"},
		"a URL":                  {"[::]:7881", []string{"https://203.0.113.7"}, "no IP address"},
		"port 0":                 {"[::]:7881", []string{"203.0.113.7:0"}, "port 0"},
		"unspecified":            {"[::]:7881", []string{"0.0.0.0"}, "no address that others reach"},
		"multicast":              {"[::]:7881", []string{"ff02::1"}, "no address that others reach"},
		"broadcast":              {"[::]:7881", []string{"255.255.255.255"}, "no address that others reach"},
		"link-local":             {"[::]:7881", []string{"fe80::1"}, "no address that others reach"},
		"link-local with a zone": {"[::]:7881", []string{"fe80::1%eth0"}, "no address that others reach"},
		"twice":                  {"[::]:7881", []string{"203.0.113.7", "203.0.113.7"}, "twice"},
		"IPv6 behind IPv4":       {"0.0.0.0:7881", []string{"2001:db8::7"}, "listen takes only IPv4"},
		"IPv4 behind IPv6":       {"[2001:db8::1]:7881", []string{"203.0.113.7"}, "listen takes only IPv6"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Defaults()
			cfg.Listen, cfg.Advertise = tc.listen, tc.advertise
			err := cfg.Validate()
			if tc.fault == "" && err != nil || tc.fault != "" && (err == nil || !strings.Contains(err.Error(), tc.fault)) {
				t.Errorf("%v, want %q", err, tc.fault)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "advertise: ") {
				t.Errorf("%v does not name its key", err)
			}
		})
	}
}
