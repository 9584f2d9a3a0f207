package packet

import (
	"encoding/binary"
	"time"
)

// Types and formats of the RTCP packets that are read here (RFC 3550, RFC 4585).
const (
	rtcpSenderReport     = 200
	rtcpReceiverReport   = 201
	rtcpTransportLayer   = 205
	rtcpPayloadSpecific  = 206
	formatTransportWide  = 15
	formatApplication    = 15
	rtcpHeader           = 4
	rtcpSenderAndSource  = 12 // header, SSRC of the sender, SSRC of the media
	reportBlock          = 24
	senderReportPreamble = 28 // header, SSRC, NTP, RTP, counts
	receiverPreamble     = 8
)

// RTCP is one packet of a compound RTCP packet. Raw is the whole of it, padding taken off, and aliases what was read.
type RTCP struct {
	Type  uint8
	Count uint8 // reports, or the format of a feedback message
	Raw   []byte
}

// NextRTCP takes the first packet off a compound one (RFC 3550 section 6.1). It reports false at the end and at whatever
// does not parse, after which nothing can be found.
func NextRTCP(b []byte) (p RTCP, rest []byte, ok bool) {
	if len(b) < rtcpHeader || b[0]>>6 != 2 {
		return RTCP{}, nil, false
	}
	size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
	if size > len(b) {
		return RTCP{}, nil, false
	}
	p, rest = RTCP{Type: b[1], Count: b[0] & 0x1F, Raw: b[:size]}, b[size:]
	if b[0]&0x20 == 0 {
		return p, rest, true
	}
	padding := int(b[size-1])
	if padding == 0 || padding > size-rtcpHeader {
		return RTCP{}, nil, false
	}
	p.Raw = b[:size-padding]
	return p, rest, true
}

// REMB reads a receiver's estimate of the bit/s that it can take, of all streams together
// (draft-alvestrand-rmcat-remb-03). Estimates beyond an int64 are the largest int64.
func (p RTCP) REMB() (bitrate int64, ok bool) {
	const fixed = rtcpSenderAndSource + 8
	if p.Type != rtcpPayloadSpecific || p.Count != formatApplication || len(p.Raw) < fixed ||
		string(p.Raw[rtcpSenderAndSource:rtcpSenderAndSource+4]) != "REMB" {
		return 0, false
	}
	word := binary.BigEndian.Uint32(p.Raw[rtcpSenderAndSource+4:])
	exponent, mantissa := word>>18&0x3F, int64(word&0x3FFFF)
	if exponent > 45 { // 18 bits more are 63
		return 1<<63 - 1, mantissa > 0
	}
	return mantissa << exponent, true
}

// ReportBlock is what a receiver says of one stream (RFC 3550 section 6.4.1).
type ReportBlock struct {
	SSRC         uint32
	FractionLost uint8  // since its last report, in 1/256
	TotalLost    int32  // duplicates count as received, so it may be negative
	Highest      uint32 // extended sequence number
	Jitter       uint32 // in ticks of the stream
	LastReport   uint32 // middle of the NTP time of the newest sender report it has, 0 without one
	Delay        uint32 // since that came, in 1/65536 s
}

// Report returns report block i of a sender or receiver report, and false when there is none.
func (p RTCP) Report(i int) (ReportBlock, bool) {
	at := i * reportBlock
	switch p.Type {
	case rtcpSenderReport:
		at += senderReportPreamble
	case rtcpReceiverReport:
		at += receiverPreamble
	default:
		return ReportBlock{}, false
	}
	if i < 0 || i >= int(p.Count) || at+reportBlock > len(p.Raw) {
		return ReportBlock{}, false
	}
	b := p.Raw[at:]
	word := func(n int) uint32 { return binary.BigEndian.Uint32(b[4*n:]) }
	return ReportBlock{
		SSRC: word(0), FractionLost: b[4], TotalLost: int32(word(1)<<8) >> 8,
		Highest: word(2), Jitter: word(3), LastReport: word(4), Delay: word(5),
	}, true
}

// RoundTrip is the time to the receiver and back, without the time that it waited: sent is when the sender report named by
// LastReport left, now is when the block came, in monotonic nanoseconds. It reports false without a sender report, and for a delay that cannot be.
func (r ReportBlock) RoundTrip(sent, now int64) (time.Duration, bool) {
	rtt := now - sent - int64(r.Delay)*nanos>>16
	return time.Duration(rtt), r.LastReport != 0 && rtt >= 0
}
