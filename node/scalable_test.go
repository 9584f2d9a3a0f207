package node

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/internal/packet"
)

// descriptorID is the header extension id that a client's descriptions give to the dependency descriptor.
func (c *client) descriptorID() uint8 {
	c.t.Helper()
	for _, tr := range c.pc.GetTransceivers() {
		if s := tr.Sender(); tr.Direction() == webrtc.RTPTransceiverDirectionSendonly && s != nil {
			for _, e := range s.GetParameters().HeaderExtensions {
				if e.URI == uriDescriptor {
					return uint8(e.ID)
				}
			}
		}
		if r := tr.Receiver(); tr.Direction() == webrtc.RTPTransceiverDirectionRecvonly && r != nil {
			for _, e := range r.GetParameters().HeaderExtensions {
				if e.URI == uriDescriptor {
					return uint8(e.ID)
				}
			}
		}
	}
	c.t.Fatal("no dependency descriptor was agreed on")
	return 0
}

// bitString packs a text of zeros and ones, in which all else is air.
func bitString(text string) (b []byte) {
	n := 0
	for _, c := range text {
		if c != '0' && c != '1' {
			continue
		}
		if n%8 == 0 {
			b = append(b, 0)
		}
		b[n/8] |= byte(c-'0') << (7 - n%8)
		n++
	}
	return b
}

// plainDescriptor is the dependency descriptor of a picture in one packet, of a stream without layers: each refers to the one before.
func plainDescriptor(frame uint16, key bool) []byte {
	definition := "0 0 0 1 0  01 0000 00" // refers one frame back
	if key {
		// One target, of one template that it needs to go on; no chains; 320 by 180 pixels.
		definition = "1 0 0 0 0  000000 00000 11 10 0 0 1 0000000100111111 0000000010110011"
	}
	b := bitString("11 000000 0000000000000000" + definition)
	binary.BigEndian.PutUint16(b[1:], frame)
	return b
}

// reel publishes pictures of one packet each, in a codec that may have layers.
type reel struct {
	*client

	track *webrtc.TrackLocalStaticRTP
	mime  string
	at    uint16 // numbers all there is
}

func (c *client) publishIn(mime string) *reel {
	c.t.Helper()
	c.publish()
	var codec webrtc.RTPCodecParameters
	for _, known := range c.sender.GetParameters().Codecs {
		if known.MimeType == mime && codec.MimeType == "" {
			codec = known
		}
	}
	track, err := webrtc.NewTrackLocalStaticRTP(codec.RTPCodecCapability, "v", "s")
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.sender.ReplaceTrack(track); err != nil {
		c.t.Fatal(err)
	}
	if err := c.pc.GetTransceivers()[0].SetCodecPreferences([]webrtc.RTPCodecParameters{codec}); err != nil {
		c.t.Fatal(err)
	}
	return &reel{c, track, mime, 40_000}
}

func (r *reel) show(key bool) {
	r.t.Helper()
	r.at++
	p := &rtp.Packet{Header: rtp.Header{Version: 2, Marker: true, SequenceNumber: r.at, Timestamp: uint32(r.at) * 3000}}
	p.Payload = r.payload(key)
	if err := p.SetExtensionWithProfile(r.descriptorID(), plainDescriptor(r.at, key), rtp.ExtensionProfileTwoByte); err != nil {
		r.t.Fatal(err)
	}
	if err := r.track.WriteRTP(p); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reel) payload(key bool) []byte {
	if r.mime == webrtc.MimeTypeAV1 {
		head := byte(0x10)
		if key {
			head = 0x18 // N
		}
		return append([]byte{head, 0x30}, bytes.Repeat([]byte{byte(r.at)}, 100)...)
	}
	head := byte(0xEC) // I, P, L, B, E
	if key {
		head = 0xAC
	}
	return append([]byte{head, 0x80 | byte(r.at>>8), byte(r.at), 0, byte(r.at)}, bytes.Repeat([]byte{byte(r.at)}, 100)...)
}

// TestCodecsWithLayers: VP9 and AV1 go to a viewer here and on another node, begin with a keyframe, are repaired, and all that is numbered goes on when
// the slot shows somebody else.
func TestCodecsWithLayers(t *testing.T) {
	for _, mime := range []string{webrtc.MimeTypeVP9, webrtc.MimeTypeAV1} {
		for _, apart := range []bool{false, true} {
			t.Run(map[bool]string{false: "one node, ", true: "two nodes, "}[apart]+mime, func(t *testing.T) {
				w := settle(t, "node-a", "node-b")
				here, there := w.nodes["node-a"], w.nodes["node-a"]
				if apart {
					there = w.nodes["node-b"]
				}
				alice, carol, bob := join(t, here, "pt_alice"), join(t, here, "pt_carol"), join(t, there, "pt_bob")
				bob.slots(1)
				bob.connect()
				mid := bob.peer.Slots()[0].MID
				s := &sequel{t: t, c: bob, id: bob.descriptorID(), vp9: mime == webrtc.MimeTypeVP9}
				var r *reel
				for i, c := range []*client{alice, carol} {
					r = c.publishIn(mime)
					r.at += uint16(20_000 * i) // half way round: ahead or behind cannot be told
					c.connect()
					track := c.peer.Tracks()[0]
					if apart {
						there.AddRemote("mtg_1", track, "node-a")
					}
					if err := bob.peer.Subscribe(Subscription{Slots: []SlotRequest{{MID: mid, TrackID: track.ID}}}); err != nil {
						t.Fatal(err)
					}
					s.begins(r)
				}
				s.repairs(r)
			})
		}
	}
}

