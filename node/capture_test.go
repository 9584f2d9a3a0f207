package node

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/pion/rtcp"

	"github.com/parley-sfu/parley/internal/packet"
)

const dateID = 13 // of the header extension, as these tests offer it

// dated offers the absolute capture time in all m-lines.
func dated(offer string) string {
	return strings.ReplaceAll(offer, "a=rtcp-mux\r\n", fmt.Sprintf("a=rtcp-mux\r\na=extmap:%d %s\r\n", dateID, uriCapture))
}

// tellsTime has the talker report that a timestamp is of an instant, and waits until the node knows.
func (c *talker) tellsTime(t *testing.T, ntp uint64, timestamp uint32) {
	t.Helper()
	l := c.layer()
	eventually(t, "the node knows the microphone", func() bool { return l.ssrc.Load() != 0 })
	if err := c.pc.WriteRTCP([]rtcp.Packet{&rtcp.SenderReport{SSRC: l.ssrc.Load(), NTPTime: ntp, RTPTime: timestamp}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node knows the clock", func() bool { return l.clock.Load() != nil })
}

// layer is what the node has of the talker's microphone.
func (c *talker) layer() *layer {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	for _, t := range c.peer.published {
		return t.layers[0]
	}
	return nil
}

// TestTimesOfCapture: who offers it is told now and then when packets were captured, by the publisher's clock.
func TestTimesOfCapture(t *testing.T) {
	n := startNode(t)
	alice := &talker{client: join(t, n, "pt_alice")}
	alice.level.Store(20)
	track := alice.speak()
	alice.connect()
	bob, carol := join(t, n, "pt_bob"), join(t, n, "pt_carol")
	for c, change := range map[*client]func(string) string{bob: dated, carol: func(offer string) string { return offer }} {
		c.hears(1)
		c.offerWith(change)
	}
	alice.talk(track, 1)
	const ntp, timestamp = 4_000_000_000<<32 | 12345, 960
	alice.tellsTime(t, ntp, timestamp)
	told := 0
	for range 120 { // 2.4 s
		p := bob.next()
		date := p.GetExtension(dateID)
		if date == nil {
			continue
		}
		told++
		want := packet.Clock{NTP: ntp, RTP: timestamp, Rate: audioRate}.NTPAt(binary.BigEndian.Uint32(p.Payload[1:]) * 960)
		if got := binary.BigEndian.Uint64(date); got != want {
			t.Errorf("packet %x was captured at %x, told as %x", p.Payload, want, got)
		}
	}
	if told < 2 || told > 4 {
		t.Errorf("told %d times in 2.4 s", told)
	}
	for range 120 {
		if p := carol.next(); p.GetExtension(dateID) != nil {
			t.Fatal("told who does not ask")
		}
	}
}
