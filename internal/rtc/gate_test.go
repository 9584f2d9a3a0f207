package rtc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// record frames a DTLS record in clear text.
func record(kind byte, number uint64, body []byte) []byte {
	b := append([]byte{kind, 0xfe, 0xfd}, make([]byte, 10)...)
	binary.BigEndian.PutUint64(b[3:], number)
	binary.BigEndian.PutUint16(b[11:], uint16(len(body)))
	return append(b, body...)
}

// message frames a whole handshake message.
func message(kind byte, number uint16, body []byte) []byte {
	b := make([]byte, handshakeHeader)
	b[0], b[2], b[3] = kind, byte(len(body)>>8), byte(len(body))
	binary.BigEndian.PutUint16(b[4:], number)
	copy(b[9:], b[1:4])
	return append(b, body...)
}

// hello is a ClientHello that pion and browsers would answer, with a random of its own.
func hello() []byte {
	body := []byte{0xfe, 0xfd}
	for range 4 {
		body = binary.BigEndian.AppendUint64(body, rand.Uint64())
	}
	body = append(body, 0, 0)                         // session, cookie
	body = append(body, 0, 4, 0xc0, 0x2b, 0xc0, 0x0a) // cipher suites
	body = append(body, 1, 0)                         // compression
	extensions := []byte{
		0, 10, 0, 4, 0, 2, 0, 29, 0, 11, 0, 2, 1, 0, 0, 13, 0, 4, 0, 2, 4, 3, // curves, points, signatures
		0, 14, 0, 5, 0, 2, 0, 7, 0, 0, 23, 0, 0, // SRTP, extended master secret
	}
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(extensions))), extensions...)
	return record(recordHandshake, 0, message(typeClientHello, 0, body))
}

// nasty is what an attacker sends to end or disturb a handshake or a call.
func nasty() map[string]func() []byte {
	fixed := func(b []byte) func() []byte { return func() []byte { return b } }
	return map[string]func() []byte{
		"another ClientHello":             hello,
		"close_notify":                    fixed(record(21, 3, []byte{1, 0})),
		"fatal alert":                     fixed(record(21, 3, []byte{2, 40})),
		"application data in clear":       fixed(record(23, 3, []byte("hello"))),
		"unknown content":                 fixed(record(24, 3, []byte("hello"))),
		"a sequence number far ahead":     func() []byte { b := hello(); binary.BigEndian.PutUint64(b[3:], 1<<47); return b },
		"an empty handshake record":       fixed(record(recordHandshake, 3, nil)),
		"a message longer than it is":     fixed(record(recordHandshake, 3, message(typeCertificate, 1, nil)[:4])),
		"a fragment past the end":         fixed(record(recordHandshake, 3, []byte{11, 0, 0, 10, 0, 1, 0, 0, 9, 0, 0, 5, 1, 2, 3, 4, 5})),
		"a giant message":                 fixed(record(recordHandshake, 3, []byte{11, 0xff, 0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 1, 7})),
		"a certificate of somebody else":  fixed(record(recordHandshake, 3, message(typeCertificate, 1, strangersCertificate()))),
		"a ServerHello":                   fixed(record(recordHandshake, 3, message(2, 0, make([]byte, 40)))),
		"a HelloRequest":                  fixed(record(recordHandshake, 3, message(0, 0, nil))),
		"a torn ChangeCipherSpec":         fixed(record(recordCCS, 3, []byte{1, 1})),
		"encrypted garbage":               func() []byte { b := record(21, 3, make([]byte, 40)); b[4] = 1; return b },
		"garbage of the next epoch":       func() []byte { b := record(22, 3, make([]byte, 40)); b[4] = 2; return b },
		"a ChangeCipherSpec out of place": func() []byte { b := record(recordCCS, 3, []byte{1}); b[4] = 1; return b },
		"a torn one out of place":         func() []byte { b := record(recordCCS, 3, []byte{1, 1}); b[4] = 1; return b },
	}
}

