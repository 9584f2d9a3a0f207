package lean

import (
	"encoding/binary"
	"time"

	"github.com/pion/rtp"

	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// slot is one receiving m-line.
type slot struct {
	mid    string
	video  bool
	media  stream
	repair stream // of retransmissions (RFC 4588); SSRC 0: there are none

	carries     wire.Slot
	packets     uint64
	bytes       uint64 // of payload
	nacks, plis uint64
	width       int
	height      int
	last        int64 // when the newest packet came, in nanoseconds since 1970
	loss        client.LossLog
	picture     picture
	reception   reception
}

// found is what a packet turned out to be.
type found struct {
	fresh    bool
	forged   bool
	repaired bool
	seq      uint16
	payload  []byte // of a verified viewer's, whole; else what was looked at
	shown    int    // frames that it made whole
}

// rtp counts a packet of the slot's media stream, which a verified viewer decrypts in place.
func (s *slot) rtp(h *header, b []byte, k *keys, verify bool, now time.Time) found {
	roc := s.media.index(h.seq)
	f := found{seq: h.seq}
	if verify {
		if f.payload, f.forged = k.read(h, roc, b); f.forged {
			return f
		}
	}
	s.reception.arrived(h, s.rate(), now)
	if f.fresh = s.loss.Arrived(h.seq, now); !f.fresh {
		return f
	}
	s.count(h.payload, now)
	if !s.video {
		return f
	}
	if !verify && s.picture.blind(h.seq) {
		f.payload = k.peek(h, roc, b)
	}
	empty := h.padded // nobody pads media but to probe
	if verify {
		empty = len(f.payload) == 0
	}
	f.shown = s.see(h, f.seq, f.payload, empty, now)
	return f
}

// rtx counts a retransmission, whose payload begins with the number of the packet that it repairs.
func (s *slot) rtx(h *header, b []byte, k *keys, verify bool, now time.Time) found {
	const number = 2
	roc := s.repair.index(h.seq)
	f := found{repaired: true}
	switch {
	case verify:
		f.payload, f.forged = k.read(h, roc, b)
	case !h.padded:
		f.payload = k.peek(h, roc, b)
	}
	if len(f.payload) < number {
		return f // padding that probes
	}
	f.seq, f.payload = binary.BigEndian.Uint16(f.payload), f.payload[number:]
	if f.fresh = s.loss.Arrived(f.seq, now); !f.fresh {
		return f
	}
	s.count(h.payload-number, now)
	f.shown = s.see(h, f.seq, f.payload, len(f.payload) == 0, now)
	return f
}

func (s *slot) count(bytes int, now time.Time) {
	s.packets++
	s.bytes += uint64(bytes)
	s.last = now.UnixNano()
}

// see follows the picture. The payload is nil where the packet comes in its turn and need not be looked into.
func (s *slot) see(h *header, seq uint16, payload []byte, empty bool, now time.Time) (shown int) {
	n := note{time: h.time, seq: seq}
	if h.marker {
		n.flags |= marked
	}
	if empty {
		n.flags |= padding
	}
	if len(payload) > 0 && !empty {
		if starts, width, height := client.StartsKeyframe(mimeOf(h.payloadType), payload); starts {
			n.flags |= keyframe
			if width > 0 {
				s.width, s.height = width, height
			}
		}
	}
	return s.picture.arrived(n, now)
}

func (s *slot) rate() int64 {
	if s.video {
		return 90_000
	}
	return 48_000
}

// assign notes what the slot carries from now on.
func (s *slot) assign(carries wire.Slot) {
	if s.carries.TrackID != carries.TrackID || s.carries.State != carries.State {
		s.picture.interrupt(carries.State != "active")
	}
	s.carries = carries
}

func (s *slot) stats(now time.Time) client.SlotStats {
	stats := client.SlotStats{
		Slot: s.carries, Packets: s.packets, Bytes: s.bytes, NACKs: s.nacks, PLIs: s.plis, Width: s.width, Height: s.height,
		Missed: s.loss.Missed, Repaired: s.loss.Repaired, Lost: s.loss.Lost,
		Frames: s.picture.frames, Keyframes: s.picture.keyframes,
	}
	stats.Freezes, stats.FreezeTime, stats.LongestFreeze = s.picture.freezes.Until(now)
	if s.last != 0 {
		stats.LastArrival = time.Unix(0, s.last)
	}
	return stats
}

// packet is what a verified viewer hands on: a retransmission as the packet that it repairs.
func (s *slot) packet(h *header, f *found, at time.Time) client.Packet {
	p := client.Packet{
		Slot: s.carries, MimeType: mimeOf(h.payloadType), Arrived: at, Repaired: f.repaired, Connection: 1,
		RTP: &rtp.Packet{
			Header: rtp.Header{
				Version: 2, Marker: h.marker, PayloadType: h.payloadType &^ repairs, SequenceNumber: f.seq, Timestamp: h.time, SSRC: s.media.ssrc,
			},
			Payload: f.payload,
		},
	}
	p.SentAt, _ = client.ParseStamp(f.payload)
	if s.video {
		p.Keyframe, _, _ = client.StartsKeyframe(p.MimeType, f.payload)
	}
	return p
}
