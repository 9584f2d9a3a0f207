package packet

import "errors"

// ErrRED is a payload that claims to be RED and is not.
var ErrRED = errors.New("packet: redundant blocks do not fit the payload")

// RED is a payload with earlier ones repeated in front of it (RFC 2198): what is lost is there again in the next packet.
// All blocks alias the payload.
type RED struct {
	PayloadType uint8  // of Primary
	Primary     []byte // what the packet is there for
	Blocks      int    // repeated in front of it
	payload     []byte
}

// Redundant is one repeated block.
type Redundant struct {
	PayloadType uint8
	Offset      uint32 // ticks that its timestamp is before the packet's
	Payload     []byte // may be empty: there was nothing to send
}

const redHead = 4 // bytes in front of each repeated block's share

// ParseRED finds the blocks of one payload. It allocates nothing.
func ParseRED(payload []byte) (RED, error) {
	d := RED{payload: payload}
	heads, body := payload, 0
	for {
		if len(heads) == 0 {
			return RED{}, ErrRED
		}
		if heads[0]&0x80 == 0 {
			break
		}
		if len(heads) < redHead {
			return RED{}, ErrRED
		}
		body += redLength(heads)
		heads = heads[redHead:]
		d.Blocks++
	}
	if body > len(heads)-1 {
		return RED{}, ErrRED
	}
	d.PayloadType, d.Primary = heads[0], heads[1+body:]
	return d, nil
}

// redLength is the ten-bit length of a block.
func redLength(head []byte) int { return int(head[2]&0x03)<<8 | int(head[3]) }

// Block returns the repeated block i, the oldest first; i is less than Blocks.
func (d *RED) Block(i int) Redundant {
	at := redHead*d.Blocks + 1
	for k := range i {
		at += redLength(d.payload[redHead*k:])
	}
	head := d.payload[redHead*i:]
	return Redundant{
		PayloadType: head[0] & 0x7F,
		Offset:      uint32(head[1])<<6 | uint32(head[2]>>2),
		Payload:     d.payload[at : at+redLength(head)],
	}
}
