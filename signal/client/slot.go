package client

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/signal/wire"
)

const (
	maxDatagram = 1500 // the largest packet that is read
	repairPoll  = 10 * time.Millisecond
)

// Packet is one RTP packet received in a slot. It is valid until Options.OnPacket returns.
type Packet struct {
	Slot     wire.Slot   // what the slot carried when the packet came
	MimeType string      // its codec
	RTP      *rtp.Packet // as the server sent it: one continuous stream a slot, whatever track it carries
	Arrived  time.Time
	Repaired bool      // came in a stream of retransmissions; voices have none
	Keyframe bool      // starts a video keyframe
	SentAt   time.Time // when it was due, from the sender's stamp; zero without one
	Captured time.Time // when it was captured by the publisher's clock, from sender reports; zero before the first

	// Connection counts the media connections of the client, from 1. While it moves to another node packets of two come side
	// by side, and each connection has slots and streams of its own.
	Connection int
}

// SlotStats count what one slot has received since the media connection began.
type SlotStats struct {
	Slot      wire.Slot // what it carries now
	Packets   uint64    // received, retransmitted ones included, duplicates not
	Bytes     uint64    // of payload
	Missed    uint64    // packets that did not come in their turn: the loss before repair
	Repaired  uint64    // of those, came later
	Lost      uint64    // of those, given up: the loss after repair
	NACKs     uint64    // packets asked for again
	PLIs      uint64    // keyframes asked for
	Frames    uint64    // video frames that a decoder could have shown
	Keyframes uint64    // of those, keyframes
	Width     int       // of the newest VP8 keyframe
	Height    int

	Freezes       uint64        // by the W3C's definition, behind a jitter buffer of at most 400 ms
	FreezeTime    time.Duration // all of them together
	LongestFreeze time.Duration
	LastArrival   time.Time
}

// slot is one receiving m-line.
type slot struct {
	mid      string
	kind     webrtc.RTPCodecType
	onPacket func(Packet)
	write    func([]rtcp.Packet) error
	watch    *stopwatch
	ssrc     atomic.Uint32
	carries  atomic.Pointer[wire.Slot]

	mu     sync.Mutex // protects following
	stats  SlotStats
	loss   LossLog
	frames frameTracker
	clock  rtpClock
}

func newSlot(mid string, kind webrtc.RTPCodecType, onPacket func(Packet), watch *stopwatch) *slot {
	s := &slot{mid: mid, kind: kind, onPacket: onPacket, watch: watch}
	s.carries.Store(&wire.Slot{MID: mid, Kind: kind.String(), State: "empty"})
	return s
}

