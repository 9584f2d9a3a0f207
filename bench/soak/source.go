package soak

import (
	"time"

	"github.com/parley-sfu/parley/signal/client"
)

// A picture is a source of frames that are as large and as many as a thumbnail's, and have VP8's headers; a voice one of Opus
// packets. Servers look no further.
type source struct {
	mime  string
	every time.Duration
	frame []byte
	at    time.Duration
	count int
	key   bool // the next frame must be a keyframe
}

const (
	pictureBytes, pictureEvery = 1000, 66 * time.Millisecond
	voiceBytes, voiceEvery     = 80, 20 * time.Millisecond
	keyframeEvery              = 300 // frames
)

func picture() *source {
	return &source{mime: "video/VP8", every: pictureEvery, frame: make([]byte, pictureBytes)}
}

func voice() *source {
	s := &source{mime: "audio/opus", every: voiceEvery, frame: make([]byte, voiceBytes)}
	const stereoCELT20ms = 0xfc // the TOC byte of RFC 6716
	s.frame[0] = stereoCELT20ms
	return s
}

// MimeType implements client.Source.
func (s *source) MimeType() string { return s.mime }

// SkipToKeyframe implements client.Source.
func (s *source) SkipToKeyframe() { s.key = true }

// Next implements client.Source.
func (s *source) Next() (client.Frame, error) {
	frame := client.Frame{Data: s.frame, At: s.at, Keyframe: s.mime == "audio/opus"}
	if s.mime == "video/VP8" {
		frame.Keyframe = s.key || s.count%keyframeEvery == 0
		s.head(frame.Keyframe)
	}
	s.at += s.every
	s.count++
	s.key = false
	return frame, nil
}

// head writes the uncompressed data chunk of a VP8 frame (RFC 6386, 9.1).
func (s *source) head(key bool) {
	const shown, inter = 0x10, 0x01
	s.frame[0] = shown
	if !key {
		s.frame[0] |= inter
		return
	}
	copy(s.frame[3:], []byte{0x9d, 0x01, 0x2a, 160, 0, 90, 0}) // start code, width and height
}
