package system_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// flood is many connections of strangers, who come from anywhere or from one address.
type flood struct {
	target string
	from   func() net.IP
	say    func(c net.Conn) // what each says; then it stays as long as it may
	rate   int              // connections a second
	open   int              // connections kept open at most, the oldest are given up

	made atomic.Int64
	mu   sync.Mutex // guards kept
	kept []net.Conn
}

// anywhere is a random address of this machine that is not the one that its users have.
func anywhere() net.IP {
	return net.IPv4(127, byte(1+mathrand.IntN(200)), byte(mathrand.IntN(256)), byte(1+mathrand.IntN(250)))
}

// own is the address that the call's people have.
func own() net.IP { return net.IPv4(127, 0, 0, 1) }

// firstComer returns an address that was not here before, each time another.
func firstComer() func() net.IP {
	next := mathrand.IntN(1 << 16)
	return func() net.IP {
		next++
		return net.IPv4(127, 250, byte(next>>8), byte(next))
	}
}

func oneAddress() net.IP { return net.IPv4(127, 0, 0, 66) }

// run attacks until ctx ends.
func (f *flood) run(ctx context.Context) {
	var wg sync.WaitGroup
	const bursts = 50 // a second
	tick := time.NewTicker(time.Second / bursts)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			for range f.rate / bursts {
				wg.Go(func() { f.attack(ctx) })
			}
		}
	}
	wg.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.kept {
		c.Close()
	}
}

func (f *flood) attack(ctx context.Context) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: f.from()}, Timeout: 2 * time.Second}
	c, err := d.DialContext(ctx, "tcp", f.target)
	if err != nil {
		return
	}
	_ = c.(*net.TCPConn).SetLinger(0) // leaves nothing behind in this machine's tables
	f.made.Add(1)
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	f.say(c)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept = append(f.kept, c)
	if len(f.kept) > f.open {
		f.kept[0].Close()
		f.kept = f.kept[1:]
	}
}

// clientHello is the first flight of a client.
func clientHello() []byte {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		_ = tls.Client(theirs, &tls.Config{ServerName: "localhost"}).HandshakeContext(context.Background())
		theirs.Close()
	}()
	buf := make([]byte, 16<<10)
	n, _ := ours.Read(buf)
	return buf[:n]
}

// steady makes requests on one connection every few milliseconds, and notes the longest delay.
func steady(ctx context.Context, t *testing.T, n *lab.Node) (longest func() time.Duration) {
	t.Helper()
	c := newCaller(shake(t, n, "http/1.1"))
	result := make(chan time.Duration, 1)
	go func() {
		var most time.Duration
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			start := time.Now()
			if status, err := c.get("/livez"); err != nil || status != http.StatusOK {
				t.Errorf("a running connection: %d, %v", status, err)
				break
			}
			most = max(most, time.Since(start))
		}
		result <- most
	}()
	return func() time.Duration { return <-result }
}

// newcomers counts connections that are made one after the other, with a request on each.
type newcomers struct {
	longest       time.Duration // of those that did not fail
	tries, failed int
}

func (s newcomers) String() string { return fmt.Sprintf("%d of %d", s.failed, s.tries) }

// arrive makes such connections from the addresses until ctx ends.
func arrive(ctx context.Context, n *lab.Node, from func() net.IP) (result func() newcomers) {
	done := make(chan newcomers, 1)
	go func() {
		var s newcomers
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			start := time.Now()
			s.tries++
			d := &net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: from()}}
			c, err := tls.DialWithDialer(d, "tcp", n.TLS.Address, n.TLS.Client("http/1.1"))
			if err != nil {
				s.failed++
				continue
			}
			status, err := newCaller(c).get("/livez")
			c.Close()
			if err != nil || status != http.StatusOK {
				s.failed++
				continue
			}
			s.longest = max(s.longest, time.Since(start))
		}
		done <- s
	}()
	return func() newcomers { return <-done }
}

// Strangers flood the TLS port with thousands of connections. A call goes on, requests on connections that are open are
// answered, newcomers get in, and the node does not grow.
func TestTLSFloods(t *testing.T) {
	const (
		lasts   = 4 * time.Second
		mostMem = 160 << 20
	)
	n := lab.ServeTLS(t, lab.NewAuthority(t))
	others := newBystanders(t, n)
	hello := clientHello()
	shakeHands := func(then func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			secure := tls.Client(c, n.TLS.Client())
			if secure.HandshakeContext(context.Background()) == nil {
				then(secure)
			}
		}
	}
	garbage := make([]byte, 4<<10)
	_, _ = rand.Read(garbage)
	silence := func(net.Conn) {}
	figures := newTable(t, "attack", "connections", "call's longest silence", "longest request on an open connection",
		"longest new connection", "failed", "longest of a new address", "failed", "growth", "")
	for _, tc := range []struct {
		name string
		from func() net.IP
		say  func(net.Conn)
		rate int
	}{
		{"none", anywhere, silence, 0},
		{"silence, from anywhere", anywhere, silence, 1000},
		{"half a ClientHello, from anywhere", anywhere, func(c net.Conn) { _, _ = c.Write(hello[:len(hello)/2]) }, 1000},
		{"half a ClientHello, from one address", oneAddress, func(c net.Conn) { _, _ = c.Write(hello[:len(hello)/2]) }, 1000},
		{"a ClientHello and nothing more, from one address", oneAddress, func(c net.Conn) { _, _ = c.Write(hello) }, 1000},
		{"a ClientHello and nothing more, from anywhere", anywhere, func(c net.Conn) { _, _ = c.Write(hello) }, 1000},
		{"garbage, from anywhere", anywhere, func(c net.Conn) { _, _ = c.Write(garbage) }, 1000},
		{"a handshake, then silence, from one address", oneAddress, shakeHands(silence), 300},
		{"a handshake, then garbage, from anywhere", anywhere, shakeHands(func(c net.Conn) { _, _ = c.Write([]byte{0x80}) }), 200},
		{"a handshake, then half a request, from anywhere", anywhere, shakeHands(func(c net.Conn) { _, _ = c.Write([]byte("GET / HT")) }), 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), lasts)
			defer cancel()
			before := n.RSS(t)
			f := &flood{target: n.TLS.Address, from: tc.from, say: tc.say, rate: tc.rate, open: 3000}
			others.reset()
			request, known, unknown := steady(ctx, t, n), arrive(ctx, n, own), arrive(ctx, n, firstComer())
			f.run(ctx)
			delay, back, fresh := request(), known(), unknown()
			grown := n.RSS(t) - before
			quiet := others.undisturbed(t)
			// Who was here before is let in; who comes for the first time, in the middle of a flood of ClientHellos, perhaps.
			good := delay < time.Second && back.failed == 0 && back.longest < time.Second && fresh.failed < fresh.tries && grown < mostMem
			figures.add(tc.name, f.made.Load(), quiet, delay, back.longest, back, fresh.longest, fresh,
				fmt.Sprintf("%+.1f MB", float64(grown)/(1<<20)), verdict(good))
			if !good {
				t.Errorf("a request took %s; new connections %+v, of new addresses %+v; grown by %d bytes", delay, back, fresh, grown)
			}
		})
	}
	n.Stop(t)
}
