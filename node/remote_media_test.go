package node

import (
	"context"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/internal/packet"
)

// across is alice's camera on node-a, shown to bob on node-b.
func across(t testing.TB) (w *town, alice, bob *client, camera Track) {
	w = settle(t, "node-a", "node-b")
	alice, bob = join(t, w.nodes["node-a"], "pt_alice"), join(t, w.nodes["node-b"], "pt_bob")
	track := alice.publish()
	alice.connect()
	bob.slots(1)
	bob.connect()
	alice.film(track)
	camera = alice.peer.Tracks()[0]
	w.nodes["node-b"].AddRemote("mtg_1", camera, "node-a")
	bob.next()
	return w, alice, bob, camera
}

// pulled is node-b's end of a track that comes from node-a.
func (w *town) pulled(id string) *pull {
	r := w.nodes["node-b"].relay("node-a")
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pulls[feedKey{id, "node-a"}]
}

// crossed counts the packets of each layer of a track that node-a has sent to node-b.
func (w *town) crossed(id string) (packets [maxLayers]uint32) {
	o := w.nodes["node-a"].relay("node-b").outlet(feedKey{id, "node-a"})
	if o == nil {
		return packets
	}
	for rank := range o.track.layers {
		s := o.streams[rank]
		s.mu.Lock()
		packets[rank] = s.packets
		s.mu.Unlock()
	}
	return packets
}

// TestPulledAgain: a track that nobody wanted for a while comes again, also after its sequence numbers have wrapped: the
// link's streams go on where they were.
func TestPulledAgain(t *testing.T) {
	w, _, bob, camera := across(t)
	eventually(t, "the sequence numbers have wrapped", func() bool { return w.crossed(camera.ID)[0] > 60 })
	mid, r := bob.peer.Slots()[0].MID, w.nodes["node-a"].relay("node-b")
	for range 2 {
		if err := bob.peer.Subscribe(Subscription{Auto: true, Slots: []SlotRequest{{MID: mid, Paused: true}}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "nothing crosses", func() bool { return r.serves() == 0 })
		if r.Serves(r.current()) {
			t.Error("the link is guarded for nothing")
		}
		bob.drain(50 * time.Millisecond)
		if err := bob.peer.Subscribe(Subscription{Auto: true}); err != nil {
			t.Fatal(err)
		}
		if p := bob.next(); p.Payload[4]&1 != 0 {
			t.Error("does not begin with a keyframe")
		}
		if !r.Serves(r.current()) {
			t.Error("the link is not guarded")
		}
	}
}

// TestMutedOnAnotherNode: nothing of a muted track crosses the link, and it comes back with a keyframe.
func TestMutedOnAnotherNode(t *testing.T) {
	w, _, bob, camera := across(t)
	b := w.nodes["node-b"]
	b.MuteRemote(camera.ID, true)
	bob.events.until(t, "the slot says muted", func() bool { return bob.events.slots[0].Reason == "muted" })
	eventually(t, "nothing crosses", func() bool { return w.nodes["node-a"].relay("node-b").serves() == 0 })
	bob.drain(50 * time.Millisecond)
	b.MuteRemote(camera.ID, false)
	if p := bob.next(); p.Payload[4]&1 != 0 {
		t.Error("does not begin with a keyframe after unmuting")
	}
}

// TestClocksAcrossALink: a sender report says the same of the publisher's clocks on the other node.
func TestClocksAcrossALink(t *testing.T) {
	w, alice, _, camera := across(t)
	params := alice.sender.GetParameters()
	sr := &rtcp.SenderReport{SSRC: uint32(params.Encodings[0].SSRC), NTPTime: 0xe0000000 << 32, RTPTime: 4_000_000_000}
	l := w.pulled(camera.ID).feed.track.layers[0]
	var clock *packet.Clock
	eventually(t, "the report has crossed", func() bool {
		if err := alice.pc.WriteRTCP([]rtcp.Packet{sr}); err != nil {
			t.Fatal(err)
		}
		clock = l.clock.Load()
		return clock != nil
	})
	wall := float64(int64(clock.NTP-sr.NTPTime)) / (1 << 32)
	media := float64(int32(clock.RTP-sr.RTPTime)) / videoRate
	if skew := wall - media; skew < -0.001 || skew > 0.001 {
		t.Errorf("the clocks are %.1f ms apart after the link", skew*1000)
	}
}

// TestRepairAcrossALink: what got lost on a link comes as a retransmission, and takes its old place.
func TestRepairAcrossALink(t *testing.T) {
	w, _, _, camera := across(t)
	p := w.pulled(camera.ID)
	l, in, ssrc := p.feed.track.layers[0], p.relay.in, p.Streams[0].Media
	in.mu.Lock()
	l.mu.Lock()
	_, _, highest, _ := l.reception.Report()
	l.mu.Unlock()
	lost := uint16(highest) + 1
	known := in.declared[ssrc]
	delete(in.declared, ssrc) // an SSRC that nobody expects is lost like on the way
	delete(in.streams, ssrc)
	in.mu.Unlock()
	sent := w.crossed(camera.ID)[0]
	eventually(t, "some packets were lost", func() bool { return w.crossed(camera.ID)[0] > sent+2 })
	in.mu.Lock()
	in.declared[ssrc] = known
	in.mu.Unlock()
	eventually(t, "the packet is there again", func() bool {
		again := l.cache.Get(lost)
		if again != nil {
			again.Release()
		}
		return again != nil
	})
	in.mu.Lock()
	defer in.mu.Unlock()
	if s := in.streams[p.Streams[0].Repair]; s.layer != l || !s.repair {
		t.Error("it did not come as a retransmission")
	}
}

// TestThreeNodes: in one room on three nodes everybody sees the other two.
func TestThreeNodes(t *testing.T) {
	ids := []string{"node-a", "node-b", "node-c"}
	w := settle(t, ids...)
	var people []*client
	for _, id := range ids {
		c := join(t, w.nodes[id], "pt_"+id)
		track := c.publish()
		c.slots(2)
		c.connect()
		c.film(track)
		people = append(people, c)
	}
	for i, from := range ids {
		for j, to := range ids {
			if i != j {
				w.nodes[to].AddRemote("mtg_1", people[i].peer.Tracks()[0], from)
			}
		}
	}
	for i, c := range people {
		c.events.until(t, "both others are seen", func() bool {
			seen := map[string]bool{}
			for _, s := range c.events.slots {
				if s.State == SlotActive && s.Layer != "" {
					seen[s.ParticipantID] = true
				}
			}
			return len(seen) == 2 && !seen["pt_"+ids[i]]
		})
	}
	for _, id := range ids {
		if got := len(w.nodes[id].links.Links()); got != 2 {
			t.Errorf("%s has %d links", id, got)
		}
	}
}

// send writes an RTP packet with header extensions every few milliseconds until the test ends. No payload is no packet.
func (c *client) send(track *webrtc.TrackLocalStaticRTP, step uint32, payload func(n int) []byte, extensions map[string]string) {
	c.t.Helper()
	ids := map[string]uint8{}
	for _, e := range c.sender.GetParameters().HeaderExtensions {
		ids[e.URI] = uint8(e.ID)
	}
	ctx, stop := context.WithCancel(c.t.Context())
	done := make(chan struct{})
	c.t.Cleanup(func() { stop(); <-done })
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n, sent := 0, uint16(0); ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			p := &rtp.Packet{
				Header:  rtp.Header{Version: 2, Marker: true, SequenceNumber: sent, Timestamp: uint32(n) * step},
				Payload: payload(n),
			}
			if p.Payload == nil {
				continue
			}
			sent++
			for uri, v := range extensions {
				if p.SetExtension(ids[uri], []byte(v)) != nil {
					return
				}
			}
			if track.WriteRTP(p) != nil {
				return
			}
		}
	}()
}

