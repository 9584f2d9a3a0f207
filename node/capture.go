package node

import (
	"time"

	"github.com/parley-sfu/parley/internal/packet"
)

// A viewer's sound and pictures come in slots that show one participant after the other, so browsers cannot be told once and for all
// which belong together, and keep none of them in step. Who offers the absolute capture time (http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time)
// is told in packets when they were captured, by the publisher's own clock, and can do it by itself.

// dateEvery is how often a slot's packets carry the time, in nanoseconds. Receivers reckon on for five seconds.
const dateEvery = int64(time.Second)

// captured returns the time at which a packet was captured, as 32.32 bits of NTP time, where it is to go along: now and then, and with the
// first packet of what a slot begins with. It is 0 where it is not, or not known. mu is held.
func (s *slot) captured(l *layer, p *packet.Packet) uint64 {
	if s.capture == 0 || s.dated != 0 && p.Arrival-s.dated < dateEvery {
		return 0
	}
	clock := l.clock.Load()
	if clock == nil {
		return 0
	}
	s.dated = p.Arrival
	return clock.NTPAt(p.Timestamp)
}
