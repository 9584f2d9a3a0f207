package node

import (
	"time"

	"github.com/parley-sfu/parley/internal/udp"
)

// Clients have no stream of retransmissions for voices: what they ask for again comes in the stream itself, under the sequence number
// that it was sent with (RFC 4585 section 6.2.1). One number must not be sealed twice with something else (RFC 7714 section 8.2), so it
// is the same packet again, byte for byte, the transport-wide number included.

// againMemory is how many packets of a voice can be asked for again: a little more than a second.
const againMemory = 64

// again is what a slot remembers of the packets of voices that it has sent, by sequence number modulo againMemory. It is nil where the
// client asks for nothing again. Between being written and leaving, with its transport-wide number, a packet may wait in the pacer.
type again []sentVoice

// sentVoice is a packet that was sent. What else was in it the voice's cache and the slot's rewriter know.
type sentVoice struct {
	sent     bool
	seq      uint16
	number   [2]byte // transport-wide, as on the wire
	captured uint64  // the time of capture that it carried; 0 for none
	resent   int64   // when it was last sent again; 0 before
}

func newAgain() again { return make(again, againMemory) }

// wrote remembers a packet that is about to be sent, with its time of capture.
func (a again) wrote(seq uint16, captured uint64) {
	a[seq%againMemory] = sentVoice{seq: seq, captured: captured}
}

// left notes that a packet is sealed now, under a transport-wide number, of no bytes where it has none.
func (a again) left(seq uint16, number []byte) {
	if v := &a[seq%againMemory]; v.seq == seq && !v.sent {
		v.sent = true
		copy(v.number[:], number)
	}
}

// find returns what was sent under a number, or nil.
func (a again) find(seq uint16) *sentVoice {
	if v := &a[seq%againMemory]; v.sent && v.seq == seq {
		return v
	}
	return nil
}

// roundTrip is the time until the peer has a packet and this end knows, the queue on the way included.
func (p *Peer) roundTrip() time.Duration { return p.in.roundTrip() + p.way.queue() }

// patience is for how many nanoseconds a packet that was sent again may be on its way before it is sent once more.
func (s *slot) patience() int64 {
	if !s.peer.pacer.narrow.Load() {
		return resendInterval
	}
	return max(resendInterval, int64(s.peer.roundTrip()))
}

// underway reports whether a packet was sent again so lately that who asks cannot have it yet. Receivers of voices ask with each packet
// that comes.
func (v *sentVoice) underway(now int64, roundTrip time.Duration) bool {
	return v.resent != 0 && now-v.resent < max(resendInterval, int64(roundTrip))
}

// resendVoice answers one requested sequence number with the packet as it was sent. The estimate of the way is told nothing: the
// number was counted when it left first. Pictures wait for as long as it takes. mu is held.
func (s *slot) resendVoice(seq uint16, now int64, out *udp.Batch) bool {
	v := s.again.find(seq)
	if v == nil || s.credit < 2 || v.underway(now, s.peer.roundTrip()) {
		return false
	}
	if !s.sendVoice(v, seq, now, out) {
		return false
	}
	s.repeat(seq, now)
	return true
}

// sendVoice sends a packet of a voice as it was sent first. mu is held.
func (s *slot) sendVoice(v *sentVoice, seq uint16, now int64, out *udp.Batch) bool {
	l, p, o := s.sentAsLocked(seq)
	if p == nil {
		return false
	}
	defer p.Release()
	pt := s.formats[l.format.Load()].pt
	buf := s.peer.transport.Reserve(out, len(p.Buf)+headerRoom)
	if pt == 0 || buf == nil {
		return false
	}
	v.resent = now
	s.credit -= 2
	head := s.header(buf, l, p, o, pt, o.Sequence, s.media.SSRC, v.captured)
	copy(s.numberIn(buf), v.number[:])
	n := head + s.payload(buf[head:], p, o)
	s.peer.pacer.spend(n + overhead)
	return s.peer.transport.Send(out, &s.media, buf, head, n) != 0
}
