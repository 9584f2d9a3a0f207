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

// sending is what the node sends under one SSRC: a slot, or one layer over a link.
type sending interface {
	// resend answers one requested sequence number, and reports whether it did.
	resend(seq uint16, now int64, out *udp.Batch) bool
	// refresh asks for the keyframe that the receiver needs.
	refresh(now int64)
}

// RTCP implements rtc.Handler.
func (p *Peer) RTCP(b []byte, out *udp.Batch) {
	find := func(ssrc uint32) sending {
		if s := p.slotBySSRC(ssrc); s != nil {
			return s
		}
		return nil
	}
	now, far := p.node.endpoint.Now(), p.far()
	if p.way.feedback(b, far, find, now) {
		p.in.feedback(b, out, find)
	}
	if far {
		p.sendUnasked(now, out)
	}
	if p.way.fallen() {
		p.fall(now)
	}
}

// tellAfter is how long after a way has become narrow what is shown is divided anew. Pictures stop at once. The queue on the way may be full at that
// moment, and what is told to the viewer in it would be lost, and come a timeout of TCP later.
const tellAfter = 20 * time.Millisecond

// fall has a viewer's slots divide what is left to them.
func (p *Peer) fall(now int64) {
	if p.pacer.adjust(p.way.pacing(now)) {
		p.room.wake(p)
		return
	}
	time.AfterFunc(tellAfter, func() { p.room.wake(p) })
}

