package packet

import "math/bits"

// bitReader reads numbers of any width, most significant bit first. Behind the end everything is 0 and short is set.
type bitReader struct {
	b     []byte
	at    int // in bits
	short bool
}

// bits reads an n-bit number, n ≤ 32.
func (r *bitReader) bits(n int) uint32 {
	if r.at+n > 8*len(r.b) {
		r.at, r.short = 8*len(r.b), true
		return 0
	}
	var v uint32
	for n > 0 {
		in := min(8-r.at%8, n)
		chunk := r.b[r.at/8] << (r.at % 8) >> (8 - in)
		v = v<<in | uint32(chunk)
		r.at, n = r.at+in, n-in
	}
	return v
}

func (r *bitReader) flag() bool { return r.bits(1) != 0 }

// nonSymmetric reads one of n values, of which the first few take a bit less (ns(n) of the AV1 specification, 4.10.7).
func (r *bitReader) nonSymmetric(n uint32) uint32 {
	width := bits.Len32(n)
	few := uint32(1)<<width - n
	v := r.bits(width - 1)
	if v < few {
		return v
	}
	return v<<1 - few + r.bits(1)
}