// sequel is what a viewer has got of one reel after the other.
type sequel struct {
	t    *testing.T
	c    *client
	id   uint8
	vp9  bool
	last *rtp.Packet
	d    packet.VP9
}

// begins has a reel shown until the viewer has some of it, which must go on where the one before ended.
func (s *sequel) begins(r *reel) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	r.show(false)
	for n, i := 0, 0; n < 10; i++ {
		<-tick.C
		r.show(i%30 == 3)
		select {
		case p := <-s.c.media:
			if n == 0 && len(p.GetExtension(s.id)) <= 8 {
				s.t.Fatal("does not begin with a keyframe")
			}
			s.take(p)
			n++
		default:
		}
		if i > 500 {
			s.t.Fatal("never shown")
		}
	}
	for over := time.After(100 * time.Millisecond); ; {
		select {
		case p := <-s.c.media:
			s.take(p)
			continue
		case <-over:
		}
		return
	}
}

func (s *sequel) take(p *rtp.Packet) {
	s.t.Helper()
	var d packet.VP9
	if s.vp9 {
		var err error
		if d, err = packet.ParseVP9(p.Payload); err != nil {
			s.t.Fatal(err)
		}
	}
	if last := s.last; last != nil {
		was, is := binary.BigEndian.Uint16(last.GetExtension(s.id)[1:]), binary.BigEndian.Uint16(p.GetExtension(s.id)[1:])
		if p.SequenceNumber != last.SequenceNumber+1 || is != was+1 || s.vp9 && (d.PictureID != (s.d.PictureID+1)&0x7FFF || d.TL0 != s.d.TL0+1) {
			s.t.Fatalf("%d, frame %d, picture %d, %d behind %d, frame %d, picture %d, %d",
				p.SequenceNumber, is, d.PictureID, d.TL0, last.SequenceNumber, was, s.d.PictureID, s.d.TL0)
		}
	}
	s.last, s.d = p, d
}

// repairs asks for a packet again. What repairs it is read with what comes next.
func (s *sequel) repairs(r *reel) {
	s.t.Helper()
	lost := s.last
	err := s.c.pc.WriteRTCP([]rtcp.Packet{&rtcp.TransportLayerNack{
		MediaSSRC: lost.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{lost.SequenceNumber}),
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	p := lost
	for i := 0; p == lost || p.SequenceNumber != lost.SequenceNumber; i++ {
		if i > 100 {
			s.t.Fatal("never repaired")
		}
		r.show(false)
		p = s.c.next()
	}
	if p.Timestamp != lost.Timestamp || !bytes.Equal(p.Payload, lost.Payload) || !bytes.Equal(p.GetExtension(s.id), lost.GetExtension(s.id)) {
		s.t.Errorf("repaired as %v, was %v", p, lost)
	}
}

// TestCodecThatASlotDoesNotKnow: the viewer is told, and the publisher need not send.
func TestCodecThatASlotDoesNotKnow(t *testing.T) {
	n := startNode(t)
	alice, bob := join(t, n, "pt_alice"), join(t, n, "pt_bob")
	r := alice.publishIn(webrtc.MimeTypeVP9)
	alice.connect()
	bob.slots(1)
	vp8 := webrtc.RTPCodecParameters{PayloadType: 96, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: videoRate}}
	if err := bob.pc.GetTransceivers()[0].SetCodecPreferences([]webrtc.RTPCodecParameters{vp8}); err != nil {
		t.Fatal(err)
	}
	bob.connect()
	paused := func() bool {
		return len(bob.events.slots) == 1 && bob.events.slots[0].State == SlotPaused && bob.events.slots[0].Reason == "unsupported_codec"
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; i < 100 && !bob.events.hold(paused); i++ {
		r.show(true) // more than once: alice's end has no keys yet for a moment, and loses what it is given
		<-tick.C
	}
	bob.events.until(t, "the slot says why it shows nothing", paused)
	id := alice.peer.Tracks()[0].ID
	alice.events.until(t, "nothing is wanted", func() bool { wanted, told := alice.events.wanted[id]; return told && len(wanted) == 0 })
}