// feedback works off a compound RTCP packet: reports on what is received, and wishes about what is sent.
func (in *ingress) feedback(b []byte, out *udp.Batch, find func(ssrc uint32) sending) {
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		return
	}
	now := in.node.endpoint.Now()
	for _, pkt := range packets {
		switch pkt := pkt.(type) {
		case *rtcp.SenderReport:
			in.senderReport(pkt, now)
		case *rtcp.TransportLayerNack:
			if s := find(pkt.MediaSSRC); s != nil {
				in.node.retransmit(s, pkt, now, out)
			}
		case *rtcp.PictureLossIndication:
			in.node.refresh(find(pkt.MediaSSRC), now)
		case *rtcp.FullIntraRequest:
			for _, f := range pkt.FIR {
				in.node.refresh(find(f.SSRC), now)
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
	l.mu.Lock()
	l.lastSR, l.lastSRAt = uint32(sr.NTPTime>>16), now
	l.mu.Unlock()
	l.clock.Store(&packet.Clock{NTP: sr.NTPTime, RTP: sr.RTPTime, Rate: l.track.clockRate(), Arrival: now})
}

func (n *Node) retransmit(s sending, nack *rtcp.TransportLayerNack, now int64, out *udp.Batch) {
	asked, sent := 0, 0
	for _, pair := range nack.Nacks {
		pair.Range(func(seq uint16) bool {
			asked++
			if s.resend(seq, now, out) {
				sent++
			}
			return true
		})
	}
	n.count.nacked.Add(asked)
	n.count.resent.Add(sent)
}

func (n *Node) refresh(s sending, now int64) {
	if s == nil {
		return
	}
	n.count.keyframesAsked.Inc()
	s.refresh(now)
}

// refresh implements sending.
func (s *slot) refresh(now int64) {
	v := s.state()
	if l := v.current; l != nil {
		l.requestKeyframe(now)
	} else if v.target != nil {
		v.target.requestKeyframe(now)
	}
}

// sendPLI asks the other end for a keyframe of what it sends under an SSRC; 0 is none.
func (in *ingress) sendPLI(ssrc uint32) {
	if ssrc == 0 {
		return
	}
	in.node.count.keyframesSent.Inc()
	in.sendRTCP(&rtcp.PictureLossIndication{SenderSSRC: reportSSRC, MediaSSRC: ssrc})
}

func (in *ingress) sendRTCP(packets ...rtcp.Packet) {
	t := in.transport.Load()
	if len(packets) == 0 || t == nil || !t.Ready() {
		return
	}
	b, err := rtcp.Marshal(packets)
	if err == nil {
		err = t.SendRTCP(b)
	}
	if err != nil {
		in.log.Debug("send RTCP", "error", err)
	}
}

// requestLost asks the publisher again for packets that are missing, and reports whether any still are.
func (in *ingress) requestLost(now int64) (misses bool) {
	var nacks []rtcp.Packet
	in.mu.Lock()
	for ssrc, s := range in.streams {
		if s.repair || s.layer.track.Kind == Audio && !in.link || s.pull != nil && !s.pull.asked() {
			continue
		}
		s.layer.mu.Lock()
		in.missing = s.layer.loss.Due(now, in.roundTrip(), in.missing[:0])
		misses = misses || s.layer.loss.Missing() > 0
		s.layer.mu.Unlock()
		if len(in.missing) > 0 {
			in.requested.Add(uint64(len(in.missing)))
			nacks = append(nacks, &rtcp.TransportLayerNack{
				SenderSSRC: reportSSRC, MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(in.missing),
			})
		}
	}
	in.mu.Unlock()
	in.sendRTCP(nacks...)
	return misses
}

// Over a link, feedback goes when so many numbers have come, or some and so much time has passed: rarely over a small link on which all is well, since it costs
// a part of that, and soon where the link has become too narrow.
const (
	linkReports      = 8
	linkReportAtEase = 800 * time.Millisecond
	linkReportOften  = 100 * time.Millisecond // where the other end has numbered most packets, since it limits the link
	linkReportAtOnce = 30 * time.Millisecond  // where some came later than usual, by more than linkLag: a queue grows on the way
	linkLag          = 20 * time.Millisecond
)

// reportDue reports whether feedback is to go. mu is held.
func (in *ingress) reportDue(now int64) bool {
	every := linkReportAtEase
	switch {
	case !in.link || in.unreported >= linkReports:
		return true
	case in.unreported == 0:
		return false
	case in.lagging:
		every = linkReportAtOnce
	case in.unnumbered < in.unreported:
		every = linkReportOften
	}
	return now-in.reported >= int64(every)
}

// sendArrivals sends transport-wide feedback, which a publisher's bandwidth estimate lives on.
func (in *ingress) sendArrivals(now int64) {
	in.mu.Lock()
	var packets []rtcp.Packet
	if in.arrivals != nil && in.reportDue(now) {
		in.reported, in.unreported, in.unnumbered, in.lagging = now, 0, 0, false
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
	l.mu.Lock()
	defer l.mu.Unlock()
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

// description names the sender of streams (RFC 3550 section 6.5).
func description(ssrcs ...uint32) rtcp.Packet {
	d := &rtcp.SourceDescription{}
	for _, ssrc := range ssrcs {
		d.Chunks = append(d.Chunks, rtcp.SourceDescriptionChunk{
			Source: ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: cname}},
		})
	}
	return d
}

// reportsTogether is how many streams' sender reports and names fit into one datagram.
const reportsTogether = 20

// sendSenderReports gives every active slot the publisher's own pair of clocks in the slot's timestamps: the wall clock
// stays the publisher's, so that picture and sound stay together through every hop. The reports of several slots go together (RFC 8108
// section 5.3): sending costs more than what is sent.
func (p *Peer) sendSenderReports(now int64) {
	var reports []rtcp.Packet
	var ssrcs []uint32
	send := func() {
		if len(reports) > 0 {
			p.in.sendRTCP(append(reports, description(ssrcs...))...)
		}
		reports, ssrcs = reports[:0], ssrcs[:0]
	}
	for _, s := range p.slotList() {
		if sr := s.senderReport(now); sr != nil {
			reports, ssrcs = append(reports, sr), append(ssrcs, sr.SSRC)
		}
		if len(reports) == reportsTogether {
			send()
		}
	}
	send()
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
	if s.seconds++; s.seconds > firstReports && s.seconds%reportRarer != 0 {
		return nil
	}
	return report(*clock, now, s.rewriter.TimestampOffset(), s.media.SSRC, s.packets, s.octets)
}

// report is a sender report for this moment on the publisher's own clock, as it has run since the publisher's report came,
// or had run a moment before: a report may come while this moment's are written.
func report(clock packet.Clock, now int64, offset, ssrc, packets, octets uint32) *rtcp.SenderReport {
	elapsed := float64(now-clock.Arrival) / 1e9
	return &rtcp.SenderReport{
		SSRC:        ssrc,
		NTPTime:     clock.NTP + uint64(int64(elapsed*(1<<32))),
		RTPTime:     clock.RTP + uint32(int64(elapsed*float64(clock.Rate))) + offset,
		PacketCount: packets,
		OctetCount:  octets,
	}
}
