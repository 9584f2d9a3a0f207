package rtc

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"

	"github.com/parley-sfu/parley/internal/udp"
)

// strays are what strangers send to the media port, each to be answered by nothing at all.
func strays(tb testing.TB, ufrag string) map[string][]byte {
	build := func(setters ...stun.Setter) []byte {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID}, setters...)...)
		if err != nil {
			tb.Fatal(err)
		}
		return m.Raw
	}
	rtp := append([]byte{0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, make([]byte, 1000)...)
	rtcp := append([]byte{0x80, 200, 0, 6}, make([]byte, 24)...)
	return map[string][]byte{
		"check, right name, wrong password": checkFor(tb, ufrag+":clnt", "a password that is not the one", true),
		"check, right name, no integrity":   build(stun.BindingRequest, stun.NewUsername(ufrag+":clnt")),
		"check, random name":                checkFor(tb, "nobody:clnt", "a password that is not the one", true),
		"binding request without a name":    build(stun.BindingRequest),
		"binding indication":                build(stun.NewType(stun.MethodBinding, stun.ClassIndication), stun.NewUsername(ufrag+":clnt")),
		"binding success":                   build(stun.BindingSuccess),
		"binding error":                     build(stun.BindingError),
		"TURN allocate":                     build(stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.NewUsername(ufrag+":clnt")),
		"ClientHello":                       hello(),
		"DTLS alert":                        record(21, 0, []byte{2, 40}),
		"RTP":                               rtp,
		"RTCP":                              rtcp,
		"nothing":                           {},
		"DNS query":                         append([]byte{0x12, 0x34, 1, 0, 0, 1}, make([]byte, 20)...),
		"QUIC":                              append([]byte{0xc0, 0, 0, 0, 1}, make([]byte, 1195)...),
		"zeros":                             make([]byte, 1200),
	}
}

// TestStrangersAreNotAnswered: no request of a stranger is answered, so no forged source address gets anything either.
func TestStrangersAreNotAnswered(t *testing.T) {
	c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
	c.connect(false)
	for name, b := range strays(t, c.theirs) {
		t.Run(name, func(t *testing.T) {
			for _, over := range []string{"udp", "tcp"} {
				conn, err := net.Dial(over, c.e.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				for range 10 {
					if over == "tcp" {
						_, _ = conn.Write(binary.BigEndian.AppendUint16(nil, uint16(len(b))))
					}
					_, _ = conn.Write(b)
				}
				_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				buf := make([]byte, 2000)
				if n, err := conn.Read(buf); err == nil {
					t.Errorf("%s: %d bytes are answered to %d", over, n, len(b))
				}
				_ = conn.Close()
			}
		})
	}
	if !c.get(time.Second) {
		t.Error("the call has ended")
	}
}

// TestKnownNameFlood: checks with a client's name and a wrong password keep neither its checks nor its media from passing.
func TestKnownNameFlood(t *testing.T) {
	c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
	c.connect(false)
	attacker, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(c.e.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer attacker.Close()
	b := strays(t, c.theirs)["check, right name, wrong password"]
	stop := disturb(func() {
		for range 5 {
			_, _ = attacker.Write(b)
		}
	})
	defer stop()
	const checks = 20
	answered := 0
	for range checks {
		for len(c.answers) > 0 {
			<-c.answers
		}
		c.send(c.check(false))
		select {
		case <-c.answers:
			answered++
		case <-time.After(time.Second):
		}
		if !c.get(time.Second) {
			t.Fatal("media stopped")
		}
	}
	if answered < checks-1 {
		t.Errorf("%d of %d checks were answered", answered, checks)
	}
}

// TestTCPOfStrangers: connections that show nothing end, however slowly or oddly they speak.
func TestTCPOfStrangers(t *testing.T) {
	c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
	wrong := checkFor(t, c.theirs+":clnt", "a password that is not the one", true)
	framed := func(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }
	for name, stream := range map[string][]byte{
		"HTTP":                  []byte("GET / HTTP/1.1\r\nHost: example.org\r\nConnection: keep-alive\r\n\r\n" + string(make([]byte, 20000))),
		"TLS":                   append([]byte{22, 3, 1, 2, 0}, make([]byte, 20000)...),
		"a giant frame":         {0xff, 0xff, 0, 1},
		"DTLS first":            framed(hello()),
		"too many wrong checks": repeat(framed(wrong), tcpStrays),
		"and then media":        append(framed(wrong), repeat(framed(make80()), tcpStrays)...),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", c.e.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = conn.Write(stream)
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			if n, err := conn.Read(make([]byte, 10)); n > 0 || err == nil || isTimeout(err) {
				t.Errorf("%d bytes, %v: it is not closed", n, err)
			}
		})
	}
	if !wait(time.Second, func() bool { return c.e.listener.Len() == 0 }) {
		t.Errorf("%d connections are open", c.e.listener.Len())
	}
}

func make80() []byte { return append([]byte{0x80, 96}, make([]byte, 100)...) }

func repeat(b []byte, n int) (all []byte) {
	for range n {
		all = append(all, b...)
	}
	return all
}

func isTimeout(err error) bool {
	timeout, ok := err.(interface{ Timeout() bool })
	return ok && timeout.Timeout()
}

