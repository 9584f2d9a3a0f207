package packet

import (
	"math/rand/v2"
	"sort"
)

const (
	sentMemory   = 1024 // outgoing packets that can be asked for again
	sourceMemory = 4    // sources likewise, the present one included
	maxStart     = 1 << 14
)

// TimestampHint says how the timestamps of a new source continue those of the source before it.
type TimestampHint struct {
	ClockRate uint32 // ticks a second, of both
	Aligned   bool   // Timestamp is known
	Timestamp uint32 // what the source before would have stamped on the first packet; Align computes it
}

// Out is what differs between a packet as received and as sent.
type Out struct {
	Sequence  uint16
	Timestamp uint32
	PictureID uint16 // for RewriteVP8 and RewriteVP9; 0 without one
	TL0       uint8  // likewise
	Frame     uint16 // for Extensions.AddDescriptor; 0 without one
	Marker    bool   // the packet's own, or Mark
	Empty     bool   // the packet is to be sent without its payload, which was left out: its number is all that is missing
}

// Rewriter turns the packets of changing sources (layers of one camera, or different cameras) into one continuous
// outgoing stream. Switch begins a source, Rewrite numbers its packets, Skip takes out those not to be sent.
//
// Each input packet has one output number and the other way round. What is missing in the input is missing in the
// output too, so that the receiver asks for it and a late packet fits its place; what is skipped leaves no trace.
// Nothing is numbered twice: Rewrite refuses duplicates, which a sender must never encrypt again under the same number.
//
// The zero value is ready. It takes 2 kB of memory with the first Switch, and none later.
type Rewriter struct {
	gen       uint32   // number of the present source; 0 before the first
	timestamp uint32   // newest sent
	arrival   int64    // when the packet with it came
	next      int64    // extended number of the next packet sent
	inputs    []uint16 // input number by output number, for the last sentMemory
	marks     bool     // some are marked, or were
	sources   [sourceMemory]source
	sent      [sentMemory / 64]uint64 // which of inputs Rewrite gave out; the others are holes
	marked    [sentMemory / 64]uint64 // which of those Mark was called for
}

// source is what is remembered of one Switch.
type source struct {
	ssrc     uint32
	first    int64  // output numbers [first, end) are this source's
	tail     int64  // those before tail are forgotten
	end      int64  //
	highest  uint16 // newest input number, sent or skipped
	oldest   uint16 // the one at tail, or one before it
	offset   uint32 // added to timestamps
	exact    uint32 // the offset by sender reports alone; offset is pushed further where time would stand still
	pictures pictures
	layered  layered
}

// Switch begins a new source with p, which Rewrite is given next. The outgoing stream goes on from its newest packet:
// sequence number, frame number, picture id and TL0PICIDX at +1, the timestamp where the hint aligns it (at least one tick further),
// otherwise by the time between the arrivals (at least 20 ms of ticks). The first source keeps its timestamps and picture
// ids; sequence numbers start at random in the lower quarter, so that early loss cannot be taken for a wrap (RFC 3711).
func (r *Rewriter) Switch(p *Packet, hint TimestampHint) {
	if r.gen == 0 {
		r.inputs = make([]uint16, sentMemory)
		r.next = 1 + rand.Int64N(maxStart-1)
		r.timestamp, r.arrival = p.Timestamp, p.Arrival
		r.begin(p, source{})
		return
	}
	before := r.source(r.gen)
	offset, exact := r.continueTime(p, hint, before.exact)
	r.timestamp, r.arrival = p.Timestamp+offset, p.Arrival
	r.begin(p, source{offset: offset, exact: exact, pictures: before.pictures.succeed(), layered: before.layered.succeed()})
}

// begin makes s the present source, with p about to come.
func (r *Rewriter) begin(p *Packet, s source) {
	s.ssrc, s.highest, s.oldest = p.SSRC, p.Sequence-1, p.Sequence-1
	s.first, s.tail, s.end = r.next, r.next, r.next
	r.gen++
	*r.source(r.gen) = s
}

