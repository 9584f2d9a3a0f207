package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"

	"github.com/parley-sfu/parley/internal/packet"
)

// thinClip is a clip with three temporal layers: its pictures are of 0, 2, 1, 2 and so on. Each refers to the last of layer 0, and the fourth of
// four also to the one of layer 1 in front of it.
const thinClip = "../signal/client/testdata/vp8-t.ivf"

// layerOf is the temporal layer of a picture of the clip.
func layerOf(picture int) uint8 { return [...]uint8{0, 2, 1, 2}[picture%4] }

// syncs reports whether the film says of a picture that one can go up at it: fewer than one could.
func syncs(picture int) bool { return picture%16 == 2 || picture%16 == 5 }

func readClip(t *testing.T) (pictures [][]byte) {
	t.Helper()
	f, err := os.Open(thinClip)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, _, err := ivfreader.NewWith(f)
	if err != nil {
		t.Fatal(err)
	}
	for {
		b, _, err := r.ParseNextFrame()
		if errors.Is(err, io.EOF) {
			return pictures
		}
		if err != nil {
			t.Fatal(err)
		}
		pictures = append(pictures, b)
	}
}

// projector shows a clip over and over at 60 pictures a second.
type projector struct {
	track    *webrtc.TrackLocalStaticRTP
	pictures [][]byte
	asked    atomic.Int64 // keyframes that were asked for
	seq, id  uint16
	time     uint32
	tl0      uint8
	late     bool // now and then a picture of the highest layer is late
	held     *rtp.Packet
}

// send sends a packet, or keeps it for a sixth of a second.
func (p *projector) send(packet *rtp.Packet, picture int) error {
	if p.held != nil && picture%24 == 11 {
		if err := p.track.WriteRTP(p.held); err != nil {
			return err
		}
		p.held = nil
	}
	if p.late && picture%24 == 1 && packet.Marker {
		p.held = packet
		return nil
	}
	return p.track.WriteRTP(packet)
}

