package lean

import (
	"hash/maphash"
	"strings"
	"time"

	"github.com/pion/rtp/codecs"

	"github.com/parley-sfu/parley/signal/client"
)

// Reference knows every frame of the clips that publishers play. It is safe for concurrent use.
type Reference struct {
	seed  maphash.Seed
	where map[uint64][]frameAt
	size  []int // frames of each clip
}

// frameAt is one place in the clips.
type frameAt struct {
	clip, index int
	key         bool
}

// NewReference reads the frames of VP8 and Opus clips. Those of H.264 are cut and put together again on the way in forms
// that need not be the same bytes: their frames are not compared.
func NewReference(clips ...*client.Clip) *Reference {
	r := &Reference{seed: maphash.MakeSeed(), where: map[uint64][]frameAt{}}
	for i, c := range clips {
		frames := c.Frames()
		r.size = append(r.size, len(frames))
		if strings.EqualFold(c.MimeType(), mimeH264) {
			continue
		}
		for j, f := range frames {
			sum := maphash.Bytes(r.seed, f.Data)
			r.where[sum] = append(r.where[sum], frameAt{i, j, f.Keyframe})
		}
	}
	return r
}

// follows reports whether a frame may come after another without one in between.
func (r *Reference) follows(before, after frameAt) bool {
	return after.key || after.clip == before.clip && after.index == (before.index+1)%r.size[after.clip]
}

// Verdict is what a verified viewer has found, in all its slots since it joined.
type Verdict struct {
	Packets  uint64 // decrypted, retransmissions included
	Forged   uint64 // packets that were not authentic
	Frames   uint64 // compared with what was published
	Corrupt  uint64 // of those, the same as no frame of it
	Skipped  uint64 // of those, came after a frame that they do not follow, though nothing was lost in between
	Backward uint64 // packets whose timestamp went back although their number did not
	Stamped  uint64 // packets with the publisher's stamp
}

// Faults are all that must not happen.
func (v Verdict) Faults() uint64 { return v.Forged + v.Corrupt + v.Skipped + v.Backward }

// Add adds another's.
func (v *Verdict) Add(other Verdict) {
	v.Packets += other.Packets
	v.Forged += other.Forged
	v.Frames += other.Frames
	v.Corrupt += other.Corrupt
	v.Skipped += other.Skipped
	v.Backward += other.Backward
	v.Stamped += other.Stamped
}

// verdict is shared by the slots of one viewer.
type verdict struct {
	Verdict
	reference *Reference // nil: nothing to compare with
}

// checker verifies one slot: it decrypts, puts frames together in the order in which picture shows them, and compares.
type checker struct {
	found *verdict
	mime  string

	sentAt time.Time // from the stamp of the packet that was opened last; zero without one
	kept   map[uint16][]byte
	spare  [][]byte // memory of packets that were taken
	frame  []byte
	last   frameAt
	known  bool // last is valid
	seen   bool // of the two below
	seq    uint16
	time   uint32
}

func newChecker(found *verdict, mime string) *checker {
	return &checker{found: found, mime: mime, kept: map[uint16][]byte{}}
}

// open decrypts a packet in place and returns its payload without padding, or nil where it is not authentic.
func (c *checker) open(k *keys, h *header, roc uint32, b []byte) []byte {
	c.sentAt = time.Time{}
	payload, err := k.open(h, roc, b)
	if err != nil {
		c.found.Forged++
		return nil
	}
	c.found.Packets++
	if h.padded && len(payload) > 0 {
		payload = payload[:max(0, len(payload)-int(payload[len(payload)-1]))]
	}
	if at, ok := client.ParseStamp(payload); ok {
		c.sentAt = at
		c.found.Stamped++
	}
	if payload == nil {
		payload = []byte{}
	}
	return payload
}

// sound compares one packet of sound, which is a frame.
func (c *checker) sound(n note, payload []byte) {
	c.order(n)
	if c.sentAt.IsZero() || c.found.reference == nil || len(payload) == 0 {
		return
	}
	c.found.Frames++
	if len(c.places(payload[:len(payload)-client.StampSize])) == 0 {
		c.found.Corrupt++
	}
}

func (c *checker) places(frame []byte) []frameAt {
	r := c.found.reference
	return r.where[maphash.Bytes(r.seed, frame)]
}

// order notices timestamps that go back. They may stand still: a frame of video has many packets.
func (c *checker) order(n note) {
	if c.seen && n.seq-c.seq < 1<<15 && n.time-c.time >= 1<<31 {
		c.found.Backward++
	}
	if !c.seen || n.seq-c.seq < 1<<15 {
		c.seen, c.seq, c.time = true, n.seq, n.time
	}
}

// keep copies the payload of a packet until picture takes it.
func (c *checker) keep(n note, payload []byte) {
	c.order(n)
	var memory []byte
	if last := len(c.spare) - 1; last >= 0 {
		memory, c.spare = c.spare[last][:0], c.spare[:last]
	}
	if len(c.kept) >= window {
		clear(c.kept)
	}
	c.kept[n.seq] = append(memory, payload...)
}

// take adds a packet to the frame.
func (c *checker) take(n note) {
	payload, ok := c.kept[n.seq]
	if !ok {
		return
	}
	delete(c.kept, n.seq)
	if n.flags&padding == 0 && c.mime == mimeVP8 {
		if _, stamped := client.ParseStamp(payload); stamped {
			payload = payload[:len(payload)-client.StampSize]
		}
		var vp8 codecs.VP8Packet
		if part, err := vp8.Unmarshal(payload); err == nil {
			c.frame = append(c.frame, part...)
		}
	}
	c.spare = append(c.spare, payload[:0])
}

// show compares the frame that was put together.
func (c *checker) show() {
	frame := c.frame
	c.frame = c.frame[:0]
	if c.found.reference == nil || c.mime != mimeVP8 {
		return
	}
	c.found.Frames++
	places := c.places(frame)
	if len(places) == 0 {
		c.found.Corrupt++
		c.known = false
		return
	}
	next := places[0]
	follows := !c.known
	for _, at := range places {
		if c.known && c.found.reference.follows(c.last, at) {
			next, follows = at, true
			break
		}
	}
	if !follows && !next.key {
		c.found.Skipped++
	}
	c.last, c.known = next, true
}

// skip says that picture goes on elsewhere, with a keyframe.
func (c *checker) skip() {
	c.frame, c.known = c.frame[:0], false
}
