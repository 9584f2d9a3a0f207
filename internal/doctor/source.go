package doctor

import (
	"time"

	"github.com/parley-sfu/parley/signal/client"
)

// voice is a microphone that sends as a browser's does while somebody speaks: 20 ms of Opus a packet, at 32 kbit/s. What
// is in the packets nobody decodes.
type voice struct{ at time.Duration }

const (
	packetEvery = 20 * time.Millisecond
	packetBytes = 80
	opusTOC     = 0x78 // SILK, wideband, 20 ms, mono, one frame (RFC 6716, section 3.1)
)

// MimeType implements client.Source.
func (*voice) MimeType() string { return "audio/opus" }

// Next implements client.Source.
func (v *voice) Next() (client.Frame, error) {
	data := make([]byte, packetBytes)
	data[0] = opusTOC
	frame := client.Frame{Data: data, At: v.at, Keyframe: true}
	v.at += packetEvery
	return frame, nil
}

// SkipToKeyframe implements client.Source: every packet stands for itself.
func (*voice) SkipToKeyframe() {}

func newMicrophone() *client.Publication {
	return client.NewPublication(client.SourceMicrophone, client.PublicationOptions{Stamp: true}, client.Layer{From: &voice{}})
}
