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
	spared      atomic.Bool // what is no retransmission passes again
	wg          sync.WaitGroup

	sound, picture, repair atomic.Uint64 // dropped
	late                   atomic.Uint64 // packets of pictures that came to the relay out of their order
	highest                uint16        // of pictures that were passed on; down's own
	started                bool
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
			r.order(b[:n])
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
	if !r.drop(payloadType, h.seq) || r.spared.Load() && payloadType != vp8|repairs {
		return false
	}
	switch payloadType {
	case opus:
		r.sound.Add(1)
	case vp8:
		r.picture.Add(1)
	case vp8 | repairs:
		r.repair.Add(1)
	}
	return true
}

// order notices what comes late: the node lost it on the way from the publisher, and got it again.
func (r *relay) order(b []byte) {
	if kindOf(b) != kindRTP || b[1]&0x7f != vp8 {
		return
	}
	switch h, _ := parseHeader(b); {
	case !r.started || h.seq-r.highest < 1<<15:
		r.started, r.highest = true, h.seq
	default:
		r.late.Add(1)
	}
}