func strangersCertificate() []byte {
	certificate, err := newCertificate()
	if err != nil {
		return nil
	}
	der := certificate.Certificate[0]
	n := len(der)
	return append([]byte{0, byte((n + 3) >> 8), byte(n + 3), 0, byte(n >> 8), byte(n)}, der...)
}

// TestDisturbedFromTheClientsAddress: records that somebody sends under the client's own address, as often as it likes, neither
// keep the handshake from ending well, once the client's hello is there, nor end the call.
func TestDisturbedFromTheClientsAddress(t *testing.T) {
	for name, make := range nasty() {
		t.Run(name, func(t *testing.T) {
			c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
			c.dial(false)
			options := c.start(nil)
			c.agree()
			stop := disturb(func() {
				if c.transport.dtls.gate.begun() {
					c.send(make())
				}
			})
			err := c.handshake(options)
			stop()
			if err != nil {
				t.Fatal(err)
			}
			<-c.heard.connected
			stop = disturb(func() { c.send(make()) })
			began := time.Now()
			for time.Since(began) < 100*time.Millisecond {
				if !c.get(time.Second) {
					t.Fatal("the call has ended")
				}
			}
			stop()
			select {
			case err := <-c.heard.disconnected:
				t.Errorf("the call has ended: %v", err)
			default:
			}
			before := c.heard.rtp.Load()
			c.speak() // behind all of it
			if !wait(5*time.Second, func() bool { return c.heard.rtp.Load() > before && len(c.transport.dtls.queue) == 0 }) {
				t.Fatal("the flood is not worked off")
			}
			_ = c.conn.Close() // which is authentic
			c.conn = nil
			select {
			case err := <-c.heard.disconnected:
				if !errors.Is(err, ErrClosed) {
					t.Errorf("%v when the client closes", err)
				}
			case <-time.After(5 * time.Second):
				t.Error("nothing told when the client closes")
			}
		})
	}
}

// TestHelloOfSomebodyElse: a ClientHello under the client's own address that comes before the client's, one or many of them, holds the
// handshake up, but does not end it.
func TestHelloOfSomebodyElse(t *testing.T) {
	for name, flood := range map[string]bool{"one": false, "a flood": true} {
		t.Run(name, func(t *testing.T) {
			c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
			c.dial(false)
			options := c.start(nil)
			c.agree()
			c.send(hello())
			if !wait(5*time.Second, c.transport.dtls.gate.begun) {
				t.Fatal("the hello does not count")
			}
			if flood {
				stop := disturb(func() {
					for range 2 {
						c.send(hello())
						<-time.After(time.Millisecond)
					}
				})
				defer stop()
			}
			<-time.After(50 * time.Millisecond)
			for len(c.dtls) > 0 {
				<-c.dtls // browsers let nothing through to a handshake that they have not begun
			}
			began := time.Now()
			if err := c.handshake(options); err != nil {
				t.Fatal(err)
			}
			<-c.heard.connected
			t.Logf("the handshake took %s", time.Since(began).Round(time.Millisecond))
			if !c.get(time.Second) {
				t.Error("no media")
			}
		})
	}
}

// begun reports whether a ClientHello counts.
func (g *gate) begun() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.size > 0
}

// disturb does something 10,000 times a second at most, until it is stopped.
func disturb(something func()) (stop func()) {
	ended := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Microsecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				something()
			case <-ended:
				return
			}
		}
	})
	return func() { close(ended); wg.Wait() }
}

