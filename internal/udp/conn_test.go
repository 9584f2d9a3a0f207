package udp

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestListenRefusesNoAddress(t *testing.T) {
	if _, err := Listen(Config{}); err == nil {
		t.Error("listened on no address")
	}
	if _, err := Listen(Config{Listen: netip.MustParseAddrPort("[fe80::1%no-such-interface]:0")}); err == nil {
		t.Error("listened in a zone that does not exist")
	}
	c := listen(t, loopback4)
	if second, err := Listen(Config{Listen: c.LocalAddr()}); err == nil {
		t.Error("listened twice on one port", second.Close())
	}
}

func TestReusePort(t *testing.T) {
	first, err := Listen(Config{Listen: loopback4, ReusePort: true})
	if err != nil {
		t.Fatal(err)
	}
	second, err := Listen(Config{Listen: first.LocalAddr(), ReusePort: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(first.Close(), second.Close()); err != nil {
		t.Error(err)
	}
}

func TestExchange(t *testing.T) {
	any4, any6 := netip.MustParseAddrPort("0.0.0.0:0"), netip.MustParseAddrPort("[::]:0")
	for _, tc := range []struct {
		name         string
		client, node netip.AddrPort
		via          netip.Addr // how the client reaches the node
	}{
		{"IPv4", loopback4, loopback4, loopback4.Addr()},
		{"IPv6", loopback6, loopback6, loopback6.Addr()},
		{"IPv4 to any", loopback4, any4, loopback4.Addr()},
		{"IPv4 to dual stack", loopback4, any6, loopback4.Addr()},
		{"IPv6 to dual stack", loopback6, any6, loopback6.Addr()},
		{"dual stack to IPv4", any6, loopback4, loopback4.Addr()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, node := listen(t, tc.client), listen(t, tc.node)
			to := AddrFrom(netip.AddrPortFrom(tc.via, node.LocalAddr().Port()))
			if _, err := client.WriteTo([]byte("ping"), to); err != nil {
				t.Fatal(err)
			}
			got, from := receive(t, node, 1)
			if string(got[0]) != "ping" {
				t.Errorf("node got %q", got[0])
			}
			if ap := from[0].AddrPort(); ap.Addr() != tc.via || ap.Port() != client.LocalAddr().Port() {
				t.Errorf("from %s, want %s and the port of %s", ap, tc.via, client.LocalAddr())
			}
			b := node.NewBatch()
			b.Queue(copy(b.Reserve(8), "pong"), from[0])
			if err := b.Flush(); err != nil {
				t.Fatal(err)
			}
			got, from = receive(t, client, 1)
			if string(got[0]) != "pong" || from[0] != to {
				t.Errorf("client got %q from %s, want it from %s", got[0], from[0], to)
			}
		})
	}
}

func TestWriteToUnreachableFamily(t *testing.T) {
	c := listen(t, loopback4)
	for name, to := range map[string]Addr{"no address": {}, "IPv6 from IPv4": AddrFrom(loopback6)} {
		if _, err := c.WriteTo([]byte("x"), to); err == nil {
			t.Error(name, "got no error")
		}
	}
	if s := c.Stats(); s.SendDrops != 2 || s.Sent != 0 {
		t.Errorf("%+v", s)
	}
}

func TestReadCutsAndCounts(t *testing.T) {
	c := listen(t, loopback4)
	to := AddrFrom(c.LocalAddr())
	for _, size := range []int{0, 10, 30} {
		if _, err := c.WriteTo(make([]byte, size), to); err != nil {
			t.Fatal(err)
		}
	}
	ms, sizes := messages(1, 20), []int{}
	for range 3 {
		if n, err := c.Read(ms); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		sizes = append(sizes, ms[0].N)
	}
	if sizes[0] != 0 || sizes[1] != 10 || sizes[2] != 20 {
		t.Errorf("sizes %v, want 0, 10, 20", sizes)
	}
	s := c.Stats()
	if runtime.GOOS == "linux" && s.Truncated != 1 {
		t.Errorf("truncated %d, want 1", s.Truncated)
	}
	if s.Received != 3 || s.ReceivedBytes != 30 || s.Sent != 3 || s.SentBytes != 40 {
		t.Errorf("%+v", s)
	}
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Errorf("reading nothing gave %d, %v", n, err)
	}
}

// TestCloseWakesReaders goes round often: whether a reader sleeps already when Close comes is up to the scheduler.
func TestCloseWakesReaders(t *testing.T) {
	var slowest time.Duration
	for range 100 {
		c, err := Listen(Config{Listen: loopback4})
		if err != nil {
			t.Fatal(err)
		}
		const readers = 3
		var started, ended sync.WaitGroup
		started.Add(readers)
		for range readers {
			ended.Go(func() {
				started.Done()
				if _, err := c.Read(messages(4, 100)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Read: %v", err)
				}
			})
		}
		started.Wait()
		begun := time.Now()
		var closers sync.WaitGroup
		for range 2 {
			closers.Go(func() {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		closers.Wait()
		ended.Wait()
		slowest = max(slowest, time.Since(begun))
	}
	if slowest > 500*time.Millisecond {
		t.Errorf("closing took up to %s", slowest)
	}
	t.Logf("slowest of 100: %s", slowest)
}

// TestNoDatagramIsOverlooked: one that comes just as the reader is about to sleep wakes it, with no other behind it.
func TestNoDatagramIsOverlooked(t *testing.T) {
	here, there := listen(t, loopback4), listen(t, loopback4)
	hurry := time.AfterFunc(30*time.Second, func() {
		_, _ = here.Close(), there.Close()
		t.Error("a datagram was overlooked")
	})
	defer hurry.Stop()
	const rounds = 20000
	pass := func(from, to *Conn, first bool) {
		ms := messages(4, 100)
		for i := range rounds {
			if !first || i > 0 {
				if _, err := from.Read(ms); err != nil {
					return
				}
			}
			for range i % 50 {
				runtime.Gosched()
			}
			_, _ = from.WriteTo([]byte("x"), AddrFrom(to.LocalAddr()))
		}
	}
	var both sync.WaitGroup
	both.Go(func() { pass(here, there, true) })
	both.Go(func() { pass(there, here, false) })
	both.Wait()
}

func TestAfterClose(t *testing.T) {
	c, err := Listen(Config{Listen: loopback4})
	if err != nil {
		t.Fatal(err)
	}
	at := c.LocalAddr()
	b := c.NewBatch()
	b.Queue(len(b.Reserve(5)), AddrFrom(at))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Flush(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Flush: %v", err)
	}
	if _, err := c.WriteTo([]byte("x"), AddrFrom(at)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("WriteTo: %v", err)
	}
	if _, err := c.Read(messages(1, 10)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
	if s := c.Stats(); s.SendDrops != 2 {
		t.Errorf("drops %d, want 2", s.SendDrops)
	}
	again, err := Listen(Config{Listen: at})
	if err != nil {
		t.Fatal("the port is not free after Close:", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
