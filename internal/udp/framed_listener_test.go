package udp

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fakeListener accepts what its function returns.
type fakeListener struct {
	accept func() (net.Conn, error)
}

func (l fakeListener) Accept() (net.Conn, error) { return l.accept() }
func (l fakeListener) Addr() net.Addr            { return &net.TCPAddr{} }
func (l fakeListener) Close() error              { return nil }

// from is one end of a pipe with a peer's address.
type from struct {
	net.Conn
	remote string
}

func (f from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.remote))
}

func TestFramedListenerCaps(t *testing.T) {
	for _, tc := range []struct {
		name    string
		cfg     FramedConfig
		peers   []string
		refused []string
	}{
		{
			"per IPv4 address",
			FramedConfig{MaxConnsPerAddr: 2},
			[]string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.2:1"},
			[]string{"192.0.2.1:3"},
		},
		{
			"per IPv4 address, mapped",
			FramedConfig{MaxConnsPerAddr: 1},
			[]string{"192.0.2.1:1", "[::ffff:192.0.2.1]:2"},
			[]string{"192.0.2.1:2"},
		},
		{
			"per IPv6 network",
			FramedConfig{MaxConnsPerAddr: 1},
			[]string{"[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8:0:1::1]:1"},
			[]string{"[2001:db8::2]:1"},
		},
		{
			"overall",
			FramedConfig{MaxConns: 2},
			[]string{"192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"},
			[]string{"192.0.2.3:1"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var ends []net.Conn
			peers := slices.Clone(tc.peers)
			l, err := NewFramedListener(fakeListener{accept: func() (net.Conn, error) {
				if len(peers) == 0 {
					return nil, net.ErrClosed
				}
				near, far := net.Pipe()
				ends = append(ends, far)
				c := from{Conn: near, remote: peers[0]}
				peers = peers[1:]
				return c, nil
			}}, tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			var conns []*FramedConn
			for {
				c, err := l.Accept()
				if err != nil {
					break
				}
				conns = append(conns, c)
			}
			for _, p := range tc.peers {
				ap := netip.MustParseAddrPort(p)
				refused := slices.Contains(tc.refused, unmapped(ap).String())
				if c := l.Conn(ap); (c == nil) != refused || c != nil && c.Remote() != unmapped(ap) {
					t.Errorf("%s: %v, want it refused: %v", p, c, refused)
				}
			}
			if l.Len() != len(conns) || len(conns) != len(tc.peers)-len(tc.refused) {
				t.Errorf("%d open, %d accepted", l.Len(), len(conns))
			}
			for _, c := range conns {
				_ = c.Close()
				_ = c.Close()
			}
			if l.Len() != 0 || len(l.from) != 0 || len(l.conns) != 0 {
				t.Errorf("closed connections are remembered: %d, %v, %v", l.Len(), l.from, l.conns)
			}
			for _, far := range ends {
				if _, err := far.Read(make([]byte, 1)); err == nil {
					t.Error("a connection is still open")
				}
			}
		})
	}
}

func TestFramedListenerOutlastsShortage(t *testing.T) {
	for _, tc := range []struct {
		name  string
		err   error
		tries int
		waits time.Duration
	}{
		{"descriptors", &net.OpError{Op: "accept", Err: syscall.EMFILE}, 3, 5*time.Millisecond + 10*time.Millisecond},
		{"closed", net.ErrClosed, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries, begun := 0, time.Now()
				l, err := NewFramedListener(fakeListener{accept: func() (net.Conn, error) {
					if tries++; tries == 3 {
						return nil, net.ErrClosed
					}
					return nil, tc.err
				}}, FramedConfig{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("Accept: %v", err)
				}
				if tries != tc.tries || time.Since(begun) != tc.waits {
					t.Errorf("%d tries in %s, want %d in %s", tries, time.Since(begun), tc.tries, tc.waits)
				}
			})
		})
	}
}

func TestFramedListenerClosesWhileShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := NewFramedListener(fakeListener{accept: func() (net.Conn, error) {
			return nil, syscall.EMFILE
		}}, FramedConfig{})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			_, err := l.Accept()
			ended <- err
		}()
		synctest.Wait()
		if err := errors.Join(l.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
	})
}

// TestFramedOverTCP goes through real sockets, from a dual-stack listener to an IPv4 client.
func TestFramedOverTCP(t *testing.T) {
	inner, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewFramedListener(inner, FramedConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	client, err := net.Dial("tcp", netip.AddrPortFrom(loopback4.Addr(), port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if _, err := client.Write(framed(stun)); err != nil {
		t.Fatal(err)
	}
	if b, err := accepted.ReadFrame(); err != nil || len(b) != len(stun) {
		t.Fatal(len(b), err)
	}
	c := l.Conn(client.LocalAddr().(*net.TCPAddr).AddrPort())
	if c == nil || !c.WriteFrame([]byte("media")) {
		t.Fatal("the connection is not found, or takes no media")
	}
	if frame, err := (&frameReader{src: client}).next(); err != nil || string(frame[frameHeader:]) != "media" {
		t.Errorf("the client got %q, %v", frame, err)
	}
}
