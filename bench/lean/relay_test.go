package lean

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/parley-sfu/parley/internal/udp"
)

// relay stands between one viewer and the node, and drops packets of media on their way to the viewer.
type relay struct {
	front, back *net.UDPConn // the viewer's side, the node's
	node        netip.AddrPort
	viewer      atomic.Pointer[netip.AddrPort]
	drop        func(payloadType uint8, seq uint16) bool
	dropping    atomic.Bool
	wg          sync.WaitGroup

	sound, picture, repair atomic.Uint64 // dropped
}

func newRelay(t *testing.T, node netip.AddrPort, drop func(payloadType uint8, seq uint16) bool) *relay {
	t.Helper()
	open := func() *net.UDPConn {
		c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	r := &relay{front: open(), back: open(), node: node, drop: drop}
	r.wg.Go(r.up)
	r.wg.Go(r.down)
	t.Cleanup(func() {
		r.front.Close()
		r.back.Close()
		r.wg.Wait()
	})
	return r
}

func (r *relay) addr() udp.Addr { return udp.AddrFrom(r.front.LocalAddr().(*net.UDPAddr).AddrPort()) }

func (r *relay) up() {
	b := make([]byte, 2000)
	for {
		n, from, err := r.front.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		r.viewer.Store(&from)
		_, _ = r.back.WriteToUDPAddrPort(b[:n], r.node)
	}
}

func (r *relay) down() {
	b := make([]byte, 2000)
	for {
		n, err := r.back.Read(b)
		if err != nil {
			return
		}
		if to := r.viewer.Load(); to != nil && !r.drops(b[:n]) {
			_, _ = r.front.WriteToUDPAddrPort(b[:n], *to)
		}
	}
}

func (r *relay) drops(b []byte) bool {
	if kindOf(b) != kindRTP || !r.dropping.Load() {
		return false
	}
	payloadType, h := b[1]&0x7f, header{}
	h, _ = parseHeader(b)
	if !r.drop(payloadType, h.seq) {
		return false
	}
	switch payloadType {
	case opus:
		r.sound.Add(1)
	case vp8:
		r.picture.Add(1)
	case vp8Repair:
		r.repair.Add(1)
	}
	return true
}
