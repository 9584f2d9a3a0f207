package node

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// farAway has a viewer be that far away, as far as the node knows, until the test ends.
func farAway(t *testing.T, p *Peer, roundTrip time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			p.in.rtt.Store(int64(roundTrip))
			time.Sleep(time.Millisecond) // it is measured every second
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// asks has a client ask for a packet again.
func (c *client) asks(ssrc uint32, seq uint16) {
	c.t.Helper()
	nack := &rtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{seq})}
	if err := c.pc.WriteRTCP([]rtcp.Packet{nack}); err != nil {
		c.t.Fatal(err)
	}
}

// TestAgainTwiceUnmeasured: it also does to one who never says what came.
func TestAgainTwiceUnmeasured(t *testing.T) {
	n := startNode(t)
	alice, bob := join(t, n, "pt_alice"), join(t, n, "pt_bob")
	track := alice.publish()
	alice.connect()
	bob.slots(1)
	bob.offerWith(unmeasured)
	farAway(t, bob.peer, 80*time.Millisecond)
	alice.film(track)
	lost := bob.next()
	for range 10 {
		bob.next()
	}
	bob.asks(lost.SSRC, lost.SequenceNumber)
	for times := 0; times < 2; {
		if p := bob.next(); p.SequenceNumber == lost.SequenceNumber {
			times++
		}
	}
}

// TestAgainTwice: what a viewer far away asks for again comes twice, and to one nearby once.
func TestAgainTwice(t *testing.T) {
	for name, tc := range map[string]struct {
		roundTrip time.Duration
		times     int
	}{"far": {80 * time.Millisecond, 2}, "near": {20 * time.Millisecond, 1}} {
		t.Run("a voice, "+name, func(t *testing.T) {
			_, alice, track, bob, tap := overheard(t, asItIs)
			farAway(t, bob.peer, tc.roundTrip)
			alice.talk(track, 1)
			lost := bob.next()
			for range 10 {
				bob.next()
			}
			bob.asks(lost.SSRC, lost.SequenceNumber)
			for range 20 {
				bob.next()
			}
			came := tap.of(lost.SSRC, lost.SequenceNumber)
			if len(came) != 1+tc.times {
				t.Fatalf("it came %d times, want once and %d times again", len(came), tc.times)
			}
			for _, again := range came[1:] {
				if !bytes.Equal(came[0], again) {
					t.Errorf("it came as %x, and again as %x", came[0], again)
				}
			}
		})
		t.Run("a picture, "+name, func(t *testing.T) {
			n := startNode(t)
			alice, bob, track := meet(t, n, n)
			farAway(t, bob.peer, tc.roundTrip)
			alice.film(track)
			lost := bob.next()
			for range 10 {
				bob.next()
			}
			bob.asks(lost.SSRC, lost.SequenceNumber)
			times := 0
			for range 60 {
				if p := bob.next(); p.SequenceNumber == lost.SequenceNumber && bytes.Equal(p.Payload, lost.Payload) {
					times++
				}
			}
			if times != tc.times {
				t.Errorf("it came %d times again, want %d", times, tc.times)
			}
		})
	}
}
