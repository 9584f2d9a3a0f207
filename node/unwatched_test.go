package node

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
)

// obey films in three layers, or in one without a name, and sends what is wanted only. Every layer begins with a keyframe; others
// come when they are asked for.
func (c *client) obey(layers int) (camera Track) {
	c.t.Helper()
	rids := []string{"q", "h", "f"}[3-layers:]
	tracks := c.addCamera(rids...)
	c.connect()
	camera = c.peer.Tracks()[0]
	for i, track := range tracks {
		var begins atomic.Bool
		begins.Store(true)
		go func() {
			for {
				read := c.sender.ReadRTCP
				if layers > 1 {
					read = func() ([]rtcp.Packet, interceptor.Attributes, error) { return c.sender.ReadSimulcastRTCP(rids[i]) }
				}
				packets, _, err := read()
				if err != nil {
					return
				}
				for _, p := range packets {
					if _, ok := p.(*rtcp.PictureLossIndication); ok {
						begins.Store(true)
					}
				}
			}
		}()
		extensions := map[string]string{uriMID: c.pc.GetTransceivers()[0].Mid(), uriRID: rids[i]}
		if layers == 1 {
			extensions = nil
		}
		c.send(track, 900, func(n int) []byte {
			c.events.mu.Lock()
			wanted, told := c.events.wanted[camera.ID]
			c.events.mu.Unlock()
			if told && !slices.Contains(wanted, rids[i]) {
				begins.Store(true)
				return nil
			}
			frame := vp8Frame(begins.Swap(false), n)
			return append(frame[:len(frame)+min(c.more[i], 0)], make([]byte, max(c.more[i], 0))...)
		}, extensions)
	}
	return camera
}

// TestNobodyWatches: over two links a publisher knows within a second what nobody in the cluster wants, and begins again in the time
// of one round trip and a keyframe.
func TestNobodyWatches(t *testing.T) {
	const between = 40 * time.Millisecond
	for name, layers := range map[string]int{"simulcast": 3, "one layer": 1} {
		t.Run(name, func(t *testing.T) {
			w := regions(t, between, "eu-1", "us-1", "us-2")
			alice := join(t, w.nodes["eu-1"], "pt_alice")
			camera := alice.obey(layers)
			bob := join(t, w.nodes["us-2"], "pt_bob")
			bob.slots(1)
			bob.offerWith(unmeasured)
			w.nodes["us-2"].AddRemote("mtg_1", camera, "eu-1")
			shows := func(rid string) {
				t.Helper()
				bob.events.until(t, "bob sees "+rid, func() bool { return bob.events.slots[0].Layer == rid })
			}
			knows := func(wanted ...string) {
				t.Helper()
				alice.events.until(t, "what alice is to send", func() bool {
					told, ok := alice.events.wanted[camera.ID]
					return ok && slices.Equal(told, wanted)
				})
			}
			shows("f")
			if layers > 1 {
				bob.wish(0)
				knows("f")
				bob.wish(160)
				shows("q")
				w.resumes(bob, func() { bob.wish(0) }, func() { shows("f") }, between)
				bob.wish(160)
				began := time.Now()
				knows("q")
				t.Logf("alice knew of the layers after %v", time.Since(began))
			}
			began := time.Now()
			bob.pause(true)
			knows()
			took := time.Since(began)
			t.Logf("alice knew that nobody watches after %v", took)
			if took > time.Second {
				t.Errorf("alice knew after %v that nobody watches", took)
			}
			bob.drain(100 * time.Millisecond)
			w.resumes(bob, func() { bob.pause(false) }, func() { bob.next() }, between)
		})
	}
}

// unmeasured takes transport-wide feedback out of an offer: nobody waits for a probe then before more is shown.
func unmeasured(offer string) string {
	var kept []string
	for line := range strings.Lines(offer) {
		if !strings.Contains(line, "transport-cc") && !strings.Contains(line, uriTWCC) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// pause has the client's first slot show nothing, or go on.
func (c *client) pause(paused bool) {
	c.t.Helper()
	err := c.peer.Subscribe(Subscription{Auto: true, Slots: []SlotRequest{{MID: c.peer.Slots()[0].MID, Paused: paused}}})
	if err != nil {
		c.t.Fatal(err)
	}
}

// resumes checks how long something takes to come that is not sent when it is asked for: a round trip and the keyframe, which is the
// next packet, and what a busy machine needs.
func (w *wan) resumes(c *client, ask, comes func(), between time.Duration) {
	w.t.Helper()
	began := time.Now()
	ask()
	comes()
	took := time.Since(began)
	c.t.Logf("it came again %v after it was asked for", took)
	if took > 2*between+120*time.Millisecond {
		c.t.Errorf("it came again only %v after it was asked for", took)
	}
}