// continueTime returns the timestamp offset for a source that starts with p. A hint that is seconds away from the time
// that has passed is a lie, or a sender report of another life, and is not believed.
func (r *Rewriter) continueTime(p *Packet, hint TimestampHint, before uint32) (offset, exact uint32) {
	passed := ticks(max(p.Arrival-r.arrival, 0), hint.ClockRate)
	guess := r.timestamp + max(passed, hint.ClockRate/50, 1)
	if hint.Aligned {
		exact := hint.Timestamp + before
		if away := TimestampDiff(exact, guess); max(away, -away) <= 2*int64(hint.ClockRate) {
			first := exact
			if TimestampDiff(exact, r.timestamp) <= 0 {
				first = r.timestamp + 1
			}
			return first - p.Timestamp, exact - p.Timestamp
		}
	}
	return guess - p.Timestamp, guess - p.Timestamp
}

// Rewrite numbers p for sending. ok is false when p must not be sent: it is from before the switch or older than the
// last 1,024, a duplicate, of another SSRC than the packet given to Switch, or part of a picture that was skipped.
func (r *Rewriter) Rewrite(p *Packet) (out Out, ok bool) {
	s := r.source(r.gen)
	if r.gen == 0 || p.SSRC != s.ssrc {
		return Out{}, false
	}
	inOrder := SeqLess(s.highest, p.Sequence)
	var n int64
	if inOrder {
		n = r.reserve(s, p.Sequence)
	} else if n, ok = r.find(s, p.Sequence); !ok || r.wasSent(n) {
		return Out{}, false
	}
	out = Out{Sequence: uint16(n), Timestamp: p.Timestamp + s.offset, Marker: p.Marker}
	if p.VP8.HasPictureID {
		if out.PictureID, ok = s.pictures.take(&p.VP8, inOrder); !ok {
			return Out{}, false
		}
	}
	if p.VP8.HasTL0 {
		out.TL0 = uint8(s.pictures.tl0.take(uint16(p.VP8.TL0), 8))
	}
	s.layered.number(p, &out, (*serial).take)
	if inOrder {
		r.push(s, p.Sequence)
	}
	r.sent[n/64%int64(len(r.sent))] |= 1 << (n % 64)
	if TimestampDiff(out.Timestamp, r.timestamp) > 0 {
		r.timestamp, r.arrival = out.Timestamp, p.Arrival
	}
	return out, true
}

// Mark has the packet that Rewrite has just numbered end its picture, and says so when it is sent again: what came behind it of that is
// left out.
func (r *Rewriter) Mark(out *Out) {
	n := r.next - int64(uint16(r.next)-out.Sequence)
	r.marked[n/64%int64(len(r.marked))] |= 1 << (n % 64)
	r.marks, out.Marker = true, true
}

// Skip notes that p is deliberately not sent: a temporal layer that is dropped, or nothing but padding. It leaves no
// hole, in sequence numbers nor in picture ids, unless packets behind it have been numbered already. Pictures are
// skipped as a whole: once a packet of one is skipped, Rewrite refuses the others, and they leave no hole either.
func (r *Rewriter) Skip(p *Packet) {
	s := r.source(r.gen)
	if r.gen == 0 || p.SSRC != s.ssrc {
		return
	}
	inOrder := SeqLess(s.highest, p.Sequence)
	if inOrder {
		r.reserve(s, p.Sequence)
	}
	if p.VP8.HasPictureID {
		s.pictures.skip(&p.VP8, inOrder)
	}
}

// reserve moves the newest input number up to seq, gives a number to each packet missing in front of it, and returns the
// number that seq would get.
func (r *Rewriter) reserve(s *source, seq uint16) int64 {
	missing := seq - s.highest - 1
	if far := int64(missing) - sentMemory; far > 0 { // numbers nobody will remember
		r.next += far
		s.highest += uint16(far)
	}
	for in := s.highest + 1; in != seq; in++ {
		r.push(s, in)
	}
	s.highest = seq
	r.forget(s)
	return r.next
}

// push gives the next output number to the input number in.
func (r *Rewriter) push(s *source, in uint16) {
	n := r.next
	r.inputs[n%sentMemory] = in
	r.sent[n/64%int64(len(r.sent))] &^= 1 << (n % 64)
	if r.marks {
		r.marked[n/64%int64(len(r.marked))] &^= 1 << (n % 64)
	}
	r.next++
	s.end = r.next
}

