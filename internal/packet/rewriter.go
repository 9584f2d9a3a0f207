package packet

// TimestampHint says how the timestamps of a new source continue those of the source before it.
type TimestampHint struct {
	ClockRate uint32 // ticks a second of the new source
	Aligned   bool   // Timestamp is known
	Timestamp uint32 // the first packet's timestamp on the clock of the source before; see Align
}

// Out is what differs between a received packet and the same packet as sent.
type Out struct {
	Sequence  uint16
	Timestamp uint32
	PictureID uint16 // for RewriteVP8
	TL0       uint8  // for RewriteVP8
}

// Rewriter turns packets of changing sources into one continuous outgoing stream.
type Rewriter struct{}

// Switch starts a new source at p; Rewrite p next.
func (r *Rewriter) Switch(p *Packet, hint TimestampHint) {}

// Rewrite returns how p is sent. ok is false when it must not be: from before the switch, a duplicate, of another source.
func (r *Rewriter) Rewrite(p *Packet) (out Out, ok bool) { return }

// Skip notes that p is deliberately not sent and leaves no hole.
func (r *Rewriter) Skip(p *Packet) {}

// Source returns which input packet was sent as outSeq.
func (r *Rewriter) Source(outSeq uint16) (gen uint32, inSeq uint16, ok bool) { return }

// RewriteAgain returns how p of the generation gen was sent.
func (r *Rewriter) RewriteAgain(gen uint32, p *Packet) (out Out, ok bool) { return }

// Generation returns the number of the present source, which Switch increments.
func (r *Rewriter) Generation() uint32 { return 0 }

// TimestampOffset is what is added to timestamps of the present source: for translating its sender reports.
func (r *Rewriter) TimestampOffset() uint32 { return 0 }
