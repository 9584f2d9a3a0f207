package reel

import (
	"bytes"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/parley-sfu/parley/signal/client"
)

// Counts say what a Checker has found.
type Counts struct {
	Whole     uint64 `json:"whole"`     // frames that are, byte for byte, what was sent; of audio: packets
	Corrupt   uint64 `json:"corrupt"`   // frames that nobody sent
	Misplaced uint64 `json:"misplaced"` // whole ones that do not stand where their time says
	Broken    uint64 `json:"broken"`    // given up, because packets of them never came
}

// Add adds other counts.
func (c *Counts) Add(o Counts) {
	c.Whole, c.Corrupt, c.Misplaced, c.Broken = c.Whole+o.Whole, c.Corrupt+o.Corrupt, c.Misplaced+o.Misplaced, c.Broken+o.Broken
}

const (
	maxOpen   = 16                 // frames that wait for packets, of one stream
	maxPieces = 512                // packets of one frame
	videoTick = 90_000 / frameRate // RTP ticks from one frame to the next
)

// A Checker verifies one received stream of what a Reel's publishers sent, whatever node, layer or track it comes from, in
// whatever order its packets arrive. It is not safe for concurrent use.
type Checker struct {
	reel *Reel
	open []*assembly // oldest first
	ref  reference
	seen Counts
}

// reference is the frame that the place of the next one is told from.
type reference struct {
	known bool
	at    place
	in    extent
}

// assembly is a frame, or a NAL unit, that lacks packets.
type assembly struct {
	timestamp         uint32
	first, last       uint16
	hasFirst, hasLast bool
	head              []byte
	parts             []part
}

type part struct {
	seq  uint16
	data []byte
}

// Checker returns a new one.
func (r *Reel) Checker() *Checker { return &Checker{reel: r} }

// Counts is what was found so far.
func (c *Checker) Counts() Counts { return c.seen }

// Packet takes the next packet. It keeps nothing of it.
func (c *Checker) Packet(p client.Packet) {
	payload := p.RTP.Payload
	if _, stamped := client.ParseStamp(payload); stamped {
		payload = payload[:len(payload)-client.StampSize]
	}
	seq := p.RTP.SequenceNumber
	for _, one := range pieces(p.MimeType, payload, p.RTP.Marker) {
		at := extent{timestamp: p.RTP.Timestamp, first: seq, last: seq}
		whole := one.data
		if !one.first || !one.last {
			whole, at.first, at.last = c.assemble(one, seq, p.RTP.Timestamp)
		}
		if whole != nil {
			c.look(whole, at, p.MimeType)
		}
	}
}

// extent is where something whole stands in the stream.
type extent struct {
	timestamp   uint32
	first, last uint16 // sequence numbers of its packets
}

// assemble adds a piece to what it belongs to, and returns that once nothing of it is missing.
func (c *Checker) assemble(one piece, seq uint16, timestamp uint32) (whole []byte, first, last uint16) {
	a := c.assembly(timestamp)
	if len(a.parts) >= maxPieces || slices.ContainsFunc(a.parts, func(p part) bool { return p.seq == seq }) {
		return nil, 0, 0
	}
	a.parts = append(a.parts, part{seq, bytes.Clone(one.data)})
	if one.first {
		a.first, a.hasFirst, a.head = seq, true, bytes.Clone(one.head)
	}
	if one.last {
		a.last, a.hasLast = seq, true
	}
	if !a.hasFirst || !a.hasLast || len(a.parts) != int(a.last-a.first)+1 {
		return nil, 0, 0
	}
	c.open = slices.DeleteFunc(c.open, func(other *assembly) bool { return other == a })
	slices.SortFunc(a.parts, func(x, y part) int { return int(x.seq-a.first) - int(y.seq-a.first) })
	whole = a.head
	for _, p := range a.parts {
		whole = append(whole, p.data...)
	}
	return whole, a.first, a.last
}

// assembly finds what the pieces of a time belong to, or begins it.
func (c *Checker) assembly(timestamp uint32) *assembly {
	for _, a := range c.open {
		if a.timestamp == timestamp {
			return a
		}
	}
	if len(c.open) == maxOpen {
		c.open = c.open[1:]
		c.seen.Broken++
	}
	a := &assembly{timestamp: timestamp}
	c.open = append(c.open, a)
	return a
}

// look looks something whole up.
func (c *Checker) look(whole []byte, in extent, mime string) {
	at, known := c.reel.known[maphash.Bytes(c.reel.seed, whole)]
	switch {
	case !known:
		c.seen.Corrupt++
		return
	case at.aside:
		return
	}
	c.seen.Whole++
	if strings.EqualFold(mime, mimeOpus) {
		return // of a steady voice many packets are alike; the order of audio is its sequence numbers'
	}
	c.inPlace(at, in)
}

// inPlace checks that a frame stands as far behind the one that came right before it as its time says. Publishers begin anew
// with a keyframe, and so does every change of layer or track. Behind a gap nothing is told: a keyframe may be in it.
func (c *Checker) inPlace(at place, in extent) {
	ahead := int32(in.timestamp - c.ref.in.timestamp)
	if c.ref.known && ahead < 0 {
		return // late
	}
	if c.ref.known && in.first == c.ref.in.last+1 && !at.keyframe {
		steps := (int(ahead) + videoTick/2) / videoTick
		if c.ref.at.layer != at.layer || (c.ref.at.index+steps)%at.frames != at.index {
			c.seen.Misplaced++
		}
	}
	c.ref = reference{known: true, at: at, in: in}
}
