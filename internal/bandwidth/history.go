package bandwidth

import "github.com/parley-sfu/parley/internal/packet"

const (
	historyLeast = 1 << 8
	historyMost  = 1 << 13
	historyKeeps = second // what the receiver has not told of in that time is not waited for
)

// record is one packet that left. Times are kept in µs modulo 2^32, which is 71 minutes, so that it fits eight bytes.
type record struct {
	at      uint32
	size    uint16
	cluster uint8 // probe that it belongs to, 0 is none
	pending bool  // the receiver has not told of it
}

// departure is a packet that left, as history remembers it.
type departure struct {
	at      int64
	size    int
	cluster uint8
}

// history is the ring of packets that left, by transport-wide sequence number. It begins small and doubles whenever it would
// forget a packet that feedback may yet come for: most subscribers of a big room are slow.
type history struct {
	ring    []record
	next    int64 // number of the next packet, never wrapped
	settled int64 // packets below are told of, or passed over
	flight  int   // bytes from settled on
}

// push remembers a packet and returns its number on the wire.
func (h *history) push(now int64, size int, cluster uint8) uint16 {
	if len(h.ring) == 0 {
		h.ring = make([]record, historyLeast)
	}
	h.makeRoom(now)
	h.ring[h.next&h.mask()] = record{at: uint32(now / micro), size: uint16(min(size, 1<<16-1)), cluster: cluster, pending: true}
	h.flight += min(size, 1<<16-1)
	h.next++
	return uint16(h.next - 1)
}

func (h *history) mask() int64 { return int64(len(h.ring) - 1) }

func (h *history) makeRoom(now int64) {
	oldest := h.next - int64(len(h.ring))
	if oldest < 0 {
		return
	}
	r := h.ring[oldest&h.mask()]
	if r.pending && h.age(r, now) < historyKeeps && len(h.ring) < historyMost {
		h.double()
		return
	}
	if h.settled == oldest {
		h.settle(oldest + 1)
	}
}

func (h *history) double() {
	ring := make([]record, 2*len(h.ring))
	for n := h.next - int64(len(h.ring)); n < h.next; n++ {
		ring[n&int64(len(ring)-1)] = h.ring[n&h.mask()]
	}
	h.ring = ring
}

func (h *history) age(r record, now int64) int64 {
	return int64(uint32(now/micro)-r.at) * micro
}

// find returns the number of a packet by what is on the wire, and false for one that never left or is forgotten.
func (h *history) find(sequence uint16) (n int64, ok bool) {
	last := h.next - 1
	n = last + int64(packet.SeqDiff(sequence, uint16(last)))
	return n, n >= 0 && n <= last && n > last-int64(len(h.ring))
}

// take returns packet n, which find found, and takes it out: what is told twice counts once.
func (h *history) take(n, now int64) (d departure, ok bool) {
	r := &h.ring[n&h.mask()]
	ok = r.pending
	r.pending = false
	return departure{at: now - h.age(*r, now), size: int(r.size), cluster: r.cluster}, ok
}

// settle stops waiting for the packets below n.
func (h *history) settle(n int64) {
	for ; h.settled < n; h.settled++ {
		h.flight -= int(h.ring[h.settled&h.mask()].size)
	}
}