// TestDisturbedFromElsewhere: nothing from an address that has not answered a check reaches a handshake, before the client's hello,
// with it, or during the call, and none of it is answered.
func TestDisturbedFromElsewhere(t *testing.T) {
	const joins = 20
	for name, replay := range map[string]bool{"a stranger": false, "with a recorded check": true} {
		t.Run(name, func(t *testing.T) {
			e := startEndpoint(t, "127.0.0.1:0")
			var longest time.Duration
			for range joins {
				c := newCaller(t, e)
				attacker, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(e.Addr()))
				if err != nil {
					t.Fatal(err)
				}
				c.dial(false)
				options := c.start(nil)
				all := nasty()
				stop := disturb(func() {
					for _, make := range all {
						_, _ = attacker.Write(make())
						break // whichever comes first in a map
					}
				})
				if replay {
					_, _ = attacker.Write(c.check(true))
				}
				began := time.Now()
				c.agree()
				if err := c.handshake(options); err != nil {
					t.Fatal(err)
				}
				<-c.heard.connected
				longest = max(longest, time.Since(began))
				if !c.get(time.Second) {
					t.Fatal("no media")
				}
				stop()
				_ = attacker.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
				for buf := make([]byte, 2000); ; {
					n, err := attacker.Read(buf)
					if err != nil {
						break
					}
					if buf[0] >= 4 {
						t.Fatalf("the attacker was sent % x", buf[:min(n, 20)])
					}
				}
				_ = attacker.Close()
			}
			t.Logf("%d of %d joined during a flood, the slowest in %s", joins, joins, longest.Round(time.Millisecond))
		})
	}
}

// TestWrongCertificate: a client whose certificate is not the one announced gets no keys, and the reason is told.
func TestWrongCertificate(t *testing.T) {
	var g gate
	g.expect = func([]byte) bool { return false }
	if g.pass(hello()) == nil {
		t.Error("no hello passes")
	}
	if g.pass(record(recordHandshake, 1, message(typeCertificate, 1, strangersCertificate()))) != nil || !g.mistaken() {
		t.Error("a stranger's certificate passes")
	}
}

// TestGateKeepsFragments: a hello that was cut up, and one that is sent again, pass as they should.
func TestGateKeepsFragments(t *testing.T) {
	whole := hello()[recordHeader+handshakeHeader:]
	part := func(from, to int) []byte {
		b := message(typeClientHello, 0, whole)[:handshakeHeader]
		b[8], b[10], b[11] = byte(from), 0, byte(to-from)
		return record(recordHandshake, 9, append(bytes.Clone(b), whole[from:to]...))
	}
	var g gate
	if g.pass(part(50, len(whole))) != nil {
		t.Error("the end of a hello that has not begun passes")
	}
	for i, p := range [][]byte{part(0, 50), part(50, len(whole))} {
		if out := g.pass(p); len(out) != len(p) || binary.BigEndian.Uint64(out[3:]) != uint64(i) {
			t.Errorf("part %d: %x", i, out)
		}
	}
	if g.pass(part(0, 50)) != nil {
		t.Error("the same hello passes again at once")
	}
	g.again = g.again.Add(-helloEvery)
	if g.pass(part(0, 50)) == nil {
		t.Error("a retransmission does not pass")
	}
	g.secure()
	g.again = g.again.Add(-helloEvery)
	if g.pass(part(0, 50)) != nil {
		t.Error("clear text passes after the handshake")
	}
}

// FuzzGate: whatever comes, only whole records leave, none longer than what came, and none in clear text once keys are there.
func FuzzGate(f *testing.F) {
	f.Add(hello(), false)
	f.Add(append(hello(), record(21, 1, []byte{2, 40})...), true)
	for _, make := range nasty() {
		f.Add(make(), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, client bool) {
		g := gate{client: client, expect: func(c []byte) bool { return len(c)%2 == 0 }}
		for range 2 {
			out := g.pass(bytes.Clone(b))
			if len(out) > len(b) {
				t.Fatal("more leaves than came")
			}
			for len(out) > 0 {
				n := recordHeader + int(binary.BigEndian.Uint16(out[11:]))
				plain := out[3] == 0 && out[4] == 0
				if plain && (out[0] == 21 || out[0] == 23 || g.secured) {
					t.Fatalf("%x passes", out[:n])
				}
				out = out[n:]
			}
			g.secure()
		}
	})
}
