package split

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble runs a port on pipes under a clock of its own, with the sides served, until f returns.
func inBubble(t *testing.T, change func(*Config), f func(t *testing.T, r *rig, ln *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cert, roots := selfSigned(t)
		cfg := Defaults()
		if change != nil {
			change(&cfg)
		}
		ln := newPipes()
		p, err := New(cfg, Deps{
			Name: t.Name(), Listener: ln, Log: discard(),
			TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { echoAll(p.TURN()) })
		f(t, &rig{tb: t, port: p, roots: roots}, ln)
		cancel()
		_ = p.TURN().Close()
		wg.Wait()
		if p.door.open != 0 || len(p.door.place) != 0 || p.door.pending.Len() != 0 {
			t.Errorf("%d connections are still counted, %d pending", p.door.open, p.door.pending.Len())
		}
	})
}

// secured shakes hands over a connection.
func (r *rig) secured(c net.Conn) (*tls.Conn, error) {
	secure := tls.Client(c, r.client())
	return secure, secure.HandshakeContext(context.Background())
}

// clientHello is the first flight of a client.
func (r *rig) clientHello() []byte { return helloOf(r.client()) }

func helloOf(conf *tls.Config) []byte {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		_ = tls.Client(theirs, conf).HandshakeContext(context.Background())
		theirs.Close()
	}()
	buf := make([]byte, 16<<10)
	n, _ := ours.Read(buf)
	return buf[:n]
}

// closedAfter is how long the other end took to close the connection.
func closedAfter(c net.Conn) time.Duration {
	start := time.Now()
	_, _ = io.Copy(io.Discard, c)
	return time.Since(start)
}

func TestWhoSaysNothingIsCut(t *testing.T) {
	d := Defaults()
	for _, tc := range []struct {
		name string
		say  func(r *rig, c net.Conn) // what is said before the silence
		want time.Duration
	}{
		{"nothing", func(*rig, net.Conn) {}, d.HandshakeTimeout},
		{"half a ClientHello", func(r *rig, c net.Conn) { hello := r.clientHello(); _, _ = c.Write(hello[:len(hello)/2]) }, d.HandshakeTimeout},
		{"a record's header", func(_ *rig, c net.Conn) { _, _ = c.Write([]byte{22, 3, 1}) }, d.HandshakeTimeout},
		{"a whole ClientHello", func(r *rig, c net.Conn) { _, _ = c.Write(r.clientHello()) }, d.HandshakeTimeout},
		{"a handshake", func(r *rig, c net.Conn) {
			if _, err := r.secured(c); err != nil {
				t.Error(err)
			}
		}, d.FirstByteTimeout},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, r *rig, ln *pipes) {
				c := ln.connect("192.0.2.7")
				defer c.Close()
				tc.say(r, c)
				if got := closedAfter(c); got != tc.want {
					t.Errorf("closed after %s, want %s", got, tc.want)
				}
			})
		})
	}
}

// A byte a second is no way to stay longer.
func TestSlowHandshakeIsCut(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, r *rig, ln *pipes) {
		c := ln.connect("192.0.2.7")
		defer c.Close()
		start := time.Now()
		for _, b := range r.clientHello() {
			if _, err := c.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if got, want := time.Since(start), Defaults().HandshakeTimeout; got > want+time.Second {
			t.Errorf("closed after %s, want %s", got, want)
		}
	})
}

// However much a stranger sends before the handshake is done, only so much is read.
func TestLongHandshakeIsCut(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, _ *rig, ln *pipes) {
		c := ln.connect("192.0.2.7")
		defer c.Close()
		go func() { _, _ = io.Copy(io.Discard, c) }()
		// Handshake records of 16 kB that hold a ClientHello of 16 MB.
		record := append([]byte{22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, make([]byte, 16<<10-4)...)
		sent := 0
		for sent < 1<<20 {
			n, err := c.Write(record)
			sent += n
			if err != nil {
				break
			}
		}
		if sent > maxHandshakeBytes {
			t.Errorf("%d bytes were read, want %d at most", sent, maxHandshakeBytes)
		}
	})
}

