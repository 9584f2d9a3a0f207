package packet

import "encoding/binary"

const (
	maxStatuses   = 1 << 13 // of one message: some 10 Mbit/s that went unheard for 8 s; more cost work and tell nothing
	feedbackFixed = rtcpSenderAndSource + 8
	referenceUnit = 64_000_000 // ns
	deltaUnit     = 250_000    // ns

	notReceived = 0
	smallDelta  = 1
	largeDelta  = 2
)

// TransportFeedback is a receiver's account of the packets that came over one transport, by their transport-wide
// sequence numbers (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1). It is read in place: it aliases the
// bytes that it was parsed from, and Next goes through it once.
type TransportFeedback struct {
	Base      uint16 // sequence number of the first packet
	Count     int    // packets told of
	Reference int64  // the receiver's time that arrivals count from, in ns; it wraps at ReferenceWrap
	Number    uint8  // of the message, to notice lost ones

	chunks, deltas []byte
	at             int   // packets gone through
	chunk          chunk // being gone through
	arrival        int64
}

// ReferenceWrap is the circle that the receiver's clock in feedback goes round, in ns: 24 bits of 64 ms.
const ReferenceWrap = referenceUnit << 24

// Arrival is what feedback says of one packet.
type Arrival struct {
	Sequence uint16
	Received bool
	At       int64 // when it came, in ns of the receiver's clock, past ReferenceWrap rather than wrapped
}

// TransportFeedback parses p if it is transport-wide feedback. It reports false for anything else, for what is cut short,
// and for accounts of more than 8,192 packets, so that few bytes cannot ask for much work. It does not allocate.
func (p RTCP) TransportFeedback() (f TransportFeedback, ok bool) {
	if p.Type != rtcpTransportLayer || p.Count != formatTransportWide || len(p.Raw) < feedbackFixed {
		return f, false
	}
	b := p.Raw[rtcpSenderAndSource:]
	reference := binary.BigEndian.Uint32(b[4:])
	f = TransportFeedback{
		Base: binary.BigEndian.Uint16(b), Count: int(binary.BigEndian.Uint16(b[2:])),
		Reference: int64(reference>>8) * referenceUnit, Number: uint8(reference),
	}
	if f.Count > maxStatuses {
		return f, false
	}
	f.arrival = f.Reference
	return f, f.split(b[8:])
}

// split finds where chunks end and deltas begin, and makes sure that both are whole: Next need not look.
func (f *TransportFeedback) split(b []byte) bool {
	need, at := 0, 0
	for left := f.Count; left > 0; at += 2 {
		if at+2 > len(b) {
			return false
		}
		c := newChunk(binary.BigEndian.Uint16(b[at:]))
		n := min(c.left, left)
		if n == 0 {
			return false
		}
		left -= n
		bytes, ok := c.deltaBytes(n)
		if !ok {
			return false
		}
		need += bytes
	}
	f.chunks, f.deltas = b[:at], b[at:]
	return need <= len(f.deltas)
}

// Next returns the next packet told of, in the order of sequence numbers, and false after the last.
func (f *TransportFeedback) Next() (Arrival, bool) {
	if f.at == f.Count {
		return Arrival{}, false
	}
	if f.chunk.left == 0 {
		f.chunk = newChunk(binary.BigEndian.Uint16(f.chunks))
		f.chunks = f.chunks[2:]
	}
	a := Arrival{Sequence: f.Base + uint16(f.at)}
	f.at++
	switch f.chunk.next() {
	case smallDelta:
		f.arrival += int64(f.deltas[0]) * deltaUnit
		f.deltas = f.deltas[1:]
	case largeDelta:
		f.arrival += int64(int16(binary.BigEndian.Uint16(f.deltas))) * deltaUnit
		f.deltas = f.deltas[2:]
	default:
		return a, true
	}
	a.Received, a.At = true, f.arrival
	return a, true
}

// chunk is a packet status chunk: symbols that are all the same, or 14 of one bit, or 7 of two (sections 3.1.3, 3.1.4).
type chunk struct {
	left  int
	bits  uint16 // of a vector, the next symbol at the top
	width uint8  // bits of a symbol, 0 in a run
	run   uint8  // the symbol of a run
}

func newChunk(word uint16) chunk {
	switch {
	case word>>15 == 0:
		return chunk{left: int(word & 0x1FFF), run: uint8(word >> 13 & 3)}
	case word>>14&1 == 0:
		return chunk{left: 14, width: 1, bits: word << 2}
	default:
		return chunk{left: 7, width: 2, bits: word << 2}
	}
}

func (c *chunk) next() uint8 {
	c.left--
	if c.width == 0 {
		return c.run
	}
	symbol := uint8(c.bits >> (16 - c.width))
	c.bits <<= c.width
	return symbol
}

// deltaBytes is how many bytes of deltas the next n symbols have, which for a symbol is its number: none, one, two.
// It reports false for the fourth symbol, which is reserved.
func (c chunk) deltaBytes(n int) (bytes int, ok bool) {
	if c.width == 0 {
		return n * int(c.run), c.run <= largeDelta
	}
	for range n {
		symbol := c.next()
		if symbol > largeDelta {
			return 0, false
		}
		bytes += int(symbol)
	}
	return bytes, true
}
