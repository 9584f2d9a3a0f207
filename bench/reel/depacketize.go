package reel

import (
	"encoding/binary"
	"strings"
)

// A piece is what one packet holds of a frame or of a NAL unit.
type piece struct {
	data        []byte
	head        []byte // stands before the data of the first piece: the header of a NAL unit that was cut up
	first, last bool   // of what is put together
}

// pieces takes a payload apart. A malformed one has none.
func pieces(mime string, payload []byte, marker bool) []piece {
	switch {
	case strings.EqualFold(mime, mimeVP8):
		return vp8Pieces(payload, marker)
	case strings.EqualFold(mime, mimeH264):
		return h264Pieces(payload)
	default:
		return []piece{{data: payload, first: true, last: true}}
	}
}

// vp8Pieces takes off the payload descriptor (RFC 7741, section 4.2).
func vp8Pieces(payload []byte, marker bool) []piece {
	const (
		extended, start, partition     = 0x80, 0x10, 0x07 // of the first byte
		picture, tl0, temporal, keyidx = 0x80, 0x40, 0x20, 0x10
		long                           = 0x80 // a picture id of two bytes
	)
	if len(payload) < 2 {
		return nil
	}
	size := 1
	if payload[0]&extended != 0 {
		has := payload[1]
		size = 2
		if has&picture != 0 {
			if len(payload) < 3 {
				return nil
			}
			size++
			if payload[2]&long != 0 {
				size++
			}
		}
		if has&tl0 != 0 {
			size++
		}
		if has&(temporal|keyidx) != 0 {
			size++
		}
	}
	if len(payload) <= size {
		return nil
	}
	first := payload[0]&start != 0 && payload[0]&partition == 0
	return []piece{{data: payload[size:], first: first, last: marker}}
}

// h264Pieces takes NAL units out of single, aggregation and fragmentation packets (RFC 6184, sections 5.6 to 5.8).
func h264Pieces(payload []byte) []piece {
	const (
		kinds, reference = 0x1f, 0xe0 // of a NAL unit's header
		stapA, fuA       = 24, 28
		start, end       = 0x80, 0x40 // of a fragment's header
	)
	if len(payload) < 3 {
		return nil
	}
	switch kind := payload[0] & kinds; {
	case kind < stapA:
		return []piece{{data: payload, first: true, last: true}}
	case kind == stapA:
		var all []piece
		for rest := payload[1:]; len(rest) > 2; {
			size := int(binary.BigEndian.Uint16(rest))
			if size == 0 || len(rest) < 2+size {
				return nil
			}
			all = append(all, piece{data: rest[2 : 2+size], first: true, last: true})
			rest = rest[2+size:]
		}
		return all
	case kind == fuA:
		head := payload[0]&reference | payload[1]&kinds
		return []piece{{data: payload[2:], head: []byte{head}, first: payload[1]&start != 0, last: payload[1]&end != 0}}
	default:
		return nil
	}
}
