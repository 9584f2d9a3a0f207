package turn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// from dials from another address of this machine.
func from(t testing.TB, r *rig, network, local, participant string) *agent {
	t.Helper()
	a := newAgent(t, r, network, participant)
	a.conn.Close()
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(local)}}
	if network == "tcp" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	}
	var err error
	if a.conn, err = dialer.DialContext(context.Background(), network, r.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.conn.Close() })
	return a
}

// A flood from one address takes nothing from the others, nor from whoever has an allocation behind the same one.
func TestAFloodOfRequests(t *testing.T) {
	sfu := echo(t, "127.0.0.1:0")
	cfg := testConfig()
	cfg.RequestsPerSecond = 20
	c := &clock{}
	stopped := time.Now()
	r := newRig(t, cfg, Deps{now: func() time.Time { return stopped.Add(time.Duration(c.ahead.Load())) }}, sfu)
	before := newAgent(t, r, "udp", "pt_before")
	before.want(before.allocate(), 0, "Allocate")
	before.want(before.bind(minChannel, sfu), 0, "ChannelBind")
	flood := newAgent(t, r, "udp", "pt_flood")
	w := newWriter(nil, methodAllocate, classRequest, randomTransaction())
	w.attr(attrTransport, []byte{transportUDP, 0, 0, 0})
	for range 1000 {
		flood.write(w.bytes())
	}
	answers := 0
	for _, ok := flood.read(200 * time.Millisecond); ok; _, ok = flood.read(200 * time.Millisecond) {
		answers++
	}
	if answers > cfg.RequestsPerSecond {
		t.Errorf("%d answers within a second, want %d at most", answers, cfg.RequestsPerSecond)
	}
	before.exchanges(func(b []byte) { before.channel(minChannel, b) }, "goes on")
	before.want(before.refresh(time.Hour), 0, "Refresh")
	other := from(t, r, "udp", "127.0.0.2", "pt_other")
	other.want(other.allocate(), 0, "Allocate from another address")
	c.forward(time.Second)
	after := newAgent(t, r, "udp", "pt_after")
	after.want(after.allocate(), 0, "Allocate from the same address in the next second")
}

