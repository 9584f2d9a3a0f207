package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/pion/transport/v4"
	"github.com/pion/webrtc/v4"
)

// NoSlots in Options.VideoSlots or AudioSlots asks for none of that kind.
const NoSlots = -1

// The defaults of Options.
const (
	DefaultVideoSlots  = 4
	DefaultAudioSlots  = 3
	DefaultEventBuffer = 256
	DefaultResumeFor   = 2 * time.Minute
	DefaultReadLimit   = 4 << 20
)

// Options say what a client publishes, receives and reports. The zero value receives four videos and three voices.
type Options struct {
	DisplayName string         // used where the ticket carries none
	Publish     []*Publication // sent from the start; more with Client.AddTracks
	VideoSlots  int            // video m-lines to receive into; 0 is DefaultVideoSlots
	AudioSlots  int            // audio m-lines to receive into; 0 is DefaultAudioSlots
	Codecs      []string       // MIME types of video to receive, best first, of VP8, H.264, VP9 and AV1; nil is VP8 and H.264

	// OnPacket gets every media packet received. It is called from one goroutine a slot, must not block, and must not keep
	// the packet.
	OnPacket func(Packet)

	EventBuffer int           // events kept for a slow reader of Client.Events; 0 is DefaultEventBuffer
	ResumeFor   time.Duration // how long a lost socket is resumed before giving up; 0 is DefaultResumeFor
	ReadLimit   int64         // bytes of the largest message read; 0 is DefaultReadLimit
	Transport   Transport     // what media may go over; the zero value is any
	HTTPClient  *http.Client  // for the WebSocket's handshake; nil is one that uses TLS, or http.DefaultClient
	TLS         *tls.Config   // for TURN over TLS, and the WebSocket where HTTPClient is nil; nil trusts the system's roots
	Net         transport.Net // where sockets for media are opened, those to relays included; nil: this machine's own
	Log         *slog.Logger  // nil discards

	tune func(*webrtc.SettingEngine) // for tests
}

// withDefaults returns the options with every empty field filled, or all their faults at once.
func (o Options) withDefaults() (Options, error) {
	o.VideoSlots = slotCount(o.VideoSlots, DefaultVideoSlots)
	o.AudioSlots = slotCount(o.AudioSlots, DefaultAudioSlots)
	if o.EventBuffer == 0 {
		o.EventBuffer = DefaultEventBuffer
	}
	if o.ResumeFor == 0 {
		o.ResumeFor = DefaultResumeFor
	}
	if o.ReadLimit == 0 {
		o.ReadLimit = DefaultReadLimit
	}
	if o.Codecs == nil {
		o.Codecs = []string{webrtc.MimeTypeVP8, webrtc.MimeTypeH264}
	}
	if o.HTTPClient == nil && o.TLS != nil {
		o.HTTPClient = withTLS(o.TLS)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, o.validate()
}

func slotCount(asked, fallback int) int {
	switch {
	case asked == 0:
		return fallback
	case asked < 0:
		return 0
	default:
		return asked
	}
}

func (o Options) validate() error {
	var faults []error
	if err := o.Transport.validate(); err != nil {
		faults = append(faults, err)
	}
	if o.EventBuffer < 0 {
		faults = append(faults, fmt.Errorf("options: EventBuffer is %d, want at least 0", o.EventBuffer))
	}
	if o.ResumeFor < 0 {
		faults = append(faults, fmt.Errorf("options: ResumeFor is %s, want at least 0", o.ResumeFor))
	}
	for _, mime := range o.Codecs {
		if _, err := codecFor(mime); err != nil {
			faults = append(faults, fmt.Errorf("options: Codecs: %w", err))
		}
	}
	for i, p := range o.Publish {
		if err := p.validate(); err != nil {
			faults = append(faults, fmt.Errorf("options: Publish[%d]: %w", i, err))
		}
	}
	return errors.Join(faults...)
}

// hasMedia says whether the client needs a peer connection at all.
func (o Options) hasMedia() bool {
	return o.VideoSlots > 0 || o.AudioSlots > 0 || len(o.Publish) > 0
}
