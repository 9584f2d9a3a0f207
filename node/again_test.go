package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/internal/bandwidth"
)

// wiretap keeps the RTP that comes to a client as it was on the wire.
type wiretap struct {
	net.PacketConn

	mu   sync.Mutex
	came map[uint64][][]byte // by SSRC and sequence number
}

func (w *wiretap) ReadFrom(b []byte) (n int, addr net.Addr, err error) {
	n, addr, err = w.PacketConn.ReadFrom(b)
	if err == nil && n > 12 && b[0]>>6 == 2 && (b[1] < 192 || b[1] > 223) { // RFC 5761 section 4
		key := uint64(binary.BigEndian.Uint32(b[8:]))<<16 | uint64(binary.BigEndian.Uint16(b[2:]))
		w.mu.Lock()
		w.came[key] = append(w.came[key], bytes.Clone(b[:n]))
		w.mu.Unlock()
	}
	return n, addr, err
}

func (w *wiretap) of(ssrc uint32, seq uint16) [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.came[uint64(ssrc)<<16|uint64(seq)]
}

// tapped gives a client a socket with a wiretap.
func tapped(t *testing.T) (*wiretap, how) {
	t.Helper()
	socket, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tap := &wiretap{PacketConn: socket, came: map[uint64][][]byte{}}
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: tap})
	t.Cleanup(func() { _ = mux.Close(); _ = socket.Close() })
	return tap, func(s *webrtc.SettingEngine) { s.SetICEUDPMux(mux) }
}

// pacedAlways has all that goes to a viewer or another node pass its pacer, as if the way were narrow, until the function returned is called.
func pacedAlways(n *Node, c *pacer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			c.set(true, bandwidth.Pacing{Rate: 8_000_000, Estimate: 8_000_000, Queue: 100_000}, n.endpoint.Now())
			time.Sleep(time.Millisecond) // who finds the way wide ends it every 100 ms
		}
	})
	return func() { cancel(); wg.Wait() }
}

// repairable offers to ask for lost packets of voices again.
func repairable(offer string) string {
	const opus = "a=rtpmap:111 opus/48000/2\r\n"
	return strings.ReplaceAll(offer, opus, opus+"a=rtcp-fb:111 nack\r\n")
}

// overheard brings together somebody who will speak and somebody who hears it through a wiretap, may ask for it again, and offers what else change makes of
// the offer.
func overheard(t *testing.T, change func(string) string) (n *Node, alice *talker, track *webrtc.TrackLocalStaticRTP, bob *client, tap *wiretap) {
	t.Helper()
	n = startNode(t)
	alice = &talker{client: join(t, n, "pt_alice")}
	alice.level.Store(20)
	track = alice.speak()
	alice.connect()
	tap, how := tapped(t)
	bob = join(t, n, "pt_bob", how)
	bob.hears(1)
	bob.offerWith(func(offer string) string { return repairable(change(offer)) })
	return n, alice, track, bob, tap
}

// asItIs leaves an offer alone.
func asItIs(offer string) string { return offer }

// TestVoiceAgain: a packet of a voice that is asked for again comes again as it was, byte for byte, and once only, however often it is
// asked for before it can have arrived.
func TestVoiceAgain(t *testing.T) {
	for name, change := range map[string]func(string) string{"numbered": asItIs, "not numbered": unmeasured, "dated": dated, "paced": asItIs} {
		t.Run(name, func(t *testing.T) {
			n, alice, track, bob, tap := overheard(t, change)
			if name == "paced" {
				t.Cleanup(pacedAlways(n, &bob.peer.pacer))
			}
			alice.talk(track, 1)
			alice.tellsTime(t, 1<<40, 0)
			lost := bob.next()
			for name == "dated" && lost.GetExtension(dateID) == nil {
				lost = bob.next()
			}
			for range 30 {
				bob.next()
			}
			var asked []rtcp.Packet
			for _, ahead := range []uint16{0, 0, 0, 0, 1} { // when the last has come again, all of the others would have
				asked = append(asked, &rtcp.TransportLayerNack{
					MediaSSRC: lost.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{lost.SequenceNumber + ahead}),
				})
			}
			if err := bob.pc.WriteRTCP(asked); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it comes again", func() bool { return len(tap.of(lost.SSRC, lost.SequenceNumber+1)) == 2 })
			for seq := lost.SequenceNumber; seq < lost.SequenceNumber+2; seq++ {
				came := tap.of(lost.SSRC, seq)
				if len(came) != 2 || !bytes.Equal(came[0], came[1]) {
					t.Errorf("%d came %d times: %x", seq, len(came), came)
				}
			}
		})
	}
}

// TestVoiceMemory: what was never sent is not found, nor what was sent too long ago.
func TestVoiceMemory(t *testing.T) {
	a := newAgain()
	for seq := uint16(65500); seq != 100; seq++ {
		a.wrote(seq, uint64(seq))
		if a.find(seq) != nil {
			t.Fatalf("%d is found before it has left", seq)
		}
		a.left(seq, []byte{byte(seq >> 8), byte(seq)})
	}
	for seq, want := range map[uint16]bool{99: true, 36: true, 35: false, 65535: false, 100: false, 99 + againMemory: false} {
		v := a.find(seq)
		if (v != nil) != want || want && (binary.BigEndian.Uint16(v.number[:]) != seq || v.captured != uint64(seq)) {
			t.Errorf("%d found as %v, want %v", seq, v, want)
		}
	}
	if newAgain().find(0) != nil {
		t.Error("found what was never sent")
	}
}

func TestVoiceUnderway(t *testing.T) {
	const now = int64(time.Minute)
	for _, tc := range []struct {
		ago, roundTrip time.Duration
		want           bool
	}{
		{ago: 100 * time.Millisecond, roundTrip: 160 * time.Millisecond, want: true},
		{ago: 160 * time.Millisecond, roundTrip: 160 * time.Millisecond, want: false},
		{ago: 10 * time.Millisecond, roundTrip: time.Millisecond, want: true},
		{ago: 15 * time.Millisecond, roundTrip: time.Millisecond, want: false},
	} {
		t.Run(fmt.Sprint(tc.ago, " of ", tc.roundTrip), func(t *testing.T) {
			v := sentVoice{resent: now - int64(tc.ago)}
			if got := v.underway(now, tc.roundTrip); got != tc.want {
				t.Errorf("underway = %v", got)
			}
		})
	}
	if (&sentVoice{}).underway(1, time.Second) {
		t.Error("underway, and never sent again")
	}
}
