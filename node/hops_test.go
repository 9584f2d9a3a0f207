package node

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/internal/packet"
)

// addCamera adds one in layers of these names; a single one goes without a name.
func (c *client) addCamera(rids ...string) (tracks []*webrtc.TrackLocalStaticRTP) {
	c.t.Helper()
	for rank, rid := range rids {
		var options []func(*webrtc.TrackLocalStaticRTP)
		if len(rids) > 1 {
			options = append(options, webrtc.WithRTPStreamID(rid))
		}
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "v", "s", options...)
		if err != nil {
			c.t.Fatal(err)
		}
		tracks = append(tracks, track)
		if rank > 0 {
			if err := c.sender.AddEncoding(track); err != nil {
				c.t.Fatal(err)
			}
			continue
		}
		tr, err := c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			c.t.Fatal(err)
		}
		c.sender = tr.Sender()
	}
	return tracks
}

// simulcast publishes a camera in three layers, whose keyframes come every 20 packets. Those in c.paused are not sent.
func (c *client) simulcast() (start func()) {
	c.t.Helper()
	rids := []string{"q", "h", "f"}
	tracks := c.addCamera(rids...)
	return func() {
		mid := c.pc.GetTransceivers()[0].Mid()
		for i, track := range tracks {
			c.send(track, 900, func(n int) []byte {
				if c.paused.Load()&(1<<i) != 0 {
					return nil
				}
				frame := vp8Frame(n%20 == 0, n)
				if size := c.sizes[i]; size > 0 {
					frame = append(frame, make([]byte, max(0, size-len(frame)))...)[:size]
				}
				return frame
			}, map[string]string{uriMID: mid, uriRID: rids[i]})
		}
	}
}

// wish asks for a picture of a width; 0 is any.
func (c *client) wish(width int) {
	c.t.Helper()
	err := c.peer.Subscribe(Subscription{Auto: true, Slots: []SlotRequest{{MID: c.peer.Slots()[0].MID, MaxWidth: width}}})
	if err != nil {
		c.t.Fatal(err)
	}
}

// packets counts what was sent of a layer.
func (o *outlet) packets(rank int) uint32 {
	s := o.streams[rank]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packets
}

// TestLayersOverTwoLinks: between regions go the layers that the region's nodes want together, once each; and the publisher
// knows within a second what nobody wants any more.
func TestLayersOverTwoLinks(t *testing.T) {
	w := regions(t, 10*time.Millisecond, "eu-1", "us-1", "us-2", "us-3")
	alice := join(t, w.nodes["eu-1"], "pt_alice")
	start := alice.simulcast()
	alice.connect()
	camera := alice.peer.Tracks()[0]
	var people []*client
	for id, width := range map[string]int{"us-2": 160, "us-3": 0} {
		c := join(t, w.nodes[id], "pt_"+id)
		c.slots(1)
		c.offerWith(unmeasured) // it is about the links
		c.wish(width)
		w.nodes[id].AddRemote("mtg_1", camera, "eu-1")
		people = append(people, c)
	}
	start()
	for _, c := range people {
		c.events.until(t, "the layer is shown", func() bool { return slices.Contains([]string{"q", "f"}, c.events.slots[0].Layer) })
	}
	across := func() *outlet { return w.nodes["eu-1"].relay("us-1").outlet(feedKey{camera.ID, "eu-1"}) }
	eventually(t, "the lowest and the highest layer cross", func() bool { return across().asked.Load() == 5 })
	relay := w.nodes["eu-1"].relay("us-1")
	bytes := func() (published uint64) {
		for rank := range 3 {
			if s := across().streams[rank]; rank != 1 {
				s.mu.Lock()
				published += uint64(s.octets) + 40*uint64(s.packets) // headers with extensions, and the seal
				s.mu.Unlock()
			}
		}
		return published
	}
	eventually(t, "no other is sent in place of one that was yet to come", func() bool { return across().sends.Load() == 5 })
	unwanted := across().packets(1)
	before, published := relay.sent.Load(), bytes()
	people[0].drain(500 * time.Millisecond)
	if sent, of := relay.sent.Load()-before, bytes()-published; float64(sent) > 1.03*float64(of) {
		t.Errorf("%d bytes crossed for %d that were wanted", sent, of)
	}
	if crossed := across().packets(1) - unwanted; crossed != 0 {
		t.Errorf("%d packets of a layer that nobody wants", crossed)
	}
	for _, c := range people {
		c.wish(160)
	}
	asked := time.Now()
	alice.events.until(t, "the publisher is to send the lowest only", func() bool { return slices.Equal(alice.events.wanted[camera.ID], []string{"q"}) })
	if took := time.Since(asked); took > 1500*time.Millisecond {
		t.Errorf("that took %v", took)
	} else {
		t.Logf("the publisher knew after %v", took)
	}
}

