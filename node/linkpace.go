package node

import (
	"encoding/binary"

	"github.com/parley-sfu/parley/internal/bandwidth"
	"github.com/parley-sfu/parley/internal/rtc"
	"github.com/parley-sfu/parley/internal/udp"
)

// Pictures that go over a narrow link leave through a pacer, like those that go to a viewer. Voices do not: they have no numbers, and wait for nothing.

// linkWaits is how many times what may wait for a link does at the most, which is 600 ms of what that carries. Layers have fallen long before; what comes
// then is lost, as in a full queue on the way, and asked for again if anybody misses it.
const linkWaits = 3

// dispatch sends the packet buf[:n], which came from Reserve and has a header of so many bytes, or has it wait for its turn. It reports false if it is
// lost. mu is held.
func (s *outletStream) dispatch(out *udp.Batch, stream *rtc.Stream, buf []byte, head, n int, kind bandwidth.Kind, now int64) bool {
	o := s.outlet
	switch c := &o.relay.pacer; {
	case !c.narrow.Load() || o.track.Kind != Video:
	case c.full(linkWaits):
		return false
	case s.wait(stream, buf[:n], head, kind):
		return true
	}
	o.leaves(buf, s.placeLocked(), n, kind, now)
	return s.leave(out, stream, buf, head, n)
}

// wait has a packet wait, and reports false if there is no need. mu is held.
func (s *outletStream) wait(stream *rtc.Stream, packet []byte, head int, kind bandwidth.Kind) bool {
	r := s.outlet.relay
	h := r.node.takeHeld(packet)
	h.from, h.stream, h.layer, h.kind, h.head, h.number = s, stream, s.layer, kind, head, s.placeLocked()
	return r.node.wait(&r.pacer, r, h)
}

// leave seals a packet and sends it, and reports whether it did. mu is held.
func (s *outletStream) leave(out *udp.Batch, stream *rtc.Stream, buf []byte, head, n int) bool {
	bytes := s.outlet.link.Transport().Send(out, stream, buf, head, n)
	s.outlet.relay.sent.Add(uint64(bytes))
	return bytes != 0
}

// depart implements holder. What waited under an SSRC that the stream does not have any more must not be sealed with the state of the new one.
func (s *outletStream) depart(h *held, out *udp.Batch, now int64) {
	n := len(h.packet)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.wanted() || binary.BigEndian.Uint32(h.packet[8:]) != h.stream.SSRC {
		return
	}
	buf := s.outlet.link.Transport().Reserve(out, n)
	if buf == nil {
		return
	}
	copy(buf, h.packet)
	s.outlet.leaves(buf, h.number, n, h.kind, now)
	s.leave(out, h.stream, buf, h.head, n)
}

// empty implements holder: nothing is left of a layer that has been given up, and nobody asks for it again.
func (s *outletStream) empty(h *held) bool {
	if !s.wanted() {
		h.packet, h.late = h.packet[:0], true
	}
	return h.late
}

// wanted reports whether the layer is to be sent.
func (s *outletStream) wanted() bool { return uint8(s.outlet.sends.Load())&(1<<s.layer.rank) != 0 }
