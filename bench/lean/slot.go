package lean

import (
	"encoding/binary"
	"time"

	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// slot is one receiving m-line.
type slot struct {
	mid    string
	mime   string
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
	check       *checker // nil unless the viewer is verified
}

// found is what a packet turned out to be.
type found struct {
	fresh    bool
	repaired bool
	shown    int // frames that it made whole
}

// rtp counts a packet of the slot's media stream. Without keys nothing is looked into.
func (s *slot) rtp(h *header, b []byte, k *keys, now time.Time) found {
	roc := s.media.index(h.seq)
	s.reception.arrived(h, s.rate(), now)
	var payload []byte
	if s.check != nil {
		if payload = s.check.open(k, h, roc, b); payload == nil {
			return found{}
		}
	}
	if !s.loss.Arrived(h.seq, now) {
		return found{}
	}
	n := note{time: h.time, seq: h.seq}
	if h.marker {
		n.flags |= marked
	}
	if h.padded && s.check == nil || s.check != nil && len(payload) == 0 {
		n.flags |= padding
	}
	s.count(h.payload, now)
	if !s.video {
		if s.check != nil {
			s.check.sound(n, payload)
		}
		return found{fresh: true}
	}
	if s.check == nil && s.picture.blind(h.seq) {
		payload = k.peek(h, roc, b)
	}
	return found{fresh: true, shown: s.see(n, payload, now)}
}

// rtx counts a retransmission, whose payload begins with the number of the packet that it repairs.
func (s *slot) rtx(h *header, b []byte, k *keys, now time.Time) found {
	const number = 2
	roc := s.repair.index(h.seq)
	var payload []byte
	if s.check != nil {
		payload = s.check.open(k, h, roc, b)
	} else if !h.padded {
		payload = k.peek(h, roc, b)
	}
	if len(payload) < number {
		return found{}
	}
	seq := binary.BigEndian.Uint16(payload)
	if !s.loss.Arrived(seq, now) {
		return found{}
	}
	n := note{time: h.time, seq: seq}
	if h.marker {
		n.flags |= marked
	}
	s.count(h.payload-number, now)
	return found{fresh: true, repaired: true, shown: s.see(n, payload[number:], now)}
}

func (s *slot) count(bytes int, now time.Time) {
	s.packets++
	s.bytes += uint64(bytes)
	s.last = now.UnixNano()
}

// see follows the picture. Payload may be cut, or nil where its packet comes in its turn.
func (s *slot) see(n note, payload []byte, now time.Time) (shown int) {
	if payload != nil && n.flags&padding == 0 {
		if starts, width, height := client.StartsKeyframe(s.mime, payload); starts {
			n.flags |= keyframe
			if width > 0 {
				s.width, s.height = width, height
			}
		}
	}
	if s.check != nil {
		s.check.keep(n, payload)
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
		s.picture.interrupt()
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
