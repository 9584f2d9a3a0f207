package packet

// Kinds of open bitstream units (section 6.2.2 of the AV1 specification).
const obuSequenceHeader = 1

// AV1 is what the aggregation header of an AV1 packet says (section 4.4 of the AV1 RTP specification), with what its
// first units are.
type AV1 struct {
	Continues bool // the first unit began in the packet before
	Continued bool // the last unit goes on in the next packet
	Begins    bool // first packet of a coded video sequence: its first frame is a keyframe
	Units     int  // units or parts of units in the packet; 0 when the sender does not count them
	Sequence  bool // a sequence header is in the packet, which stands in front of every keyframe
}

// Start reports whether a decoder can start with the packet.
func (d *AV1) Start() bool { return d.Begins && !d.Continues }

// ParseAV1 reads the aggregation header of one AV1 payload, and the kinds of the units in it. A payload without a byte of
// a unit is ErrShort; what is wrong with the units is left to decoders.
func ParseAV1(payload []byte) (AV1, error) {
	if len(payload) < 2 {
		return AV1{}, ErrShort
	}
	d := AV1{
		Continues: payload[0]&0x80 != 0,
		Continued: payload[0]&0x40 != 0,
		Units:     int(payload[0] >> 4 & 3),
		Begins:    payload[0]&0x08 != 0,
	}
	d.walk(payload[1:])
	return d, nil
}

// walk looks at the units one by one. Each stands behind its length, but the last when they are counted.
func (d *AV1) walk(b []byte) {
	for n := 1; len(b) > 0 && !d.Sequence; n++ {
		unit := b
		if n == d.Units {
			b = nil
		} else {
			size, length := leb128(b)
			if length == 0 || size > uint64(len(b)-length) {
				return
			}
			unit, b = b[length:length+int(size)], b[length+int(size):]
		}
		if len(unit) > 0 && (n > 1 || !d.Continues) {
			d.Sequence = unit[0]>>3&0x0F == obuSequenceHeader
		}
	}
}

// leb128 reads a number of at most eight bytes that says itself where it ends (section 4.10.5 of the AV1 specification),
// and returns the bytes it takes: 0 when it does not end.
func leb128(b []byte) (v uint64, length int) {
	for i, part := range b[:min(len(b), 8)] {
		v |= uint64(part&0x7F) << (7 * i)
		if part&0x80 == 0 {
			return v, i + 1
		}
	}
	return 0, 0
}
