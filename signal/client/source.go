package client

import "time"

// Frame is one encoded frame of video, or one Opus packet.
type Frame struct {
	Data     []byte        // valid until the next call of Next: VP8 frame, H.264 access unit in Annex-B form, or Opus packet
	At       time.Duration // when it is due, since the start of the source; never falls
	Keyframe bool          // can be decoded without what came before; audio: always
}

// Source yields encoded media at its own pace: each Frame says when it is due, and the client waits until then. Calls
// come from one goroutine at a time.
type Source interface {
	// MimeType names the codec, such as "video/VP8". It is asked before the first frame and must not change.
	MimeType() string
	// Next returns the next frame. An error ends the layer; io.EOF does so without complaint.
	Next() (Frame, error)
	// SkipToKeyframe makes the next frame a keyframe if the source can: a subscriber needs one.
	SkipToKeyframe()
}

// Level is the loudness of one audio packet (RFC 6464).
type Level struct {
	DBov  uint8 // -dBov: 0 is the loudest, 127 is silence
	Voice bool  // the encoder believes that somebody speaks
}

// LevelFunc tells how loud the audio due at a time since the start of its source is.
type LevelFunc func(at time.Duration) Level

// ConstantLevel is a LevelFunc for a steady voice.
func ConstantLevel(dBov uint8) LevelFunc {
	return func(time.Duration) Level { return Level{DBov: dBov, Voice: dBov < silence} }
}

// silence is the level below which nobody is taken to speak.
const silence = 127
