package node

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// misses has a client say that a packet did not come, in its account of what did.
func (c *client) misses(number uint16) {
	c.t.Helper()
	account := &rtcp.TransportLayerCC{
		Header:             rtcp.Header{Padding: true, Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback, Length: 5},
		BaseSequenceNumber: number, PacketStatusCount: 1,
		PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketNotReceived, RunLength: 1}},
	}
	if err := c.pc.WriteRTCP([]rtcp.Packet{account}); err != nil {
		c.t.Fatal(err)
	}
}

// TestUnasked: what a viewer far away is found not to have got comes again without being asked for, and again when that does not come either; to one nearby
// nothing does.
func TestUnasked(t *testing.T) {
	for name, far := range map[string]bool{"far": true, "near": false} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t)
			alice, bob, track := meet(t, n, n)
			if far {
				farAway(t, bob.peer, 80*time.Millisecond)
			}
			alice.film(track)
			number := func(p *rtp.Packet) uint16 {
				return binary.BigEndian.Uint16(p.GetExtension(bob.peer.slotList()[0].number))
			}
			bob.misses(number(bob.next()))
			for range 100 { // more than come at once
				bob.next()
			}
			lost := bob.next()
			again := func(of *rtp.Packet) (came *rtp.Packet) {
				bob.misses(number(of))
				for range 60 {
					if p := bob.next(); p.SequenceNumber == lost.SequenceNumber && bytes.Equal(p.Payload, lost.Payload) {
						came = p
					}
				}
				return came
			}
			first := again(lost)
			if (first != nil) != far {
				t.Fatalf("it came again: %v, want %v", first != nil, far)
			}
			if far && again(first) == nil {
				t.Error("what was sent again, and lost again, did not come")
			}
		})
	}
}

// TestRoundTripOfViewers: how far away somebody is who publishes nothing is known, too.
func TestRoundTripOfViewers(t *testing.T) {
	n := startNode(t)
	_, bob, _ := meet(t, n, n)
	eventually(t, "the round trip is known", func() bool { return bob.peer.in.rtt.Load() != 0 })
}
