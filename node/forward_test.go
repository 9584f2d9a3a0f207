package node

import (
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// audience is a room with cameras and viewers of all of them, whose connections are up but read no longer: sockets that nobody
// reads stand in their places, so that only the node's own work is measured.
type audience struct {
	node    *Node
	cameras []*camera
	out     *udp.Batch
	picture []byte
}

// camera is one that has been seen once.
type camera struct {
	layer *layer
	in    uint16
}

func seat(t testing.TB, cameras, viewers int) *audience {
	t.Helper()
	n := startNode(t)
	n.bandwidth.Start, n.bandwidth.Min = n.bandwidth.Max, n.bandwidth.Max // nobody answers, and everything is sent all the same
	a := &audience{node: n, out: n.endpoint.NewBatch(), picture: vp8Frame(false, 2)[:14]}
	var publishers, seated []*client
	var tracks []*webrtc.TrackLocalStaticRTP
	for i := range cameras {
		p := join(t, n, fmt.Sprintf("pt_camera_%d", i))
		publishers, tracks = append(publishers, p), append(tracks, p.publish())
		p.connect()
	}
	for i := range viewers {
		v := join(t, n, fmt.Sprintf("pt_%d", i))
		v.slots(cameras)
		v.connect()
		seated = append(seated, v)
	}
	for i, publisher := range publishers {
		for _, p := range publisher.peer.published {
			a.cameras = append(a.cameras, &camera{p.layers[0], 1})
		}
		// The first real packet tells the node the codec, which the slots wait for.
		if err := tracks[i].WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 1}, Payload: vp8Frame(true, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range seated {
		v.events.until(t, "the slots show the cameras", func() bool {
			return len(v.events.slots) == cameras && !slices.ContainsFunc(v.events.slots, func(s Slot) bool { return s.Layer == "" })
		})
	}
	for _, v := range seated {
		v.deafen()
	}
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

// show forwards a picture of so many packets from every camera, as if one read had brought them.
func (a *audience) show(packets, size int) {
	for _, c := range a.cameras {
		for i := range packets {
			c.in++
			p := packet.Get()
			p.Buf = packet.AppendHeader(p.Buf, i == packets-1, 96, c.in, uint32(c.in), 1, nil)
			p.Buf = append(p.Buf, a.picture...)
			p.Buf = p.Buf[:size]
			if p.Unmarshal() != nil || p.DescribeVP8() != nil {
				panic("not a packet")
			}
			p.SSRC = c.layer.ssrc.Load()
			spreadOf(a.out).add(c.layer, p)
		}
	}
	_ = a.out.Flush()
}

// TestForwardingAllocatesNothing: from received pictures to sealed datagrams in the kernel's hands, which leave together for each
// viewer.
func TestForwardingAllocatesNothing(t *testing.T) {
	for _, tc := range []struct {
		name             string
		cameras, packets int
	}{{"one camera", 1, 4}, {"two cameras", 2, 1}} {
		t.Run(tc.name, func(t *testing.T) {
			const viewers, times = 3, 200
			a := seat(t, tc.cameras, viewers)
			a.show(tc.packets, 1100)
			before := a.node.endpoint.Stats()
			if got := testing.AllocsPerRun(times, func() { a.show(tc.packets, 1100) }); got > 0 && !raceDetector {
				t.Errorf("%v allocations each time", got)
			}
			after := a.node.endpoint.Stats()
			sent, inRuns := after.Sent-before.Sent, after.Segmented-before.Segmented
			if want := uint64(times * tc.cameras * tc.packets * viewers); inRuns < want {
				t.Errorf("of %d datagrams %d left in runs, want %d", sent, inRuns, want)
			}
		})
	}
}

// BenchmarkForward tells the cost of one forwarded packet, receiving left out: rewriting, sealing and sending.
func BenchmarkForward(b *testing.B) {
	for _, viewers := range []int{10, 50} {
		for _, tc := range []struct {
			name                 string
			cameras, size, frame int
		}{{"video", 1, 1100, 8}, {"one-packet", 1, 1100, 1}, {"audio-sized", 1, 120, 1}, {"thumbnails", 5, 1100, 1}} {
			b.Run(fmt.Sprintf("%s/%d-viewers", tc.name, viewers), func(b *testing.B) {
				a := seat(b, tc.cameras, viewers)
				b.ReportAllocs()
				for b.Loop() {
					a.show(tc.frame, tc.size)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*tc.frame*tc.cameras*viewers), "ns/packet")
			})
		}
	}
}
