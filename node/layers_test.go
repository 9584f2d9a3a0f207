package node

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/internal/packet"
)

// recorded is a packet that Chromium sent of a camera of 960 by 540 pixels in L3T3_KEY: only keyframes have pictures that refer to smaller ones.
// Of its payload the first bytes are kept.
type recorded struct {
	payload    []byte
	size       int
	marker     bool
	timestamp  uint32
	descriptor []byte
}

// readRecording returns the packets of each picture, of which the first is a keyframe.
func readRecording(t *testing.T, name string) (pictures [][]recorded) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	take := func(n int) []byte {
		part := b[:n]
		b = b[n:]
		return part
	}
	for len(b) > 0 {
		head := take(10)
		p := recorded{size: int(binary.BigEndian.Uint16(head)), marker: head[2] != 0, timestamp: binary.BigEndian.Uint32(head[5:])}
		p.descriptor = take(int(head[9]))
		p.payload = take(min(24, p.size))
		if n := len(pictures); n == 0 || pictures[n-1][0].timestamp != p.timestamp {
			pictures = append(pictures, nil)
		}
		last := len(pictures) - 1
		pictures[last] = append(pictures[last], p)
	}
	return pictures
}

// replay films a recording over and over at 60 pictures a second, from the keyframe on when one is asked for.
type replay struct {
	*reel

	pictures [][]recorded
	plain    bool // without dependency descriptors
	loses    bool // now and then a packet is late
	asked    atomic.Int64
	id       uint8 // header extension of descriptors
	seq      uint16
	time     uint32
	frame    uint16 // newest that was sent
	picture  uint16 // likewise of VP9's pictures
	held     *rtp.Packet
}

// show sends one picture.
func (r *replay) show(n int) error {
	if n == 0 { // what is counted goes on behind what was sent last
		r.frame, r.picture = r.frame+1-r.numbers(0), r.picture+1
	}
	r.time += 1500
	for i, p := range r.pictures[n] {
		r.seq++
		out := &rtp.Packet{Header: rtp.Header{Version: 2, Marker: p.marker, SequenceNumber: r.seq, Timestamp: r.time}}
		out.Payload = append(slices.Clone(p.payload), make([]byte, p.size-len(p.payload))...)
		if r.mime == webrtc.MimeTypeVP9 {
			binary.BigEndian.PutUint16(out.Payload[1:], 0x8000|(r.picture+uint16(n)))
		}
		if !r.plain {
			d := slices.Clone(p.descriptor)
			binary.BigEndian.PutUint16(d[1:], r.frame+binary.BigEndian.Uint16(d[1:]))
			if err := out.SetExtensionWithProfile(r.id, d, rtp.ExtensionProfileTwoByte); err != nil {
				return err
			}
		}
		if err := r.send(out, n, i); err != nil {
			return err
		}
	}
	return nil
}

// numbers is the frame that a picture begins with.
func (r *replay) numbers(picture int) uint16 {
	return binary.BigEndian.Uint16(r.pictures[picture][0].descriptor[1:])
}

// send sends a packet, or holds it back until three pictures later.
func (r *replay) send(p *rtp.Packet, picture, i int) error {
	if r.loses && r.held == nil && picture%24 == 5 && i == len(r.pictures[picture])-2 {
		r.held = p
		return nil
	}
	if r.held != nil && picture%24 == 8 {
		if err := r.track.WriteRTP(r.held); err != nil {
			return err
		}
		r.held = nil
	}
	return r.track.WriteRTP(p)
}

// ends counts on when a run of the recording ends behind a picture.
func (r *replay) ends(n int) {
	last := r.pictures[n]
	r.frame += binary.BigEndian.Uint16(last[len(last)-1].descriptor[1:])
	r.picture += uint16(n)
}

// film shows the recording until the test ends, from the start again when a keyframe is asked for.
func (r *replay) film() {
	r.t.Helper()
	if !r.plain {
		r.id = r.descriptorID() // the goroutine may outlive the descriptions
	}
	n := 0
	screen(r.t, r.sender, &r.asked, func(keyframe bool) error {
		if n == len(r.pictures) || n > 0 && keyframe {
			r.ends(n - 1)
			n = 0
		}
		n++
		return r.show(n - 1)
	})
}

// seen is what has come of one picture.
type seen struct{ spatial, temporal uint8 }

// gallery is what a viewer has got so far, held to what a decoder needs: all packets of all frames that others refer to, and pictures that end.
type gallery struct {
	t      testing.TB
	c      *client
	id     uint8
	plain  bool // there are no dependency descriptors
	reader packet.DescriptorReader

	last     *rtp.Packet
	shown    uint32 // timestamp of the newest picture
	frames   map[uint16]bool
	pictures []seen
}

