package node

import (
	"fmt"
	"net"
	"testing"

	"github.com/pion/rtp"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// audience is a room with one camera and viewers whose connections are up but read no longer: sockets that nobody reads
// stand in their places, so that only the node's own work is measured.
type audience struct {
	publisher *client
	layer     *layer
	out       *udp.Batch
	in        uint16
	picture   []byte
}

func seat(t testing.TB, viewers int) *audience {
	t.Helper()
	n := startNode(t)
	a := &audience{publisher: join(t, n, "pt_camera"), out: n.endpoint.NewBatch()}
	track := a.publisher.publish()
	a.publisher.connect()
	var seated []*client
	for i := range viewers {
		v := join(t, n, fmt.Sprintf("pt_%d", i))
		v.slots(1)
		v.connect()
		seated = append(seated, v)
	}
	for _, p := range a.publisher.peer.published {
		a.layer = p.layers[0]
	}
	// The first real packet tells the node the codec, which the slots wait for.
	if err := track.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 1}, Payload: vp8Frame(true, 1)}); err != nil {
		t.Fatal(err)
	}
	for _, v := range seated {
		v.events.until(t, "the slot shows the camera", func() bool { return len(v.events.slots) == 1 && v.events.slots[0].Layer != "" })
	}
	for _, v := range seated {
		v.deafen()
	}
	a.in, a.picture = 1, vp8Frame(false, 2)[:14]
	return a
}

// deafen closes the client and keeps its port open, so that the kernel answers nothing for it.
func (c *client) deafen() {
	c.t.Helper()
	pair, err := c.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.pc.GracefulClose(); err != nil {
		c.t.Fatal(err)
	}
	deaf, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(pair.Local.Address), Port: int(pair.Local.Port)})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = deaf.Close() })
}

// show forwards a picture of len(run) packets.
func (a *audience) show(run []*packet.Packet, size int) {
	for i := range run {
		a.in++
		p := packet.Get()
		p.Buf = packet.AppendHeader(p.Buf, i == len(run)-1, 96, a.in, uint32(a.in), 1, nil)
		p.Buf = append(p.Buf, a.picture...)
		p.Buf = p.Buf[:size]
		if p.Unmarshal() != nil || p.DescribeVP8() != nil {
			panic("not a packet")
		}
		p.SSRC = a.layer.ssrc.Load()
		run[i] = p
	}
	a.layer.forward(run, a.out)
	_ = a.out.Flush()
	for _, p := range run {
		p.Release()
	}
}

// TestForwardingAllocatesNothing: from a received picture to sealed datagrams in the kernel's hands.
func TestForwardingAllocatesNothing(t *testing.T) {
	a := seat(t, 3)
	run := make([]*packet.Packet, 4)
	a.show(run, 1100)
	sent := a.publisher.peer.node.endpoint.Stats().Sent
	if got := testing.AllocsPerRun(200, func() { a.show(run, 1100) }); got > 0 && !raceDetector {
		t.Errorf("%v allocations for each picture of four packets to three viewers", got)
	}
	if got := a.publisher.peer.node.endpoint.Stats().Sent - sent; got < 200*4*3 {
		t.Errorf("only %d datagrams left", got)
	}
}

// BenchmarkForward tells the cost of one forwarded packet, receiving left out: rewriting, sealing and sending.
func BenchmarkForward(b *testing.B) {
	for _, viewers := range []int{10, 50} {
		for _, tc := range []struct {
			name        string
			size, frame int
		}{{"video", 1100, 8}, {"one-packet", 1100, 1}, {"audio-sized", 120, 1}} {
			b.Run(fmt.Sprintf("%s/%d-viewers", tc.name, viewers), func(b *testing.B) {
				a := seat(b, viewers)
				run := make([]*packet.Packet, tc.frame)
				b.ReportAllocs()
				for b.Loop() {
					a.show(run, tc.size)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tc.frame*viewers), "ns/packet")
			})
		}
	}
}
