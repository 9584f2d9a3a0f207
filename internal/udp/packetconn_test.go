package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// pion's ice.AddrPortReaderWriter, which this package must not import.
type addrPortReaderWriter interface {
	ReadFromAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToAddrPort(b []byte, addr netip.AddrPort) (int, error)
}

var _ addrPortReaderWriter = (*PacketConn)(nil)

func TestPacketConnDelivers(t *testing.T) {
	c := listen(t, loopback4)
	p := c.PacketConn()
	from := netip.MustParseAddrPort("[::ffff:192.0.2.1]:5000")
	mine := []byte("binding request")
	for range 2 {
		if !p.Deliver(mine, AddrFrom(from)) {
			t.Fatal("not delivered")
		}
	}
	clear(mine) // it was copied
	buf := make([]byte, 100)
	n, ap, err := p.ReadFromAddrPort(buf)
	if err != nil || string(buf[:n]) != "binding request" || ap != netip.MustParseAddrPort("192.0.2.1:5000") {
		t.Errorf("got %q from %s, %v", buf[:n], ap, err)
	}
	n, addr, err := p.ReadFrom(buf[:7])
	if err != nil || string(buf[:n]) != "binding" || addr.String() != "192.0.2.1:5000" {
		t.Errorf("got %q from %s, %v", buf[:n], addr, err)
	}
	if _, ok := addr.(*net.UDPAddr); !ok {
		t.Errorf("the address is a %T", addr)
	}
}

func TestPacketConnIsBounded(t *testing.T) {
	p := listen(t, loopback4).PacketConn()
	if p.Deliver(make([]byte, maxDelivered+1), Addr{}) {
		t.Error("took too long a datagram")
	}
	buf := make([]byte, maxDelivered)
	for i := range deliverQueue {
		if !p.Deliver(buf, Addr{}) {
			t.Fatalf("dropped datagram %d", i)
		}
	}
	if p.Deliver(buf, Addr{}) {
		t.Error("the queue has no end")
	}
	if _, _, err := p.ReadFromAddrPort(buf); err != nil {
		t.Fatal(err)
	}
	if !p.Deliver(buf, Addr{}) {
		t.Error("no room after reading")
	}
	if n := testing.AllocsPerRun(100, func() {
		_, _, _ = p.ReadFromAddrPort(buf)
		p.Deliver(buf[:1200], AddrFrom(loopback4))
	}); n != 0 {
		t.Errorf("%v allocations a datagram", n)
	}
}

func TestPacketConnWrites(t *testing.T) {
	c := listen(t, loopback4)
	p := c.PacketConn()
	if p.LocalAddr().String() != c.LocalAddr().String() {
		t.Errorf("local address %s, want %s", p.LocalAddr(), c.LocalAddr())
	}
	tcp := net.TCPAddrFromAddrPort(c.LocalAddr()) // any net.Addr will do
	for _, to := range []net.Addr{p.LocalAddr(), tcp} {
		if n, err := p.WriteTo([]byte("to itself"), to); n != 9 || err != nil {
			t.Fatal(n, err)
		}
	}
	if got, _ := receive(t, c, 2); string(got[0]) != "to itself" || string(got[1]) != "to itself" {
		t.Errorf("got %q", got)
	}
	if _, err := p.WriteTo(nil, &net.UnixAddr{Name: "@"}); err == nil {
		t.Error("wrote to a unix socket")
	}
	if err := p.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
}

func TestPacketConnEnds(t *testing.T) {
	for name, end := range map[string]func(*Conn, *PacketConn) error{
		"adapter closed": func(_ *Conn, p *PacketConn) error { return errors.Join(p.Close(), p.Close()) },
		"socket closed":  func(c *Conn, _ *PacketConn) error { return c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := Listen(Config{Listen: loopback4})
				if err != nil {
					t.Fatal(err)
				}
				p := c.PacketConn()
				failed := make(chan error)
				go func() {
					_, _, err := p.ReadFrom(make([]byte, 10))
					failed <- err
				}()
				synctest.Wait()
				if err := end(c, p); err != nil {
					t.Error(err)
				}
				if err := <-failed; !errors.Is(err, net.ErrClosed) {
					t.Errorf("ReadFrom: %v", err)
				}
				if _, err := p.WriteTo([]byte("x"), p.LocalAddr()); !errors.Is(err, net.ErrClosed) {
					t.Errorf("WriteTo: %v", err)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestPacketConnClosedTakesNothing(t *testing.T) {
	c := listen(t, loopback4)
	p := c.PacketConn()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if p.Deliver([]byte("late"), Addr{}) {
		t.Error("delivered after Close")
	}
	if _, err := c.WriteTo([]byte("x"), AddrFrom(c.LocalAddr())); err != nil {
		t.Error("closing the adapter closed the socket:", err)
	}
}

func TestPacketConnReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Listen(Config{Listen: loopback4})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p, buf, begun := c.PacketConn(), make([]byte, 10), time.Now()
		_ = p.SetDeadline(begun.Add(time.Second))
		go func() { // moves the deadline while ReadFrom waits
			time.Sleep(500 * time.Millisecond)
			_ = p.SetReadDeadline(begun.Add(3 * time.Second))
		}()
		if _, _, err := p.ReadFrom(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("ReadFrom: %v", err)
		}
		if waited := time.Since(begun); waited != 3*time.Second {
			t.Errorf("waited %s, want 3s", waited)
		}
		p.Deliver([]byte("x"), Addr{})
		if _, _, err := p.ReadFrom(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the deadline did not last: %v", err)
		}
		_ = p.SetReadDeadline(begun) // past
		if _, _, err := p.ReadFrom(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("past deadline: %v", err)
		}
		_ = p.SetReadDeadline(time.Time{})
		if n, _, err := p.ReadFrom(buf); n != 1 || err != nil {
			t.Errorf("no deadline: %d, %v", n, err)
		}
	})
}
