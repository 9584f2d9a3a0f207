package udp

// Piece is what one receive took from the kernel: one datagram, or several that came in a row from one address in one
// segmented message and were left together (UDP_GRO).
type Piece struct {
	B    []byte // one datagram behind the other; valid until the call that got it returns
	Size int    // bytes of each of them; the last may be shorter
	At   int64  // when the kernel received it, in nanoseconds since 1970
	From Addr   // who sent it
}

// Datagrams calls read with each datagram of the piece, in order.
func (p *Piece) Datagrams(read func(b []byte)) {
	for b := p.B; len(b) > 0; {
		n := len(b)
		if p.Size > 0 {
			n = min(n, p.Size)
		}
		read(b[:n:n])
		b = b[n:]
	}
}