// forget moves the tail of s to where input numbers are less than half a wrap old, so that they stay unambiguous.
func (r *Rewriter) forget(s *source) {
	s.tail = max(s.tail, r.next-sentMemory)
	if s.highest-s.oldest < 1<<15 {
		return
	}
	for s.tail < s.end && s.highest-r.inputs[s.tail%sentMemory] >= 1<<15 {
		s.tail++
	}
	if s.oldest = s.highest; s.tail < s.end {
		s.oldest = r.inputs[s.tail%sentMemory]
	}
}

// find returns the output number of the input number in of s. Within a source both rise together.
func (r *Rewriter) find(s *source, in uint16) (n int64, ok bool) {
	age := s.highest - in
	tail := max(s.tail, r.next-sentMemory)
	if tail >= s.end {
		return 0, false
	}
	n = tail + int64(sort.Search(int(s.end-tail), func(i int) bool {
		return s.highest-r.inputs[(tail+int64(i))%sentMemory] <= age
	}))
	return n, n < s.end && r.inputs[n%sentMemory] == in
}

// wasSent is for the last sentMemory numbers only.
func (r *Rewriter) wasSent(n int64) bool {
	return r.sent[n/64%int64(len(r.sent))]>>(n%64)&1 != 0
}

// source returns where generation gen is remembered.
func (r *Rewriter) source(gen uint32) *source { return &r.sources[gen%sourceMemory] }

// Source tells which input packet has the output number outSeq, by the generation that it belongs to and its number
// there. It remembers the last 1,024 numbers of the last four generations; ok is false for others. A hole has a source
// too: the packet that would have filled it, and may have come since.
func (r *Rewriter) Source(outSeq uint16) (gen uint32, inSeq uint16, ok bool) {
	n := r.next - int64(uint16(r.next)-outSeq)
	if r.gen == 0 || n >= r.next || n < r.next-sentMemory {
		return 0, 0, false
	}
	for gen := r.gen; gen > 0 && gen+sourceMemory > r.gen; gen-- {
		if s := r.source(gen); n >= s.first {
			return gen, r.inputs[n%sentMemory], n >= s.tail
		}
	}
	return 0, 0, false
}

// RewriteAgain returns, for a retransmission, what Rewrite returned for p when gen was the present generation, or would
// have returned had p not come too late for it. ok is false when p has no place there, or when that is no longer known. A packet of a
// skipped picture has a place if it was lost first, and its number is then asked for: it is sent empty.
// It is no leave to send p on the stream itself, only on the stream that repairs it.
func (r *Rewriter) RewriteAgain(gen uint32, p *Packet) (out Out, ok bool) {
	if gen == 0 || gen > r.gen || gen+sourceMemory <= r.gen {
		return Out{}, false
	}
	s := r.source(gen)
	n, ok := r.find(s, p.Sequence)
	if !ok || p.SSRC != s.ssrc {
		return Out{}, false
	}
	marked := r.marked[n/64%int64(len(r.marked))]>>(n%64)&1 != 0
	out = Out{Sequence: uint16(n), Timestamp: p.Timestamp + s.offset, Marker: p.Marker || marked}
	if p.VP8.HasPictureID {
		if out.PictureID, ok = s.pictures.again(&p.VP8); !ok {
			out.Empty = s.pictures.leftOut(&p.VP8)
			return out, out.Empty
		}
	}
	if p.VP8.HasTL0 {
		out.TL0 = uint8(s.pictures.tl0.again(uint16(p.VP8.TL0), 8))
	}
	s.layered.number(p, &out, (*serial).again)
	return out, true
}

// Generation returns the number of the present source: 0 before the first Switch, then one more with each.
func (r *Rewriter) Generation() uint32 { return r.gen }

// Newest returns the newest sequence number of the present source that was sent or skipped.
func (r *Rewriter) Newest() uint16 { return r.source(r.gen).highest }

// TimestampOffset is what Rewrite adds to the timestamps of the present source, modulo 2^32: sender reports of the
// source are translated by the same.
func (r *Rewriter) TimestampOffset() uint32 { return r.source(r.gen).offset }
