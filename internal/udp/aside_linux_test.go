package udp

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// TestSetAside: the kernel tells classes apart, and all that a remote sends comes to one reader, in order within its class, each behind
// what cannot wait. What comes thick of those that can is read rarely, and all the same.
func TestSetAside(t *testing.T) {
	later := Class{First: Span{10, 20}, Second: Span{100, 110}}
	other := Class{First: Span{0, 3}, Second: Any()}
	for name, tc := range map[string]struct {
		listen netip.AddrPort
		from   netip.AddrPort
		n      int
	}{
		"one socket":             {loopback4, loopback4, 1},
		"three sockets":          {loopback4, loopback4, 3},
		"three, IPv6":            {loopback6, loopback6, 3},
		"three, IPv4 over both":  {netip.MustParseAddrPort("[::]:0"), loopback4, 3},
		"three, IPv6 over both":  {netip.MustParseAddrPort("[::]:0"), loopback6, 3},
		"one, IPv4 through both": {netip.MustParseAddrPort("[::]:0"), loopback4, 1},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := ListenShards(Config{Listen: tc.listen, Aside: Aside{Classes: []Class{other, later}, Wait: 10 * time.Millisecond}}, tc.n)
			if err != nil {
				t.Fatal(err)
			}
			if len(all) != tc.n || all[0].sock.aside == nil {
				t.Fatalf("%d sockets, %v aside", len(all), all[0].sock.aside)
			}
			defer func() {
				if err := all.Close(); err != nil {
					t.Error(err)
				}
			}()
			to := AddrFrom(netip.AddrPortFrom(tc.from.Addr(), all.LocalAddr().Port()))
			used := map[int]bool{}
			for range 16 {
				from := listen(t, tc.from)
				for _, b := range []string{"\x0a\x6e", "\x09\x6e", "\x14\x6f", "\x03\x00", "\x04\xff", "\x14\x64", "\x15\x65"} {
					if _, err := from.WriteTo([]byte(b), to); err != nil {
						t.Fatal(err)
					}
				}
				at := -1
				for i, c := range all {
					if got := arrived(t, c.sock.aside); len(got) > 0 {
						at = i
						expect(t, "aside", got, "\x0a\x6e", "\x03\x00", "\x14\x64")
						expect(t, "at once", arrived(t, c.sock), "\x09\x6e", "\x14\x6f", "\x04\xff", "\x15\x65")
					}
				}
				if at < 0 {
					t.Fatal("nothing was set aside")
				}
				used[at] = true
			}
			if len(used) != tc.n {
				t.Errorf("16 remotes lie on %d of %d sockets", len(used), tc.n)
			}
		})
	}
}

// arrived takes what lies in a socket; loopback delivers within the call that sends.
func arrived(t *testing.T, s *socket) (all []string) {
	t.Helper()
	ms := messages(maxRead, 100)
	n, _, err := s.receive(newReader(), ms)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ms[:n] {
		all = append(all, string(m.Buf[:m.N]))
	}
	return all
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %q, want %q", what, got, want)
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
}

// TestAsideWaits: what can wait is read with others, or when it has waited for as long as it may; nothing is lost and nothing else waits.
func TestAsideWaits(t *testing.T) {
	const wait = 20 * time.Millisecond
	all, err := ListenShards(Config{Listen: loopback4, Stamp: true, Aside: Aside{Classes: []Class{{Second: Any()}}, Wait: wait}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := all.Close(); err != nil {
			t.Error(err)
		}
	}()
	from, to := listen(t, loopback4), AddrFrom(all.LocalAddr())
	const many = 500
	go func() {
		for i := range uint32(many) {
			_, _ = from.WriteTo(binary.BigEndian.AppendUint32(nil, i), to)
			time.Sleep(time.Millisecond)
		}
		_, _ = from.WriteTo([]byte{255, 255}, to)
	}()
	ms, reads := messages(maxRead, 100), 0
	for next := uint32(0); ; reads++ {
		n, err := all[0].Read(ms)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ms[:n] {
			if m.N == 2 {
				if m.Waited > wait/2 {
					t.Logf("what cannot wait has waited for %s", m.Waited) // on a busy machine
				}
				continue
			}
			if got := binary.BigEndian.Uint32(m.Buf); got != next {
				t.Fatalf("datagram %d after %d", got, next-1)
			}
			next++
		}
		if next == many {
			break
		}
	}
	if reads > many*3/4 {
		t.Errorf("%d reads for %d datagrams", reads, many)
	}
}
