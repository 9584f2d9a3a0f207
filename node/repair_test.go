package node

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// TestLostOnTheWayToAViewer: what a viewer asks for again comes from the node's cache, as it was sent before.
func TestLostOnTheWayToAViewer(t *testing.T) {
	n := startNode(t)
	alice, bob, track := meet(t, n, n)
	alice.film(track)
	var seen []*rtp.Packet
	for range 20 {
		seen = append(seen, bob.next())
	}
	lost := seen[10]
	err := bob.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
		MediaSSRC: lost.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{lost.SequenceNumber}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		p := bob.next()
		if p.SequenceNumber != lost.SequenceNumber {
			continue
		}
		if p.Timestamp != lost.Timestamp || !bytes.Equal(p.Payload, lost.Payload) {
			t.Errorf("repaired as %v, was %v", p, lost)
		}
		return
	}
	t.Error("never repaired")
}

// TestLostOnTheWayFromAPublisher: the node asks the publisher again, and forwards what comes late in its place.
func TestLostOnTheWayFromAPublisher(t *testing.T) {
	n := startNode(t)
	alice, bob, track := meet(t, n, n)
	asked := make(chan []uint16, 100)
	go func() {
		for {
			ps, _, err := alice.sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range ps {
				if n, ok := p.(*rtcp.TransportLayerNack); ok {
					asked <- n.Nacks[0].PacketList()
				}
			}
		}
	}()
	send := func(seq uint16, key bool) {
		p := &rtp.Packet{
			Header:  rtp.Header{Version: 2, Marker: true, SequenceNumber: seq, Timestamp: uint32(seq) * 3000},
			Payload: vp8Frame(key, int(seq)),
		}
		if err := track.WriteRTP(p); err != nil {
			t.Fatal(err)
		}
	}
	before := uint16(0)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ; len(bob.media) == 0; <-tick.C { // alice's end has no keys yet for a moment, and loses what it is given
		if before++; before > 1000 {
			t.Fatal("nothing comes to bob")
		}
		send(before, true)
	}
	bob.drain(100 * time.Millisecond)
	lost := before + 7
	for seq := before + 1; seq <= before+20; seq++ {
		if seq != lost {
			send(seq, false)
		}
	}
	select {
	case got := <-asked:
		if !slices.Contains(got, lost) {
			t.Fatalf("asked for %v", got)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("never asked")
	}
	send(lost, false)
	first := bob.next()
	arrived := []uint16{0}
	for len(arrived) < 20 {
		arrived = append(arrived, bob.next().SequenceNumber-first.SequenceNumber)
	}
	if arrived[19] != 6 {
		t.Errorf("the late packet should come last and in its own place: %v", arrived)
	}
}

// TestMutedIsNotForwarded: a muted source is silent on the server, whatever its publisher still sends.
func TestMutedIsNotForwarded(t *testing.T) {
	n := startNode(t)
	alice, bob, track := meet(t, n, n)
	alice.film(track)
	bob.next()
	alice.peer.SetMuted(Camera, true)
	bob.events.until(t, "the slot says muted", func() bool {
		return bob.events.slots[0].State == SlotPaused && bob.events.slots[0].Reason == "muted"
	})
	bob.drain(100 * time.Millisecond) // what was on its way
	if got := bob.drain(200 * time.Millisecond); got != 0 {
		t.Errorf("%d packets of a muted camera", got)
	}
	alice.peer.SetMuted(Camera, false)
	if p := bob.next(); p.Payload[4]&1 != 0 {
		t.Error("does not begin with a keyframe after unmuting")
	}
}

// TestSlotsByHand: a slot shows what is asked for, and never one's own track.
func TestSlotsByHand(t *testing.T) {
	n := startNode(t)
	alice, bob := join(t, n, "pt_alice"), join(t, n, "pt_bob")
	alice.publish()
	alice.connect()
	bob.publish()
	bob.slots(2)
	bob.connect()
	of, own := alice.peer.Tracks()[0].ID, bob.peer.Tracks()[0].ID
	mids := []string{bob.peer.Slots()[0].MID, bob.peer.Slots()[1].MID}
	if err := bob.peer.Subscribe(Subscription{Slots: []SlotRequest{{MID: mids[1], TrackID: of}}}); err != nil {
		t.Fatal(err)
	}
	bob.events.until(t, "only the second slot is bound", func() bool {
		s := bob.events.slots
		return len(s) == 2 && s[0].State == SlotEmpty && s[1].TrackID == of
	})
	for name, wish := range map[string]SlotRequest{
		"own track":     {MID: mids[0], TrackID: own},
		"unknown slot":  {MID: "nowhere", TrackID: of},
		"negative size": {MID: mids[0], TrackID: of, MaxWidth: -1},
	} {
		t.Run(name, func(t *testing.T) {
			err := bob.peer.Subscribe(Subscription{Slots: []SlotRequest{wish}})
			if err == nil || AsError(err).Kind != Invalid {
				t.Errorf("error %v", err)
			}
		})
	}
	alice.peer.Close()
	bob.events.until(t, "the slot is empty after she left", func() bool { return bob.events.slots[1].State == SlotEmpty })
}
