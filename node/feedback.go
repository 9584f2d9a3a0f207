package node

import (
	"time"

	"github.com/pion/rtcp"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

const (
	// reportSSRC is the sender of reports on connections where the node sends nothing else.
	reportSSRC = 1
	// cname names the node's end in all of its streams (RFC 3550 section 6.5.1).
	cname = "parley"
)

// RTCP implements rtc.Handler.
func (p *Peer) RTCP(b []byte, out *udp.Batch) {
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		return
	}
	now := p.node.endpoint.Now()
	for _, pkt := range packets {
		switch pkt := pkt.(type) {
		case *rtcp.SenderReport:
			p.in.senderReport(pkt, now)
		case *rtcp.TransportLayerNack:
			p.retransmit(pkt, now, out)
		case *rtcp.PictureLossIndication:
			p.keyframeFor(pkt.MediaSSRC, now)
		case *rtcp.FullIntraRequest:
			for _, f := range pkt.FIR {
				p.keyframeFor(f.SSRC, now)
			}
		}
	}
}

// senderReport keeps what a sender report says of a layer's clock.
func (in *ingress) senderReport(sr *rtcp.SenderReport, now int64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	s, ok := in.streams[sr.SSRC]
	if !ok || s.repair {
		return
	}
	l := s.layer
	l.lastSR, l.lastSRAt = uint32(sr.NTPTime>>16), now
	l.clock.Store(&packet.Clock{NTP: sr.NTPTime, RTP: sr.RTPTime, Rate: l.track.clockRate(), Arrival: now})
}

func (p *Peer) retransmit(n *rtcp.TransportLayerNack, now int64, out *udp.Batch) {
	s := p.slotBySSRC(n.MediaSSRC)
	if s == nil {
		return
	}
	asked, sent := 0, 0
	for _, pair := range n.Nacks {
		pair.Range(func(seq uint16) bool {
			asked++
			if s.resend(seq, now, out) {
				sent++
			}
			return true
		})
	}
	p.node.count.nacked.Add(asked)
	p.node.count.resent.Add(sent)
}

func (p *Peer) keyframeFor(ssrc uint32, now int64) {
	s := p.slotBySSRC(ssrc)
	if s == nil {
		return
	}
	p.node.count.keyframesAsked.Inc()
	v := s.state()
	if l := v.current; l != nil {
		l.requestKeyframe(now)
	} else if v.target != nil {
		v.target.requestKeyframe(now)
	}
}

// sendPLI asks the publisher for a keyframe of one layer.
func (in *ingress) sendPLI(l *layer) {
	ssrc := l.ssrc.Load()
	if ssrc == 0 {
		return
	}
	in.node.count.keyframesSent.Inc()
	in.sendRTCP(&rtcp.PictureLossIndication{SenderSSRC: reportSSRC, MediaSSRC: ssrc})
}

func (in *ingress) sendRTCP(packets ...rtcp.Packet) {
	if len(packets) == 0 || !in.transport.Ready() {
		return
	}
	b, err := rtcp.Marshal(packets)
	if err == nil {
		err = in.transport.SendRTCP(b)
	}
	if err != nil {
		in.log.Debug("send RTCP", "error", err)
	}
}

// requestLost asks the publisher again for packets that are missing.
func (in *ingress) requestLost(now int64) {
	var nacks []rtcp.Packet
	in.mu.Lock()
	for ssrc, s := range in.streams {
		if s.repair || s.layer.track.Kind == Audio {
			continue
		}
		in.missing = s.layer.loss.Due(now, in.roundTrip(), in.missing[:0])
		if len(in.missing) > 0 {
			nacks = append(nacks, &rtcp.TransportLayerNack{
				SenderSSRC: reportSSRC, MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(in.missing),
			})
		}
	}
	in.mu.Unlock()
	in.sendRTCP(nacks...)
}

// sendArrivals sends transport-wide feedback, which a publisher's bandwidth estimate lives on.
func (in *ingress) sendArrivals() {
	in.mu.Lock()
	var packets []rtcp.Packet
	if in.arrivals != nil {
		packets = in.arrivals.BuildFeedbackPacket()
	}
	in.mu.Unlock()
	for _, pkt := range packets {
		in.sendRTCP(pkt) // one a datagram: each may be as large as that
	}
}

// sendReceptionReports tells the publisher how its streams arrive (RFC 3550 section 6.4.2).
func (in *ingress) sendReceptionReports(now int64) {
	var blocks []rtcp.ReceptionReport
	in.mu.Lock()
	for ssrc, s := range in.streams {
		if !s.repair {
			blocks = append(blocks, s.layer.receptionReport(ssrc, now))
		}
	}
	in.mu.Unlock()
	const perPacket = 31
	for len(blocks) > 0 {
		n := min(len(blocks), perPacket)
		in.sendRTCP(&rtcp.ReceiverReport{SSRC: reportSSRC, Reports: blocks[:n]}, description(reportSSRC))
		blocks = blocks[n:]
	}
}

func (l *layer) receptionReport(ssrc uint32, now int64) rtcp.ReceptionReport {
	r := rtcp.ReceptionReport{SSRC: ssrc}
	var total int32
	r.FractionLost, total, r.LastSequenceNumber, r.Jitter = l.reception.Report()
	r.TotalLost = uint32(max(total, 0)) & 0xffffff
	if l.lastSRAt != 0 {
		r.LastSenderReport = l.lastSR
		r.Delay = uint32(time.Duration(now-l.lastSRAt).Seconds() * 65536)
	}
	return r
}

func description(ssrc uint32) rtcp.Packet {
	return &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: cname}},
	}}}
}

// sendSenderReports gives every active slot the publisher's own pair of clocks in the slot's timestamps: the wall clock
// stays the publisher's, so that picture and sound stay together through every hop.
func (p *Peer) sendSenderReports(now int64) {
	for _, s := range p.slotList() {
		if sr := s.senderReport(now); sr != nil {
			p.in.sendRTCP(sr, description(sr.SSRC))
		}
	}
}

func (s *slot) senderReport(now int64) *rtcp.SenderReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return nil
	}
	clock := s.current.clock.Load()
	if clock == nil {
		return nil
	}
	// The instant reported is now, on the publisher's clock as it ran since its report came.
	elapsed := now - clock.Arrival
	return &rtcp.SenderReport{
		SSRC:        s.media.SSRC,
		NTPTime:     clock.NTP + uint64(float64(elapsed)/1e9*(1<<32)),
		RTPTime:     clock.RTP + uint32(float64(elapsed)/1e9*float64(clock.Rate)) + s.rewriter.TimestampOffset(),
		PacketCount: s.packets,
		OctetCount:  s.octets,
	}
}
