package node

import (
	"testing"
	"time"

	"github.com/pion/rtp"
)

// TestVoiceAtOnce: who has just connected hears the newest packet of a voice at once, if it is recent, and once only.
func TestVoiceAtOnce(t *testing.T) {
	n := startNode(t)
	alice := &talker{client: join(t, n, "pt_alice")}
	track := alice.speak()
	alice.connect()
	bob := join(t, n, "pt_bob")
	bob.hears(1)
	bob.connect()
	sent := uint16(0)
	for heard := 0; heard == 0; heard = bob.drain(100 * time.Millisecond) {
		sent++
		if err := track.WriteRTP(&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: sent, Timestamp: 960 * uint32(sent)}, Payload: []byte{1}}); err != nil {
			t.Fatal(err)
		}
	}

	slot := bob.peer.slotList()[0]
	voice := slot.state().target
	newest := voice.cache.Get(sent)
	if newest == nil {
		t.Fatal("the cache does not have what was sent last")
	}
	defer newest.Release()
	for _, tc := range []struct {
		name  string
		age   int64
		heard bool // what comes has brought the slot to the voice already
		muted bool
		want  int
	}{
		{"recent", recentFor, false, false, 1},
		{"old", recentFor + 1, false, false, 0},
		{"heard", 0, true, false, 0},
		{"muted since", 0, false, true, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			slot.mu.Lock()
			slot.current = nil
			if tc.heard {
				slot.current = voice
			}
			slot.mu.Unlock()
			voice.track.muted.Store(tc.muted)
			for range 2 {
				slot.joinIn(voice, newest.Arrival+tc.age)
			}
			if got := bob.drain(100 * time.Millisecond); got != tc.want {
				t.Errorf("%d packets, want %d", got, tc.want)
			}
		})
	}
}
