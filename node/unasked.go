package node

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/parley-sfu/parley/internal/bandwidth"
	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// Requests for what was lost are lost as well, and so is what is sent again: who asked finds out a round trip later. The receiver's account of what came says
// the same sooner, in packets of its own. So what did not come to viewers far away, by that account, is sent again unasked.

const (
	// farFrom is the round trip from which on a viewer is far away.
	farFrom = 30 * time.Millisecond

	// busyFrom is how old what is read must be for a node to have no time to spare: round trips are longer then, and none the farther away.
	busyFrom = 20 * time.Millisecond

	// manifestMemory is how many packets an account can be about: nearly a second of what an open way is given.
	manifestMemory = 512
)

// far reports whether to ask again takes the peer long, and there is room and time to send more than what it asks for.
func (p *Peer) far() bool {
	return p.in.rtt.Load() >= int64(farFrom) && !p.pacer.narrow.Load() && p.transport.Behind() < busyFrom
}

// manifest is what left for a viewer far away since something did not come for the first time. The way's mutex guards what follows on.
type manifest struct {
	on   atomic.Bool // packets are remembered
	ring []entry     // by transport-wide sequence number, modulo manifestMemory
	lost []entry     // that did not come, in the order in which they left
}

// entry is a packet that left, once or again.
type entry struct {
	slot   *slot
	number uint16 // transport-wide
	seq    uint16 // the slot's
}

// look goes through an account.
func (m *manifest) look(account packet.TransportFeedback) {
	for a, more := account.Next(); more; a, more = account.Next() {
		switch {
		case a.Received:
		case m.ring == nil:
			m.ring = make([]entry, manifestMemory)
			m.on.Store(true)
		default:
			if e := &m.ring[a.Sequence%manifestMemory]; e.slot != nil && e.number == a.Sequence {
				m.lost = append(m.lost, *e)
				e.slot = nil
			}
		}
	}
}

// note remembers a packet that has just been numbered, whose header takes head bytes.
func (w *way) note(s *slot, buf []byte, head int, kind bandwidth.Kind) {
	number, seq := s.numberIn(buf), buf[2:]
	switch {
	case number == nil, kind == bandwidth.Padding:
		return
	case kind == bandwidth.Retransmission:
		seq = buf[head:] // RFC 4588 section 4
	}
	e := entry{slot: s, number: binary.BigEndian.Uint16(number), seq: binary.BigEndian.Uint16(seq)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.manifest.ring[e.number%manifestMemory] = e
}

// takeLost returns what did not come, once.
func (w *way) takeLost() (lost []entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lost, w.manifest.lost = w.manifest.lost, nil
	return lost
}

// sendUnasked sends again what did not come and is not on its way again.
func (p *Peer) sendUnasked(now int64, out *udp.Batch) {
	for _, l := range p.way.takeLost() {
		if l.slot.resendUnasked(l.seq, now, out) {
			p.node.count.resent.Add(1)
		}
	}
}

func (s *slot) resendUnasked(seq uint16, now int64, out *udp.Batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resendLocked(seq, int64(s.peer.roundTrip()), now, out)
}