// watch takes one packet that came in order.
func (g *gallery) watch(p *rtp.Packet) {
	g.t.Helper()
	if g.last != nil && p.SequenceNumber != g.last.SequenceNumber+1 {
		g.t.Fatalf("sequence number %d behind %d", p.SequenceNumber, g.last.SequenceNumber)
	}
	begins := g.last == nil || p.Timestamp != g.last.Timestamp
	if g.last != nil && begins != g.last.Marker {
		g.t.Fatalf("a picture begins at %d: %v; the one before has ended: %v", p.SequenceNumber, begins, g.last.Marker)
	}
	g.last = p
	if len(p.Payload) == 0 { // left out at the last moment, for want of room
		return
	}
	if len(g.pictures) == 0 || p.Timestamp != g.shown {
		g.pictures, g.shown = append(g.pictures, seen{}), p.Timestamp
	}
	now := &g.pictures[len(g.pictures)-1]
	if g.plain {
		d, err := packet.ParseVP9(p.Payload)
		if err != nil {
			g.t.Fatal(err)
		}
		now.spatial, now.temporal = max(now.spatial, d.SID), d.TID
		return
	}
	var d packet.Descriptor
	if err := g.reader.Read(p.GetExtension(g.id), &d); err != nil {
		g.t.Fatal(err)
	}
	for _, diff := range d.Diffs() {
		if !g.frames[d.Frame-diff] {
			g.t.Fatalf("frame %d, of layers %d and %d, refers to %d, which did not come", d.Frame, d.Spatial, d.Temporal, d.Frame-diff)
		}
	}
	g.frames[d.Frame] = true
	now.spatial, now.temporal = max(now.spatial, d.Spatial), d.Temporal
}

// shows watches until so many pictures in a row are as they should be.
func (g *gallery) shows(what string, ok func(last []seen) bool) {
	g.t.Helper()
	const enough = 40
	began, from := time.Now(), len(g.pictures)
	for {
		last := g.pictures[max(from, len(g.pictures)-enough-1):]
		if len(last) > enough && ok(last[:enough]) { // the newest may not be whole
			g.t.Logf("%s: %d pictures after %v", what, len(g.pictures)-from, time.Since(began))
			return
		}
		if time.Since(began) > 10*time.Second {
			g.t.Fatalf("never: %s; the last pictures are %v", what, last)
		}
		g.watch(g.c.next())
	}
}

// upTo tells pictures that are all of one size, in all or in some of the temporal layers.
func upTo(spatial, temporal uint8) func([]seen) bool {
	return func(last []seen) bool {
		top := uint8(0)
		for _, p := range last {
			if p.spatial != spatial || p.temporal > temporal {
				return false
			}
			top = max(top, p.temporal)
		}
		return top == temporal
	}
}

// exhibit brings a camera that is replayed to one node and a viewer to another, which may be the same.
func exhibit(t *testing.T, here, there *Node, mime string, change func(*replay)) (*replay, *gallery, Track) {
	t.Helper()
	name := map[string]string{webrtc.MimeTypeVP9: "vp9", webrtc.MimeTypeAV1: "av1"}[mime]
	alice, bob := join(t, here, "pt_alice"), join(t, there, "pt_bob")
	film := &replay{reel: alice.publishIn(mime), pictures: readRecording(t, name+"-l3t3-key.packets"), seq: 65_000, frame: 65_000, picture: 32_700}
	change(film)
	alice.connect()
	bob.slots(1)
	bob.offerWith(unmeasured)
	if here != there {
		there.AddRemote("mtg_1", alice.peer.Tracks()[0], "node-a")
	}
	g := &gallery{t: t, c: bob, id: bob.descriptorID(), plain: film.plain, frames: map[uint16]bool{}}
	film.film()
	return film, g, alice.peer.Tracks()[0]
}

// place says how large the viewer's place for the camera is.
func (g *gallery) place(track Track, width int) {
	g.t.Helper()
	mid := g.c.peer.Slots()[0].MID
	if err := g.c.peer.Subscribe(Subscription{Slots: []SlotRequest{{MID: mid, TrackID: track.ID, MaxWidth: width}}}); err != nil {
		g.t.Fatal(err)
	}
}