// TestSlowReader: a TCP client that does not read loses frames, whole ones, and keeps nobody waiting.
func TestSlowReader(t *testing.T) {
	c := newCaller(t, startEndpoint(t, "127.0.0.1:0"))
	c.connect(true)
	line := c.now.(tcpLine)
	// A second connection of the same client becomes the path, and is not read.
	conn, err := net.Dial("tcp", c.e.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	deaf := tcpLine{conn}
	deaf.send(c.check(true))
	response, err := deaf.receive()
	if err != nil || response[1] != 1 {
		t.Fatal(err)
	}
	if response, err = deaf.receive(); err != nil { // the server's own check
		t.Fatal(err)
	}
	deaf.send(c.response(response))
	if !wait(time.Second, func() bool { return c.transport.goesTo(sourceOfLine(deaf)) }) {
		t.Fatal("media does not go there")
	}
	const packets = 20000
	var slowest time.Duration
	for range packets {
		began := time.Now()
		c.serve()
		slowest = max(slowest, time.Since(began))
	}
	t.Logf("the slowest of %d packets took %s", packets, slowest)
	if slowest > time.Second {
		t.Errorf("sending waited %s", slowest)
	}
	whole, last := 0, uint16(0)
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	for {
		b, err := deaf.receive()
		if err != nil {
			break
		}
		if b[0] < 4 {
			continue
		}
		seq := binary.BigEndian.Uint16(b[2:])
		if len(b) != 116 || seq <= last {
			t.Fatalf("a frame of %d bytes with number %d after %d", len(b), seq, last)
		}
		whole, last = whole+1, seq
	}
	if whole == 0 || whole == packets {
		t.Errorf("%d of %d frames came", whole, packets)
	}
	t.Logf("%d of %d frames came, all of them whole", whole, packets)
	_ = line
}

// FuzzEndpoint sends whatever it is to a running endpoint, from a stranger and from the client of a call, over UDP and over TCP. The
// call goes on.
func FuzzEndpoint(f *testing.F) {
	for _, b := range strays(f, "name") {
		f.Add(b, false, false)
		f.Add(b, true, true)
	}
	for _, make := range nasty() {
		f.Add(make(), true, false)
		f.Add(make(), true, true)
	}
	e := startEndpoint(f, "127.0.0.1:0")
	over := map[bool]*caller{}
	for _, tcp := range []bool{false, true} {
		over[tcp] = newCaller(f, e)
		over[tcp].connect(tcp)
	}
	stranger := source{addr: udp.AddrFrom(netip.MustParseAddrPort("192.0.2.7:7"))}
	r := e.takeReader()
	f.Fuzz(func(t *testing.T, b []byte, known, tcp bool) {
		c := over[tcp]
		from := stranger
		if known {
			from = c.source()
		}
		from.tcp = tcp
		b = append([]byte(nil), b...)
		switch {
		case len(b) == 0:
			return
		case b[0] < 4:
			e.mux.deliver(b, from, 0)
		default:
			if bound := e.lookup(from); bound.t != nil {
				r.packet(bound, b, from)
			}
		}
		r.flush()
		if !c.transport.goesTo(c.source()) || c.transport.keys.Load() == nil {
			t.Fatal("the call has ended")
		}
		select {
		case err := <-c.heard.disconnected:
			t.Fatal(err)
		default:
		}
	})
}

// FuzzTCP gives a running endpoint a stream of a stranger in pieces. It ends the connection, or waits for more; a call goes on.
func FuzzTCP(f *testing.F) {
	f.Add([]byte{0, 20, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, byte(1))
	f.Add([]byte("\x00\x14GET / HTTP/1.1"), byte(3))
	e := startEndpoint(f, "127.0.0.1:0")
	c := newCaller(f, e)
	c.connect(true)
	f.Fuzz(func(t *testing.T, stream []byte, step byte) {
		conn, err := net.Dial("tcp", e.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		for b := stream; len(b) > 0; {
			n := min(len(b), int(step)+1)
			if _, err := conn.Write(b[:n]); err != nil {
				break
			}
			b = b[n:]
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		if b, err := io.ReadAll(conn); isTimeout(err) || len(b) > 0 {
			t.Fatalf("%d bytes came back, %v", len(b), err)
		}
		_ = conn.Close()
		if !c.transport.goesTo(c.source()) {
			t.Fatal("the call has ended")
		}
	})
}

// BenchmarkStrays is what a packet of a stranger costs the goroutine that reads the socket, beside one of a call.
func BenchmarkStrays(b *testing.B) {
	e := startEndpoint(b, "127.0.0.1:0")
	c := newCaller(b, e)
	c.connect(false)
	r := reader{e: e, out: e.conn.NewBatch()}
	all := strays(b, c.theirs)
	for name, from := range map[string]udp.Addr{
		"check, random name": udp.AddrFrom(netip.MustParseAddrPort("192.0.2.7:7")), "check, right name, wrong password": udp.AddrFrom(netip.MustParseAddrPort("192.0.2.7:7")),
		"ClientHello": udp.AddrFrom(netip.MustParseAddrPort("192.0.2.7:7")), "RTP": udp.AddrFrom(netip.MustParseAddrPort("192.0.2.7:7")),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.datagram(&udp.Message{Buf: all[name], N: len(all[name]), From: from})
			}
		})
	}
	for _, name := range []string{"ClientHello", "RTP"} {
		b.Run(name+" under the client's address", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.datagram(&udp.Message{Buf: all[name], N: len(all[name]), From: c.source().addr})
			}
		})
	}
}
