package path

import (
	"encoding/binary"
	"math/rand/v2"
)

// keyframeEvery is the number of frames from one keyframe to the next.
const keyframeEvery = 64

// stream makes the packets of one publisher, whose number its sizes follow from. The payloads are no pictures, but their headers are those of VP8 (RFC 7741), since
// servers look at them.
type stream struct {
	load    Load
	payload []byte // of the largest packet
	dice    *rand.Rand
	frame   uint16
	fresh   bool // every frame is a keyframe: viewers are coming
}

func newStream(load Load, number int) *stream {
	s := &stream{load: load, payload: make([]byte, load.Size+load.Vary), dice: rand.New(rand.NewPCG(0, uint64(number)))}
	for i := range s.payload {
		s.payload[i] = byte(i * 7)
	}
	return s
}

// next returns the payload of a frame's packet of an index, which is good until the next call.
func (s *stream) next(index int) []byte {
	if !s.load.video() {
		return s.payload
	}
	size := s.load.Size - s.load.Vary + s.dice.IntN(2*s.load.Vary+1)
	describe(s.payload, s.frame, index == 0, s.fresh || s.frame%keyframeEvery == 0)
	if index == s.load.Burst-1 {
		s.frame++
	}
	return s.payload[:size]
}

// describe writes the VP8 payload descriptor with a picture id of 15 bits, and the head of a frame at its start.
func describe(payload []byte, picture uint16, start, key bool) {
	const extended, begins, hasPicture, long = 0x80, 0x10, 0x80, 0x8000
	payload[0], payload[1] = extended, hasPicture
	binary.BigEndian.PutUint16(payload[2:], picture|long)
	if !start {
		return
	}
	payload[0] |= begins
	const shown, inter = 0x10, 0x01
	payload[4] = shown
	if !key {
		payload[4] |= inter
		return
	}
	copy(payload[7:], []byte{0x9d, 0x01, 0x2a, 160, 0, 90, 0}) // start code, width and height
}