func TestConnectionsAreCounted(t *testing.T) {
	small := func(c *Config) {
		c.MaxPending, c.MaxPendingPerAddress, c.MaxConnections, c.MaxConnectionsPerAddress = 4, 3, 6, 5
	}
	const handshake = true
	type visitor struct {
		from string
		done bool // with its handshake and its first byte
	}
	for _, tc := range []struct {
		name     string
		visitors []visitor
		closed   []int // which of them, at once
	}{
		{"as many as may be pending", []visitor{{"192.0.2.1", false}, {"192.0.2.2", false}, {"192.0.2.3", false}, {"192.0.2.4", false}}, nil},
		{"one more", []visitor{{"192.0.2.1", false}, {"192.0.2.2", false}, {"192.0.2.3", false}, {"192.0.2.4", false}, {"192.0.2.5", false}}, []int{0}},
		{"one more of an address", []visitor{{"192.0.2.1", false}, {"192.0.2.1", false}, {"192.0.2.1", false}, {"192.0.2.1", false}}, []int{3}},
		{"those who are done do not count", []visitor{
			{"192.0.2.1", handshake}, {"192.0.2.1", handshake}, {"192.0.2.1", false}, {"192.0.2.1", false}, {"192.0.2.1", false},
		}, nil},
		{"one more open of an address", []visitor{
			{"192.0.2.1", handshake},
			{"192.0.2.1", handshake},
			{"192.0.2.1", handshake},
			{"192.0.2.1", handshake},
			{"192.0.2.1", handshake},
			{"192.0.2.1", false},
			{"192.0.2.2", false},
		}, []int{5}},
		{"one more open", []visitor{
			{"192.0.2.1", handshake},
			{"192.0.2.2", handshake},
			{"192.0.2.3", handshake},
			{"192.0.2.4", handshake},
			{"192.0.2.5", handshake},
			{"192.0.2.6", handshake},
			{"192.0.2.7", false},
		}, []int{6}},
		{"one network of IPv6", []visitor{{"2001:db8:0:1::1", false}, {"2001:db8:0:1::2", false}, {"2001:db8:0:1:ffff::", false}, {"2001:db8:0:1::4", false}}, []int{3}},
		{"two networks of IPv6", []visitor{{"2001:db8:0:1::1", false}, {"2001:db8:0:2::2", false}, {"2001:db8:0:1::3", false}, {"2001:db8:0:2::4", false}}, nil},
		{"IPv4 in IPv6", []visitor{{"::ffff:192.0.2.1", false}, {"192.0.2.1", false}, {"::ffff:192.0.2.1", false}, {"192.0.2.1", false}}, []int{3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, small, func(t *testing.T, r *rig, ln *pipes) {
				var mu sync.Mutex
				var closed []int
				for i, v := range tc.visitors {
					c := ln.connect(v.from)
					defer c.Close()
					if v.done {
						r.settle(t, c)
						continue
					}
					go func() {
						if closedAfter(c) < time.Second {
							mu.Lock()
							closed = append(closed, i)
							mu.Unlock()
						}
					}()
					synctest.Wait()
				}
				mu.Lock()
				defer mu.Unlock()
				if !slices.Equal(closed, tc.closed) {
					t.Errorf("closed %v, want %v", closed, tc.closed)
				}
			})
		})
	}
}

// settle brings a connection to the relay's side.
func (r *rig) settle(t *testing.T, c net.Conn) {
	t.Helper()
	secure, err := r.secured(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := echoed(secure); err != nil {
		t.Fatal(err)
	}
}

func echoed(c net.Conn) error {
	if _, err := c.Write(binding()); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, len(binding())))
	return err
}

// Handshakes beyond the rate wait for their turn; those whose turn would come too late are refused, and cost no others theirs.
func TestHandshakesArePaced(t *testing.T) {
	for _, tc := range []struct {
		name    string
		change  func(*Config)
		from    func(i int) string
		known   bool // each has finished a handshake before
		longest time.Duration
		done    int // of the visitors; one that is due at the deadline itself may miss it
	}{
		{
			"of an address", func(c *Config) { c.AddressHandshakesPerSec, c.AddressHandshakeBurst = 1, 2 },
			func(int) string { return "192.0.2.1" }, false, Defaults().HandshakeTimeout, 2 + 7,
		},
		{
			"of all", func(c *Config) { c.HandshakesPerSec, c.HandshakeBurst = 1, 2 },
			func(i int) string { return fmt.Sprintf("192.0.2.%d", i) }, false, mostQueued, 2 + 2,
		},
		{
			"of all, who were here before", func(c *Config) { c.HandshakesPerSec, c.HandshakeBurst = 1, 2 },
			func(i int) string { return fmt.Sprintf("192.0.2.%d", i) }, true, 0, visitors,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, tc.change, func(t *testing.T, r *rig, ln *pipes) {
				if tc.known {
					for i := range visitors {
						c := ln.connect(tc.from(i))
						r.settle(t, c)
						c.Close()
						time.Sleep(time.Second)
					}
				}
				done, longest := r.all(ln, tc.from)
				if done < tc.done || done > tc.done+1 || longest > tc.longest {
					t.Errorf("%d handshakes of %d are done, want %d; the longest took %s, want %s", done, visitors, tc.done, longest, tc.longest)
				}
			})
		})
	}
}

const visitors = 14

// all shakes hands with all visitors at once, and says with how many, and how long it took.
func (r *rig) all(ln *pipes, from func(i int) string) (done int, longest time.Duration) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := time.Now()
	for i := range visitors {
		c := ln.connect(from(i))
		defer c.Close()
		wg.Go(func() {
			_, err := r.secured(c)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done++
				longest = max(longest, time.Since(start).Truncate(time.Second))
			}
		})
	}
	wg.Wait()
	return done, longest
}

// What is remembered of addresses is forgotten once it says nothing any more.
func TestAddressesAreForgotten(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, r *rig, ln *pipes) {
		for i := range 50 {
			c := ln.connect(fmt.Sprintf("198.51.100.%d", i))
			r.settle(t, c)
			c.Close()
		}
		synctest.Wait()
		if n := r.port.door.known(); n != 50 {
			t.Errorf("%d addresses are known, want 50", n)
		}
		time.Sleep(trustFor + forgetEvery)
		synctest.Wait()
		if n := r.port.door.known(); n != 0 {
			t.Errorf("%d addresses are known, want none", n)
		}
	})
}

func (d *door) known() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.sources)
}

// A side that nobody accepts from holds no connection for long.
func TestNobodyAccepts(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, r *rig, ln *pipes) {
		c := ln.connect("192.0.2.1")
		defer c.Close()
		secure, err := r.secured(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(secure, "GET / HTTP/1.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if got, want := closedAfter(c), Defaults().FirstByteTimeout; got != want {
			t.Errorf("closed after %s, want %s", got, want)
		}
	})
}
