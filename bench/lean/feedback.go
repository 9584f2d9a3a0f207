package lean

import (
	"time"

	"github.com/pion/rtcp"
)

// reception is what a receiver report says of one stream (RFC 3550, section 6.4.1).
type reception struct {
	started  bool
	base     uint32 // the first sequence number
	highest  uint32 // extended by how often it has wrapped
	received uint32
	jitter   int64 // in units of the RTP clock, times 16
	transit  int64
	before   struct{ expected, received uint32 } // at the last report
}

func (r *reception) arrived(h *header, rate int64, now time.Time) {
	const days = 1<<40 - 1 // of microseconds: what does not overflow
	transit := now.UnixMicro()&days*rate/1_000_000 - int64(h.time)
	if !r.started {
		r.started, r.base, r.highest, r.transit = true, uint32(h.seq), uint32(h.seq), transit
	}
	if ahead := int16(h.seq - uint16(r.highest)); ahead > 0 {
		r.highest += uint32(ahead)
	}
	r.received++
	d := int64(int32(transit - r.transit))
	r.transit = transit
	r.jitter += max(d, -d) - (r.jitter+8)>>4
}

func (r *reception) report(ssrc uint32) rtcp.ReceptionReport {
	expected := r.highest - r.base + 1
	lost := max(0, int64(expected)-int64(r.received))
	out := rtcp.ReceptionReport{
		SSRC: ssrc, LastSequenceNumber: r.highest, Jitter: uint32(r.jitter >> 4), TotalLost: uint32(min(lost, 1<<23-1)),
	}
	if due := expected - r.before.expected; due > 0 {
		missing := int64(due) - int64(r.received-r.before.received)
		out.FractionLost = uint8(min(255, max(0, missing)<<8/int64(due)))
	}
	r.before.expected, r.before.received = expected, r.received
	return out
}

const (
	reportEvery = time.Second
	maxReports  = 31 // in one receiver report
)

// reportsLocked are the reports on every stream that has come.
func (v *Viewer) reportsLocked() []rtcp.Packet {
	var all []rtcp.Packet
	var report *rtcp.ReceiverReport
	for i := range v.slots {
		s := &v.slots[i]
		if !s.reception.started {
			continue
		}
		if report == nil || len(report.Reports) == maxReports {
			report = &rtcp.ReceiverReport{SSRC: v.ssrc}
			all = append(all, report)
		}
		report.Reports = append(report.Reports, s.reception.report(s.media.ssrc))
	}
	return all
}

// wishesLocked asks for packets (RFC 4585, generic NACK) and pictures (PLI) that are due, and says whether it has to be
// called again soon.
func (v *Viewer) wishesLocked(now time.Time) (all []rtcp.Packet, again bool) {
	for i := range v.slots {
		s := &v.slots[i]
		ask := s.loss.Due(now)
		if !s.video {
			continue // what is lost is counted; sound is not asked for again
		}
		if len(ask) > 0 {
			s.nacks += uint64(len(ask))
			all = append(all, &rtcp.TransportLayerNack{
				SenderSSRC: v.ssrc, MediaSSRC: s.media.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(ask),
			})
		}
		if s.packets > 0 && s.picture.needsKeyframe(now) {
			s.plis++
			all = append(all, &rtcp.PictureLossIndication{SenderSSRC: v.ssrc, MediaSSRC: s.media.ssrc})
		}
		again = again || s.loss.Missing() > 0
	}
	return all, again
}

// sendRTCPLocked seals packets into one datagram and sends it.
func (v *Viewer) sendRTCPLocked(packets []rtcp.Packet) {
	if len(packets) == 0 || v.keys == nil {
		return
	}
	b, err := rtcp.Marshal(packets)
	if err != nil {
		return // none of them can be malformed
	}
	v.sendLocked(v.keys.sealRTCP(make([]byte, 0, len(b)+gcmTag+4), b))
}