func TestConnectionsOfStrangersAreBounded(t *testing.T) {
	cfg := testConfig()
	cfg.MaxConnsPerAddr, cfg.MaxConns = 3, 5
	r := newRigWith(t, cfg, Deps{TLS: overTLSListener(t)}, func(s *Server) { s.firstMessage = 300 * time.Millisecond })
	tls := r.tlsAddr().String()
	open := func(address, local string) net.Conn {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
		conn, err := dialer.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	ends := func(conn net.Conn, within time.Duration) bool {
		conn.SetReadDeadline(time.Now().Add(within))
		_, err := conn.Read(make([]byte, 1))
		return err != nil && !isTimeout(err)
	}
	silent := []net.Conn{open(r.Addr().String(), "127.0.0.1"), open(tls, "127.0.0.1"), open(tls, "127.0.0.1")}
	await(t, "they are accepted", func() bool { return r.conns.len() == 3 })
	if !ends(open(r.Addr().String(), "127.0.0.1"), 200*time.Millisecond) {
		t.Error("a fourth connection of one address stays")
	}
	elsewhere := []net.Conn{open(r.Addr().String(), "127.0.0.2"), open(tls, "127.0.0.2")}
	await(t, "they are accepted", func() bool { return r.conns.len() == 5 })
	if !ends(open(r.Addr().String(), "127.0.0.3"), 200*time.Millisecond) {
		t.Error("a sixth connection stays")
	}
	if _, err := silent[1].Write([]byte{22, 3, 1, 0, 200, 1}); err != nil { // the beginning of a ClientHello
		t.Error(err)
	}
	for i, conn := range append(silent, elsewhere...) {
		if !ends(conn, 2*time.Second) {
			t.Errorf("connection %d, which says nothing, stays", i)
		}
	}
	await(t, "they are forgotten", func() bool { return r.conns.len() == 0 })
	a := newAgent(t, r, "tcp", "pt_1")
	a.want(a.allocate(), 0, "Allocate")
}

func TestStreamsOfNonsenseEnd(t *testing.T) {
	for name, sent := range map[string][]byte{
		"HTTP":             []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"TLS":              {22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3},
		"zeroes":           make([]byte, 4096),
		"a huge message":   {0, 3, 0xFF, 0xFC, 0x21, 0x12, 0xA4, 0x42},
		"huge ChannelData": {0x40, 0, 0xFF, 0xFF},
		"nothing known":    bytes.Repeat([]byte{0xFF}, 100),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigWith(t, testConfig(), Deps{}, func(s *Server) { s.firstMessage = 500 * time.Millisecond })
			a := newAgent(t, r, "tcp", "pt_1")
			a.write(sent)
			a.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.ReadAll(a.conn); err != nil && isTimeout(err) {
				t.Error("it stays")
			}
		})
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// A message that comes in pieces is one, and several that come together are several.
func TestAStreamInPieces(t *testing.T) {
	sfu := echo(t, "127.0.0.1:0")
	r := newRig(t, testConfig(), Deps{}, sfu)
	a := newAgent(t, r, "tcp", "pt_1")
	a.want(a.allocate(), 0, "Allocate")
	a.want(a.bind(minChannel, sfu), 0, "ChannelBind")
	var all []byte
	for _, size := range []int{1, 2, 3, 4, 5, 1199, 1200, 0} {
		b := append([]byte{minChannel >> 8, 0, byte(size >> 8), byte(size)}, bytes.Repeat([]byte{byte(size)}, size)...)
		all = append(all, b...)
		all = append(all, make([]byte, (4-len(b)%4)%4)...)
	}
	for _, piece := range [][]byte{all[:1], all[1:5], all[5:6], all[6:50], all[50:]} {
		a.write(piece)
	}
	for _, size := range []int{1, 2, 3, 4, 5, 1199, 1200} {
		got, ok := a.receive(2 * time.Second)
		if !ok || len(got) != size || !bytes.Equal(got, bytes.Repeat([]byte{byte(size)}, size)) {
			t.Fatalf("received %d bytes, %v, want %d", len(got), ok, size)
		}
	}
}

// A client that does not read loses what is for it, and holds up nobody.
func TestASlowReader(t *testing.T) {
	sfu := echo(t, "127.0.0.1:0")
	r := newRig(t, testConfig(), Deps{}, sfu)
	slow, quick := newAgent(t, r, "tcp", "pt_slow"), newAgent(t, r, "udp", "pt_quick")
	for _, a := range []*agent{slow, quick} {
		a.want(a.allocate(), 0, "Allocate")
		a.want(a.bind(minChannel, sfu), 0, "ChannelBind")
	}
	before := r.metrics.refusals[reasonUnsent].Value()
	slow.conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
	packet := bytes.Repeat([]byte("x"), 1000)
	await(t, "packets are dropped", func() bool {
		for range 500 {
			slow.channel(minChannel, packet)
		}
		return r.metrics.refusals[reasonUnsent].Value() > before
	})
	await(t, "the other one exchanges data", func() bool { // UDP may lose some in such a flood
		quick.channel(minChannel, []byte("not held up"))
		got, ok := quick.receive(100 * time.Millisecond)
		return ok && string(got) == "not held up"
	})
	st := allSessions(r)[0].stream
	if st == nil {
		st = allSessions(r)[1].stream
	}
	if st != nil {
		st.mu.Lock()
		defer st.mu.Unlock()
		if len(st.waiting) > writeBuffer {
			t.Errorf("%d bytes wait", len(st.waiting))
		}
	}
}

func TestAConnectionTakesItsAllocationAlong(t *testing.T) {
	r := newRig(t, testConfig(), Deps{})
	a := newAgent(t, r, "tcp", "pt_1")
	a.want(a.allocate(), 0, "Allocate")
	a.conn.Close()
	await(t, "the allocation ends", func() bool { return r.allocations.len() == 0 && r.conns.len() == 0 })
}

// The media path makes no garbage.
func TestRelayingDoesNotAllocate(t *testing.T) {
	sfu := echo(t, "127.0.0.1:0")
	r := newRig(t, testConfig(), Deps{}, sfu)
	a := newAgent(t, r, "udp", "pt_1")
	a.want(a.allocate(), 0, "Allocate")
	a.want(a.bind(minChannel, sfu), 0, "ChannelBind")
	s, d := allSessions(r)[0], r.doors[0]
	out := r.takeBatch()
	defer r.giveBatch(out)
	data := append([]byte{minChannel >> 8, 0, 4, 76}, make([]byte, 1100)...)
	peer := (*s.routes.Load())[0].peer
	if n := testing.AllocsPerRun(100, func() {
		d.datagram(data, s.client, out)
		out.flush(&r.metrics)
		out.tally.to(1100, s.deliver(peer, data[4:], out))
		out.flush(&r.metrics)
	}); n > 0 {
		t.Errorf("%v allocations for a packet each way", n)
	}
}
