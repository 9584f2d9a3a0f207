package client

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// errNotBound is returned for packets written before the server's answer named a place for them.
var errNotBound = errors.New("layer is not negotiated")

// SentStats count what one layer has sent. Retransmissions are not in Packets.
type SentStats struct {
	RID       string
	Packets   uint64
	Bytes     uint64 // of payload
	Frames    uint64
	Keyframes uint64
	PLIs      uint64 // keyframes asked for by the server
	Paused    bool
}

// sender is one encoding of a publication: it cuts frames into packets and writes them through every peer connection that
// it has a place in: one, or two while the client moves to another node. It outlives peer connections, so that a new
// session goes on where the old one stopped.
type sender struct {
	id, rid, mime string
	from          Source
	level         LevelFunc
	stamp         bool
	codec         codec
	payloader     rtp.Payloader
	wantKeyframe  atomic.Bool
	paused        atomic.Bool

	mu     sync.Mutex // protects following
	places []*place   // those that are bound
	epoch  time.Time  // when the source's time zero was
	base   uint32     // RTP timestamp at the epoch
	seq    uint16
	last   rtpInstant // the newest packet, for layers without a source
	sent   SentStats
}

// binding is what one peer connection has negotiated for a sender.
type binding struct {
	ssrc     uint32
	payload  uint8
	write    webrtc.TrackLocalWriter
	midExt   uint8 // 0: not negotiated
	ridExt   uint8
	levelExt uint8
	packets  uint32 // as sender reports count them
	octets   uint32
}

// rtpInstant ties a moment of the wall to one of the RTP clock.
type rtpInstant struct {
	at  time.Time
	rtp uint32
}

func newSender(id string, layer Layer, opts PublicationOptions) *sender {
	mime := layer.MimeType
	if layer.From != nil {
		mime = layer.From.MimeType()
	}
	s := &sender{
		id: id, rid: layer.RID, mime: mime, from: layer.From, level: opts.Level, stamp: opts.Stamp,
		base: rand.Uint32(), seq: uint16(rand.Uint32()),
	}
	if c, err := codecFor(mime); err == nil { // an unknown codec is reported by Publication.validate
		s.codec, s.mime = c, c.params.MimeType
		s.payloader = newPayloader(s.mime)
	}
	return s
}

func (s *sender) setPaused(paused bool) {
	if s.paused.Swap(paused) && !paused {
		s.wantKeyframe.Store(true)
	}
}

// pictureLost asks the source for a keyframe: the server said that somebody cannot decode.
func (s *sender) pictureLost() {
	s.wantKeyframe.Store(true)
	s.mu.Lock()
	s.sent.PLIs++
	s.mu.Unlock()
}

// startAt sets the moment of the source's time zero.
func (s *sender) startAt(epoch time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch = epoch
}

// writeFrame cuts a frame into packets and sends them. The frame of a paused or unbound layer goes nowhere.
func (s *sender) writeFrame(frame Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.places) == 0 || s.paused.Load() {
		return nil
	}
	payloads := s.payloader.Payload(maxPayload, frame.Data)
	timestamp := s.base + s.ticks(frame.At)
	for i, payload := range payloads {
		last := i == len(payloads)-1
		if last && s.stamp {
			payload = appendStamp(payload, s.epoch.Add(frame.At))
		}
		header := rtp.Header{
			Version: 2, Timestamp: timestamp, SequenceNumber: s.seq,
			Marker: last && s.codec.kind == webrtc.RTPCodecTypeVideo,
		}
		s.seq++
		if err := s.sendLocked(&header, payload, frame.At); err != nil {
			return err
		}
	}
	s.sent.Frames++
	if frame.Keyframe {
		s.sent.Keyframes++
	}
	return nil
}

// writeRTP sends one packet of the caller's.
func (s *sender) writeRTP(packet *rtp.Packet) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.places) == 0 {
		return errNotBound
	}
	if s.paused.Load() {
		return nil
	}
	now := time.Now()
	if s.epoch.IsZero() {
		s.epoch = now
	}
	if packet.Timestamp != s.last.rtp || s.last.at.IsZero() {
		s.last = rtpInstant{at: now, rtp: packet.Timestamp}
	}
	header := rtp.Header{
		Version: 2, Timestamp: packet.Timestamp, SequenceNumber: packet.SequenceNumber, Marker: packet.Marker,
	}
	if packet.Marker {
		s.sent.Frames++
	}
	return s.sendLocked(&header, packet.Payload, now.Sub(s.epoch))
}

// sendLocked writes a packet to every place, and counts it once. A packet that comes before the keys are agreed is dropped
// by pion without an error, as a network would.
func (s *sender) sendLocked(header *rtp.Header, payload []byte, at time.Duration) error {
	level, err := s.loudness(at)
	if err != nil {
		return fmt.Errorf("mark packet: %w", err)
	}
	for _, p := range s.places {
		err = errors.Join(err, p.sendLocked(*header, payload, level))
	}
	s.sent.Packets++
	s.sent.Bytes += uint64(len(payload))
	return err
}

// loudness is the header extension of audio (RFC 6464); nil for video.
func (s *sender) loudness(at time.Duration) ([]byte, error) {
	if s.codec.kind != webrtc.RTPCodecTypeAudio {
		return nil, nil
	}
	level := s.level(at)
	return rtp.AudioLevelExtension{Level: min(level.DBov, silence), Voice: level.Voice}.Marshal()
}

// ticks turns a time of the source into the codec's clock.
func (s *sender) ticks(at time.Duration) uint32 {
	return clockTicks(at, s.codec.params.ClockRate)
}

// clockTicks counts the ticks of a clock in a duration, to the nearest, without losing precision over days.
func clockTicks(d time.Duration, rate uint32) uint32 {
	whole, rest := int64(d/time.Second), int64(d%time.Second)
	return uint32(whole*int64(rate) + (rest*int64(rate)+int64(time.Second/2))/int64(time.Second))
}

func (s *sender) stats() SentStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.sent
	stats.RID, stats.Paused = s.rid, s.paused.Load()
	return stats
}
