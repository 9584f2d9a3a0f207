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

// reference is the frame that the places of later ones are told from.
type reference struct {
	known     bool
	at        place
	timestamp uint32
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
	for _, one := range pieces(p.MimeType, payload, p.RTP.Marker) {
		if one.first && one.last {
			c.look(one.data, p.RTP.Timestamp, p.MimeType)
			continue
		}
		if whole := c.assemble(one, p.RTP.SequenceNumber, p.RTP.Timestamp); whole != nil {
			c.look(whole, p.RTP.Timestamp, p.MimeType)
		}
	}
}

// assemble adds a piece to what it belongs to, and returns that once nothing of it is missing.
func (c *Checker) assemble(one piece, seq uint16, timestamp uint32) []byte {
	a := c.assembly(timestamp)
	if len(a.parts) >= maxPieces || slices.ContainsFunc(a.parts, func(p part) bool { return p.seq == seq }) {
		return nil
	}
	a.parts = append(a.parts, part{seq, bytes.Clone(one.data)})
	if one.first {
		a.first, a.hasFirst, a.head = seq, true, bytes.Clone(one.head)
	}
	if one.last {
		a.last, a.hasLast = seq, true
	}
	if !a.hasFirst || !a.hasLast || len(a.parts) != int(a.last-a.first)+1 {
		return nil
	}
	c.open = slices.DeleteFunc(c.open, func(other *assembly) bool { return other == a })
	slices.SortFunc(a.parts, func(x, y part) int { return int(x.seq-a.first) - int(y.seq-a.first) })
	whole := a.head
	for _, p := range a.parts {
		whole = append(whole, p.data...)
	}
	return whole
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
func (c *Checker) look(whole []byte, timestamp uint32, mime string) {
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
	c.inPlace(at, timestamp)
}

// inPlace checks that a frame stands as far behind the last one as its time says. Publishers begin anew with a keyframe,
// and so does every change of layer or track.
func (c *Checker) inPlace(at place, timestamp uint32) {
	ahead := int32(timestamp - c.ref.timestamp)
	if c.ref.known && ahead < 0 {
		return // late, of before the newest; its keyframe may be the one before
	}
	steps := (int(ahead) + videoTick/2) / videoTick
	follows := c.ref.known && c.ref.at.layer == at.layer && (c.ref.at.index+steps)%at.frames == at.index
	if !follows && !at.keyframe && c.ref.known {
		c.seen.Misplaced++
	}
	c.ref = reference{known: true, at: at, timestamp: timestamp}
}