// TestLayersOfOneStream: a viewer's place decides which sizes of a stream it is sent, here and on another node, and all of that can be decoded.
func TestLayersOfOneStream(t *testing.T) {
	for _, tc := range []struct {
		mime         string
		apart, plain bool
	}{{webrtc.MimeTypeVP9, false, false}, {webrtc.MimeTypeVP9, true, false}, {webrtc.MimeTypeVP9, false, true}, {webrtc.MimeTypeAV1, false, false}, {webrtc.MimeTypeAV1, true, false}} {
		t.Run(fmt.Sprintf("%s, apart %v, plain %v", tc.mime, tc.apart, tc.plain), func(t *testing.T) {
			w := settle(t, "node-a", "node-b")
			there := w.nodes["node-a"]
			if tc.apart {
				there = w.nodes["node-b"]
			}
			film, g, track := exhibit(t, w.nodes["node-a"], there, tc.mime, func(r *replay) { r.plain = tc.plain })
			g.shows("everything", upTo(2, 2))
			for _, next := range []struct {
				width   int
				spatial uint8
			}{{240, 0}, {480, 1}, {960, 2}, {480, 1}, {240, 0}, {0, 2}} {
				asked := film.asked.Load()
				g.place(track, next.width)
				g.shows(fmt.Sprint(next.width, " pixels"), upTo(next.spatial, 2))
				if now := film.asked.Load(); now > asked+2 {
					t.Errorf("%d keyframes were asked for", now-asked)
				}
			}
		})
	}
}

// measured is what a stream takes up to its layers, as the node has measured it, in bit/s.
func (r *replay) measured() (rates [packet.MaxSpatial][packet.MaxTemporal]int64) {
	room := r.peer.room
	room.mu.Lock()
	defer room.mu.Unlock()
	for i := range rates {
		rates[i] = room.tracks[0].scales()[i].profile.rates
	}
	return rates
}

// TestLayersOfOneStreamByBudget: what a viewer's way carries decides likewise. All of it can be decoded, less comes before nothing, and all comes back.
func TestLayersOfOneStreamByBudget(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprint("plain ", plain), func(t *testing.T) {
			n := startNode(t)
			film, g, _ := exhibit(t, n, n, webrtc.MimeTypeVP9, func(r *replay) { r.plain = plain })
			var rate atomic.Int64
			rate.Store(20e6)
			g.c.allow(func() float32 { return float32(rate.Load()) })
			for range 300 { // until rates are known
				g.watch(g.c.next())
			}
			g.shows("everything", upTo(2, 2))
			rates := film.measured()
			t.Log("bit/s by size, up to each temporal layer: ", rates)
			for _, next := range []struct {
				what              string
				rate              int64
				spatial, temporal uint8
			}{
				{"the largest at half its rate", (rates[2][1]*10/9 + rates[2][2]) / 2, 2, 1},
				{"a smaller picture at half its rate", (rates[1][1]*10/9 + rates[1][2]) / 2, 1, 1},
				{"the smallest at half its rate", (rates[0][1]*10/9 + rates[0][2]) / 2, 0, 1},
				{"everything again", 20e6, 2, 2},
			} {
				asked := film.asked.Load()
				rate.Store(next.rate)
				g.shows(fmt.Sprint(next.what, ", ", next.rate, " bit/s"), upTo(next.spatial, next.temporal))
				t.Logf("%d keyframes were asked for", film.asked.Load()-asked)
			}
		})
	}
}

// TestLayersHoles: what a publisher's link lost of layers that a viewer is not shown is a hole all the same, because it cannot be known what it was. When
// the viewer asks for it, it is filled with nothing.
func TestLayersHoles(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprint("plain ", plain), func(t *testing.T) {
			n := startNode(t)
			_, g, track := exhibit(t, n, n, webrtc.MimeTypeVP9, func(r *replay) { r.plain, r.loses = plain, true })
			g.place(track, 240)
			small := func(p *rtp.Packet) bool {
				d, err := packet.ParseVP9(p.Payload)
				return err != nil || d.SID == 0
			}
			first, began := uint16(0), time.Now()
			for run := 0; run < 100; run++ {
				p := g.c.next()
				if run == 0 || packet.SeqLess(first, p.SequenceNumber) {
					first = p.SequenceNumber
				}
				if !small(p) {
					run = 0
				}
				if time.Since(began) > 10*time.Second {
					t.Fatal("larger pictures do not end")
				}
			}
			came, filled := map[uint16]bool{}, map[uint16]bool{} // pion asks again and again: it does not count what comes in the stream of repairs
			for last := first; packet.SeqDiff(last, first) < 200; {
				p := g.c.next()
				if !small(p) {
					t.Fatal("a packet of a larger picture came")
				}
				if came[p.SequenceNumber] = true; len(p.Payload) == 0 {
					filled[p.SequenceNumber] = true
				}
				if packet.SeqLess(last, p.SequenceNumber) {
					last = p.SequenceNumber
				}
			}
			missing := 0
			for seq := first + 1; seq != first+150; seq++ { // of the last ones some may be on their way
				if !came[seq] {
					missing++
				}
			}
			t.Logf("%d of %d numbers were filled with nothing, and of the first 150 %d are missing", len(filled), len(came), missing)
			if len(filled) < 3 || missing > 0 {
				t.Error("holes are not filled")
			}
		})
	}
}