// assign notes what the slot carries from now on.
func (s *slot) assign(carries wire.Slot) {
	old := s.carries.Swap(&carries)
	if old.TrackID == carries.TrackID && old.State == carries.State {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames.interrupt(carries.State != "active")
}

// receive hands on the track's packets until the track ends.
//
// Pion hands a retransmission out with the next packet of the stream itself, which for a slow video is late. While
// something is missing, reading is therefore cut short every repairPoll; that also asks again when nothing comes at all.
func (s *slot) receive(track *webrtc.TrackRemote) {
	s.ssrc.Store(uint32(track.SSRC()))
	buf := make([]byte, maxDatagram)
	var packet rtp.Packet
	for polling := false; ; {
		n, attributes, err := track.Read(buf)
		now := time.Now()
		switch {
		case isTimeout(err):
			s.chase(now)
		case err != nil && n == 0:
			return
		case err != nil || packet.Unmarshal(buf[:n]) != nil:
			continue // a payload type that nobody negotiated, or no RTP: nothing to count it under
		default:
			repaired := attributes.Get(webrtc.AttributeRtxSsrc) != nil
			s.handle(&packet, track.Codec(), repaired, now)
		}
		if missing := s.incomplete(); missing || polling {
			polling = missing
			if track.SetReadDeadline(pollDeadline(missing, now)) != nil {
				return
			}
		}
	}
}

func pollDeadline(polling bool, now time.Time) time.Time {
	if !polling {
		return time.Time{}
	}
	return now.Add(repairPoll)
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// incomplete says whether something may come again.
func (s *slot) incomplete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loss.Missing() > 0
}

// chase asks again for what is missing while no packet comes.
func (s *slot) chase(now time.Time) {
	s.mu.Lock()
	feedback := s.feedbackLocked(now)
	s.mu.Unlock()
	if len(feedback) > 0 {
		_ = s.write(feedback) // a closed connection ends the read loop by itself
	}
}

// handle counts a packet, asks for what is missing and hands the packet on.
func (s *slot) handle(packet *rtp.Packet, codec webrtc.RTPCodecParameters, repaired bool, now time.Time) {
	out := Packet{
		Slot: *s.carries.Load(), MimeType: codec.MimeType, RTP: packet, Arrived: now, Repaired: repaired,
	}
	fresh, feedback, shown := s.note(&out, codec.ClockRate, now)
	if len(feedback) > 0 {
		_ = s.write(feedback) // a closed connection ends the read loop by itself
	}
	if !fresh {
		return
	}
	if s.kind == webrtc.RTPCodecTypeAudio {
		s.watch.firstAudio()
	} else if shown > 0 {
		s.watch.firstVideo()
	}
	if s.onPacket != nil && len(packet.Payload) > 0 {
		s.onPacket(out)
	}
}

// note updates the counters and completes out.
func (s *slot) note(out *Packet, rate uint32, now time.Time) (fresh bool, feedback []rtcp.Packet, shown int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	packet := out.RTP
	if !s.loss.Arrived(packet.SequenceNumber, now) {
		return false, nil, 0
	}
	s.stats.Packets++
	s.stats.Bytes += uint64(len(packet.Payload))
	s.stats.LastArrival = now
	out.SentAt, _ = ParseStamp(packet.Payload)
	out.Captured = s.clock.captured(packet.Timestamp, rate)
	if s.kind == webrtc.RTPCodecTypeAudio {
		return true, s.feedbackLocked(now), 0
	}
	info := inspect(out.MimeType, packet.Payload)
	if out.Keyframe = info.keyframe; info.width > 0 {
		s.stats.Width, s.stats.Height = info.width, info.height
	}
	shown = s.frames.arrived(packetNote{
		seq: packet.SequenceNumber, timestamp: packet.Timestamp, marker: packet.Marker,
		empty: len(packet.Payload) == 0, keyframe: info.keyframe,
	}, now)
	return true, s.feedbackLocked(now), shown
}

// feedbackLocked asks for packets (NACK) and pictures (PLI) that are due.
func (s *slot) feedbackLocked(now time.Time) []rtcp.Packet {
	var feedback []rtcp.Packet
	ssrc := s.ssrc.Load()
	if ask := s.loss.Due(now); len(ask) > 0 {
		s.stats.NACKs += uint64(len(ask))
		feedback = append(feedback, &rtcp.TransportLayerNack{
			SenderSSRC: ssrc, MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(ask),
		})
	}
	if s.kind == webrtc.RTPCodecTypeVideo && s.frames.needsKeyframe(now) {
		s.stats.PLIs++
		feedback = append(feedback, &rtcp.PictureLossIndication{SenderSSRC: ssrc, MediaSSRC: ssrc})
	}
	return feedback
}

// readReports takes the sender reports of the slot's stream until the receiver ends. Pion's interceptors work only while
// somebody reads.
func (s *slot) readReports(receiver *webrtc.RTPReceiver) {
	for {
		packets, _, err := receiver.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok && sr.SSRC == s.ssrc.Load() {
				s.mu.Lock()
				s.clock.report(sr)
				s.mu.Unlock()
			}
		}
	}
}

func (s *slot) snapshot(now time.Time) SlotStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Slot = *s.carries.Load()
	stats.Missed, stats.Repaired, stats.Lost = s.loss.Missed, s.loss.Repaired, s.loss.Lost
	stats.Frames, stats.Keyframes = s.frames.frames, s.frames.keyframes
	stats.Freezes, stats.FreezeTime, stats.LongestFreeze = s.frames.freezes.Until(now)
	return stats
}

// rtpClock turns RTP timestamps into the publisher's time, from the newest sender report.
type rtpClock struct {
	known bool
	ntp   time.Time
	rtp   uint32
}

func (c *rtpClock) report(sr *rtcp.SenderReport) {
	c.known, c.ntp, c.rtp = true, fromNTP(sr.NTPTime), sr.RTPTime
}

func (c *rtpClock) captured(timestamp, rate uint32) time.Time {
	if !c.known || rate == 0 {
		return time.Time{}
	}
	return c.ntp.Add(time.Duration(int32(timestamp-c.rtp)) * time.Second / time.Duration(rate))
}