// TestLevelsAcrossALink: who speaks on one node is heard to speak on the other.
func TestLevelsAcrossALink(t *testing.T) {
	w := settle(t, "node-a", "node-b")
	alice, bob := join(t, w.nodes["node-a"], "pt_alice"), join(t, w.nodes["node-b"], "pt_bob")
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
	bob.slots(1)
	bob.connect()
	alice.send(voice, 480, func(int) []byte { return make([]byte, 40) }, map[string]string{uriAudioLevel: "\x8a"})
	microphone := alice.peer.Tracks()[0]
	w.nodes["node-b"].AddRemote("mtg_1", microphone, "node-a")
	r := w.nodes["node-b"].rooms["mtg_1"]
	eventually(t, "alice is heard on node-b", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.recent) == 1 && r.recent[0] == "pt_alice"
	})
}

// TestNobodyListens: a microphone does not cross a link to a node whose people only publish; it does once somebody comes who
// receives something, whatever that is.
func TestNobodyListens(t *testing.T) {
	w := settle(t, "node-a", "node-b")
	alice, bob := join(t, w.nodes["node-a"], "pt_alice"), join(t, w.nodes["node-b"], "pt_bob")
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
	track := bob.publish()
	bob.connect()
	bob.film(track)
	alice.send(voice, 480, func(int) []byte { return make([]byte, 40) }, map[string]string{uriAudioLevel: "\x8a"})
	b := w.nodes["node-b"]
	b.AddRemote("mtg_1", alice.peer.Tracks()[0], "node-a")
	b.rooms["mtg_1"].tellWanted(b.endpoint.Now())
	if f := b.feedList()[0]; f.wanted.Load() != 0 {
		t.Error("a microphone is pulled that nobody listens to")
	}
	carol := join(t, b, "pt_carol")
	carol.slots(1)
	carol.connect()
	eventually(t, "it is pulled", func() bool { return w.nodes["node-a"].relay("node-b").serves() == 1 })
}

// TestOnlyWantedLayersCross: of a simulcast camera the link carries what the other node's slots can use.
func TestOnlyWantedLayersCross(t *testing.T) {
	w := settle(t, "node-a", "node-b")
	alice, bob := join(t, w.nodes["node-a"], "pt_alice"), join(t, w.nodes["node-b"], "pt_bob")
	start := alice.simulcast()
	alice.connect()
	bob.slots(1)
	bob.connect()
	bob.wish(160)
	start()
	camera := alice.peer.Tracks()[0]
	w.nodes["node-b"].AddRemote("mtg_1", camera, "node-a")
	showing := func(rid string) {
		t.Helper()
		bob.events.until(t, "layer "+rid+" is shown", func() bool { return bob.events.slots[0].Layer == rid })
	}
	showing("q")
	if got := w.crossed(camera.ID); got[0] == 0 || got[1] != 0 || got[2] != 0 {
		t.Errorf("packets of the layers: %v", got)
	}
	out := w.nodes["node-a"].relay("node-b").outlet(feedKey{camera.ID, "node-a"})
	out.expire(1) // or it would stand in for the highest wherever that is late: see TestDueLayers
	before := w.crossed(camera.ID)
	bob.wish(0)
	showing("f")
	eventually(t, "the lowest is released", func() bool { return out.asked.Load() == 4 })
	if got := w.crossed(camera.ID); got[1] != before[1] {
		t.Errorf("packets of the layers: %v", got)
	}
}