// TestUnchangedOverTwoLinks: audio levels and clocks are on a leaf what they are at the origin.
func TestUnchangedOverTwoLinks(t *testing.T) {
	w := regions(t, 0, "eu-1", "us-1", "us-2")
	alice := join(t, w.nodes["eu-1"], "pt_alice")
	voice, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "a", "s")
	if err != nil {
		t.Fatal(err)
	}
	tr, err := alice.pc.AddTransceiverFromTrack(voice, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		t.Fatal(err)
	}
	alice.sender = tr.Sender()
	alice.connect()
	alice.send(voice, 480, func(int) []byte { return make([]byte, 40) }, map[string]string{uriAudioLevel: "\x8a"})
	microphone := alice.peer.Tracks()[0]
	leaf := w.nodes["us-2"]
	bob := w.view("us-2", "pt_bob", microphone, "eu-1")
	r := leaf.snapshot()[0]
	eventually(t, "alice is heard", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.recent) == 1 && r.recent[0] == "pt_alice"
	})
	if got := leaf.parent(microphone.ID, "eu-1"); got != "us-1" {
		t.Errorf("the parent is %q", got)
	}
	sr := &rtcp.SenderReport{SSRC: uint32(alice.sender.GetParameters().Encodings[0].SSRC), NTPTime: 0xe0000000 << 32, RTPTime: 4_000_000_000}
	l := r.published()[0].layers[0]
	var clock *packet.Clock
	eventually(t, "the report has crossed both links", func() bool {
		if err := alice.pc.WriteRTCP([]rtcp.Packet{sr}); err != nil {
			t.Fatal(err)
		}
		clock = l.clock.Load()
		return clock != nil
	})
	wall := float64(int64(clock.NTP-sr.NTPTime)) / (1 << 32)
	media := float64(int32(clock.RTP-sr.RTPTime)) / audioRate
	if skew := wall - media; skew < -0.001 || skew > 0.001 {
		t.Errorf("the clocks are %.1f ms apart after two links", skew*1000)
	}
	leaf.MuteRemote(microphone.ID, true)
	eventually(t, "nothing of a muted microphone crosses", func() bool { return w.serving("eu-1", "us-1") == 0 })
	leaf.MuteRemote(microphone.ID, false)
	eventually(t, "it is heard again", func() bool { return w.serving("eu-1", "us-1") == 1 })
	bob.peer.Close()
	eventually(t, "nothing crosses for nobody", func() bool { return w.serving("eu-1", "us-1") == 0 })
}

// TestLateJoiners: whoever begins to watch just after a keyframe gets it from the cache, on any node, and nobody has to send
// another.
func TestLateJoiners(t *testing.T) {
	w := regions(t, 0, "eu-1", "us-1", "us-2")
	for _, from := range []string{"eu-1", "us-1", "us-2"} {
		for _, to := range []string{"eu-1", "us-1", "us-2"} {
			if from != to {
				eventually(t, "a link", func() bool { w.nodes[from].relay(to).need(0); return w.linked(from, to) })
			}
		}
	}
	alice := join(t, w.nodes["eu-1"], "pt_alice")
	track := alice.publish()
	alice.connect()
	var pli atomic.Int64
	go func() {
		for {
			ps, _, err := alice.sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range ps {
				if _, ok := p.(*rtcp.PictureLossIndication); ok {
					pli.Add(1)
				}
			}
		}
	}()
	var people []*client
	for _, id := range []string{"eu-1", "us-1", "us-2"} {
		c := join(t, w.nodes[id], "pt_"+id)
		people = append(people, c)
		c.slots(1)
		c.connect()
	}
	alice.send(track, 900, func(n int) []byte { return vp8Frame(n%40 == 0, n) }, nil) // a keyframe every 400 ms
	camera := alice.peer.Tracks()[0]
	people[0].next()
	people[0].drain(500 * time.Millisecond) // of the first viewer's request
	before := pli.Load()
	w.nodes["us-2"].AddRemote("mtg_1", camera, "eu-1")
	people[2].next()
	w.nodes["us-1"].AddRemote("mtg_1", camera, "eu-1")
	for _, c := range people[1:] {
		if p := c.next(); c == people[1] && p.Payload[4]&1 != 0 {
			t.Error("does not begin with a keyframe")
		}
	}
	people[1].drain(300 * time.Millisecond)
	if got := pli.Load() - before; got != 0 {
		t.Errorf("%d keyframes were asked for", got)
	}
}