// show sends one picture in packets of 1,000 bytes at most.
func (p *projector) show(picture int) error {
	p.id, p.time = p.id+1, p.time+1500
	tid, rest := layerOf(picture), p.pictures[picture]
	if tid == 0 {
		p.tl0++
	}
	key := picture == 0
	for first := true; len(rest) > 0; first = false {
		n := min(len(rest), 1000)
		head := []byte{0x80, 0xE0, 0x80 | byte(p.id>>8), byte(p.id), p.tl0, tid << 6}
		if first {
			head[0] |= 0x10
		}
		if key || syncs(picture) {
			head[5] |= 0x20
		}
		p.seq++
		h := rtp.Header{Version: 2, Marker: n == len(rest), SequenceNumber: p.seq, Timestamp: p.time}
		if err := p.send(&rtp.Packet{Header: h, Payload: append(head, rest[:n]...)}, picture); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// project films the clip until the test ends, from the start again when a keyframe is asked for.
func (c *client) project(p *projector) {
	c.t.Helper()
	next := 0
	screen(c.t, c.sender, &p.asked, func(keyframe bool) error {
		i := next
		if keyframe {
			i = 0
		}
		next = (i + 1) % len(p.pictures)
		return p.show(i)
	})
}

// budget is what carries the first camera of a client up to a temporal layer, by what the node has measured, and nothing above that.
func (c *client) budget(top int) int64 {
	r := c.peer.room
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.tracks {
		if p := &t.layers[0].profile; top < 2 && p.rates[top] > 0 {
			return (p.rates[top]*10/9 + p.rates[top+1]) / 2 // what is new may use nine tenths
		}
	}
	return 5_000_000
}

// screening is what a viewer has got of a clip so far, and holds all of it to what a decoder needs.
type screening struct {
	t       *testing.T
	c       *client
	numbers map[string]int // of pictures, by content
	last    *rtp.Packet
	id      uint16
	tl0     uint8
	partial []byte
	sync    bool // of the picture that is coming
	temp    uint8

	seen   []int // pictures
	latest [3]int
	rises  int // times it went up at a picture that is no keyframe
	top    uint8
}

// take adds one packet.
func (s *screening) take(p *rtp.Packet) {
	s.t.Helper()
	d, err := packet.ParseVP8(p.Payload)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.last != nil && p.SequenceNumber != s.last.SequenceNumber+1 {
		s.t.Fatalf("sequence number %d behind %d", p.SequenceNumber, s.last.SequenceNumber)
	}
	if d.Start {
		s.begin(&d)
	}
	s.last, s.partial = p, append(s.partial, p.Payload[d.Size:]...)
	if p.Marker {
		s.end()
	}
}

// begin checks the counters of a picture that begins.
func (s *screening) begin(d *packet.VP8) {
	s.t.Helper()
	if s.last != nil {
		tl0 := s.tl0
		if d.TID == 0 {
			tl0++
		}
		if !s.last.Marker || d.PictureID != (s.id+1)&0x7FFF || d.TL0 != tl0 {
			s.t.Fatalf("picture %d with TL0PICIDX %d behind %d with %d, which ended: %v", d.PictureID, d.TL0, s.id, s.tl0, s.last.Marker)
		}
	}
	s.id, s.tl0, s.sync, s.temp, s.partial = d.PictureID, d.TL0, d.Sync, d.TID, nil
}

// end checks that the decoder has what the picture refers to.
func (s *screening) end() {
	s.t.Helper()
	n, ok := s.numbers[string(s.partial)]
	if !ok || layerOf(n) != s.temp {
		s.t.Fatalf("a picture of %d bytes of layer %d is none of the clip", len(s.partial), s.temp)
	}
	needs := [...]int{s.latest[0] + 4, s.latest[0] + 1, s.latest[0] + 2, s.latest[1] + 1}[n%4]
	if n != 0 && n != needs {
		s.t.Fatalf("picture %d refers to one that did not come: the latest are %v", n, s.latest)
	}
	if n == 0 {
		s.latest = [3]int{}
	}
	s.latest[s.temp] = n
	if behindKeyframe := n < 4; s.temp > s.top {
		if !s.sync && !behindKeyframe {
			s.t.Fatalf("layer %d is back at picture %d, which does not say that it can be", s.temp, n)
		}
		if s.top = s.temp; !behindKeyframe {
			s.rises++
		}
	}
	s.seen = append(s.seen, n)
}

// shows watches until so many pictures in a row are of layers up to top, all of them.
func (s *screening) shows(what string, top uint8) {
	s.t.Helper()
	const enough = 45
	began, from := time.Now(), len(s.seen)
	step := []int{4, 2, 1}[top]
	even := func() bool {
		last := s.seen[max(from, len(s.seen)-enough):]
		for i := range last {
			if i > 0 && last[i] != last[i-1]+step && last[i] != 0 {
				return false
			}
		}
		return len(last) == enough
	}
	for !even() {
		if time.Since(began) > 10*time.Second {
			s.t.Fatalf("never: %s; the last pictures are %v", what, s.seen[max(from, len(s.seen)-enough):])
		}
		s.take(s.c.next())
	}
	s.top = top
	s.t.Logf("%s: %d pictures after %v", what, len(s.seen)-from, time.Since(began))
}

// TestThinned: a viewer whose way carries a picture, but not all of it, gets an even half or quarter of its frame rate. Nothing of that is missing or
// cannot be decoded, and all comes back without a keyframe.
func TestThinned(t *testing.T) {
	n := startNode(t)
	alice, bob := join(t, n, "pt_alice"), join(t, n, "pt_bob")
	film := &projector{track: alice.publish(), pictures: readClip(t)}
	alice.connect()
	bob.slots(1)
	bob.offerWith(unmeasured)
	var top atomic.Int32
	top.Store(2)
	bob.allow(func() float32 { return float32(bob.budget(int(top.Load()))) })
	alice.project(film)
	s := &screening{t: t, c: bob, numbers: map[string]int{}, top: 2}
	for i, p := range film.pictures {
		s.numbers[string(p)] = i
	}
	s.shows("everything", 2)
	asked, nacked := film.asked.Load(), n.count.nacked.Value()
	for _, next := range []struct {
		what string
		top  uint8
	}{
		{"half", 1},
		{"a quarter", 0},
		{"half again", 1},
		{"everything again", 2},
		{"a quarter at once", 0},
		{"everything at once", 2},
	} {
		for last := 0; last < 30 || last > 40; last = s.seen[len(s.seen)-1] { // where no keyframe comes unasked for long
			s.take(bob.next())
		}
		top.Store(int32(next.top))
		s.shows(next.what, next.top)
	}
	if s.rises != 4 {
		t.Errorf("went up %d times between keyframes, want 4", s.rises)
	}
	if now := film.asked.Load(); now != asked {
		t.Errorf("%d keyframes were asked for", now-asked)
	}
	if now := n.count.nacked.Value(); now != nacked {
		t.Errorf("%d packets were asked for again", now-nacked)
	}
	s.decode(film.pictures)
}

// TestThinnedHoles: what a publisher's link lost of pictures that a viewer is not shown is a hole all the same, because it cannot be known what it was. When
// the viewer asks for it, it is filled with nothing.
func TestThinnedHoles(t *testing.T) {
	n := startNode(t)
	alice, bob := join(t, n, "pt_alice"), join(t, n, "pt_bob")
	film := &projector{track: alice.publish(), pictures: readClip(t), late: true}
	alice.connect()
	bob.slots(1)
	bob.offerWith(unmeasured)
	var top atomic.Int32
	bob.allow(func() float32 { return float32(bob.budget(int(top.Load()))) })
	alice.project(film)
	first := uint16(0)
	for thin := 0; thin < 30; {
		p := bob.next()
		if d, err := packet.ParseVP8(p.Payload); err == nil {
			first = p.SequenceNumber
			if thin++; d.TID > 1 {
				thin = 0
			}
		}
	}
	came, filled := map[uint16]bool{}, map[uint16]bool{} // pion asks again and again: it does not count what comes in the stream of repairs
	for last := first; packet.SeqDiff(last, first) < 200; {
		p := bob.next()
		if d, err := packet.ParseVP8(p.Payload); err == nil && d.TID > 1 {
			t.Fatal("a picture of the highest layer came")
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
	if len(filled) < 10 || missing > 0 {
		t.Error("holes are not filled")
	}
}

// decode has FFmpeg decode what came: each picture must look as it does when nothing is left out.
func (s *screening) decode(clip [][]byte) {
	s.t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		s.t.Log("there is no ffmpeg: that pictures can be decoded is known from what they refer to alone")
		return
	}
	all := make([]int, len(clip))
	for i := range all {
		all[i] = i
	}
	want, got := s.sums(clip, all), s.sums(clip, s.seen)
	if len(want) != len(clip) || len(got) != len(s.seen) {
		s.t.Fatalf("of %d and %d pictures %d and %d were decoded", len(clip), len(s.seen), len(want), len(got))
	}
	for i, n := range s.seen {
		if got[i] != want[n] {
			s.t.Fatalf("picture %d, the %dth that came, looks different", n, i)
		}
	}
	s.t.Logf("%d pictures decoded", len(got))
}

// sums decodes pictures of a clip one after the other, and returns a checksum of each.
func (s *screening) sums(clip [][]byte, pictures []int) (sums []string) {
	s.t.Helper()
	b := []byte("DKIF\x00\x00\x20\x00VP80\x40\x01\xb4\x00\x1e\x00\x00\x00\x01\x00\x00\x00")
	b = binary.LittleEndian.AppendUint64(b, uint64(len(pictures)))
	for i, n := range pictures {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(clip[n])))
		b = append(binary.LittleEndian.AppendUint64(b, uint64(i)), clip[n]...)
	}
	file := filepath.Join(s.t.TempDir(), "came.ivf")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		s.t.Fatal(err)
	}
	out, err := exec.CommandContext(s.t.Context(), "ffmpeg", "-v", "error", "-i", file, "-fps_mode", "passthrough", "-f", "framemd5", "-").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range bytes.Lines(out) {
		if fields := strings.Fields(string(line)); len(fields) > 0 && line[0] != '#' {
			sums = append(sums, fields[len(fields)-1])
		}
	}
	return sums
}
