package client

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/signal/wire"
)

// The sources a publication can have (SPEC: track).
const (
	SourceCamera      = "camera"
	SourceMicrophone  = "microphone"
	SourceScreen      = "screen"
	SourceScreenAudio = "screen_audio"
)

// maxLayers is how many simulcast layers a video can have: q, h and f.
const maxLayers = 3

// Layer is one encoding of a publication.
type Layer struct {
	RID      string // "q", "h" or "f"; empty without simulcast
	From     Source // nil: packets come through Publication.WriteRTP
	MimeType string // the codec where From is nil
}

// Publication is one track that a client sends: a camera, a microphone, a screen. It belongs to one client at a time. All
// of its methods are safe for concurrent use.
type Publication struct {
	source  string
	senders []*sender
	ended   chan struct{} // closed when it is unpublished

	mu      sync.Mutex
	muted   bool
	wanted  *wire.Layers // nil: all
	ahead   wire.Layers  // what the node wants to which the client is moving
	started bool
	over    bool // ended is closed
}

// PublicationOptions are the rarer choices of a publication.
type PublicationOptions struct {
	Level LevelFunc // loudness of audio; nil is a steady voice of -25 dBov
	Stamp bool      // append the time at which it is due to each frame; see StampSize
}

// defaultLevel is a voice at a normal distance from its microphone.
const defaultLevel = 25

// NewCamera publishes one to three encodings of a camera as simulcast layers, lowest first: three are q, h and f, two are
// q and h, and one is sent without simulcast.
func NewCamera(layers ...Source) *Publication {
	return NewPublication(SourceCamera, PublicationOptions{}, named(layers)...)
}

// NewScreen publishes one to three encodings of a screen, likewise.
func NewScreen(layers ...Source) *Publication {
	return NewPublication(SourceScreen, PublicationOptions{}, named(layers)...)
}

// NewMicrophone publishes Opus packets; level may be nil.
func NewMicrophone(from Source, level LevelFunc) *Publication {
	return NewPublication(SourceMicrophone, PublicationOptions{Level: level}, Layer{From: from})
}

// NewPublication publishes any source from any layers, lowest first. Faults are reported by whoever is asked to publish
// it.
func NewPublication(source string, opts PublicationOptions, layers ...Layer) *Publication {
	if opts.Level == nil {
		opts.Level = ConstantLevel(defaultLevel)
	}
	p := &Publication{source: source, ended: make(chan struct{})}
	id := uuid.NewString()
	for _, layer := range layers {
		p.senders = append(p.senders, newSender(id, layer, opts))
	}
	return p
}

func named(layers []Source) []Layer {
	rids := []string{"q", "h", "f"}
	out := make([]Layer, len(layers))
	for i, from := range layers {
		out[i] = Layer{From: from}
		if len(layers) > 1 && i < len(rids) {
			out[i].RID = rids[i]
		}
	}
	return out
}

// Source returns what the publication shows.
func (p *Publication) Source() string { return p.source }

// SetMuted stops or restarts sending. It tells nobody: Client.Presence does, and calls this.
func (p *Publication) SetMuted(muted bool) {
	p.mu.Lock()
	p.muted = muted
	p.mu.Unlock()
	p.apply()
}

// Wanted returns the rids of the layers that are sent now: what the server wants, and nothing while muted. A publication
// without simulcast has the one empty rid.
func (p *Publication) Wanted() []string {
	sending := []string{}
	for _, s := range p.senders {
		if !s.paused.Load() {
			sending = append(sending, s.rid)
		}
	}
	return sending
}

// WriteRTP sends one packet on a layer that has no source of its own. The client sets SSRC, payload type and header
// extensions; sequence number, timestamp, marker and payload are the caller's. The packet is not changed.
func (p *Publication) WriteRTP(rid string, packet *rtp.Packet) error {
	for _, s := range p.senders {
		if s.rid == rid && s.from == nil {
			return s.writeRTP(packet)
		}
	}
	return fmt.Errorf("publish %s: no layer %q without a source", p.source, rid)
}

// Sent returns what was sent so far on each layer, lowest first.
func (p *Publication) Sent() []SentStats {
	stats := make([]SentStats, len(p.senders))
	for i, s := range p.senders {
		stats[i] = s.stats()
	}
	return stats
}

// places makes a place for each layer, for one peer connection.
func (p *Publication) places() []*place {
	places := make([]*place, len(p.senders))
	for i, s := range p.senders {
		places[i] = &place{sender: s}
	}
	return places
}

// want applies a media.layers message. A track without simulcast is wanted as "f".
func (p *Publication) want(layers wire.Layers) {
	p.mu.Lock()
	p.wanted = &layers
	p.mu.Unlock()
	p.apply()
}

// wantAll forgets what a server wanted; a new session starts with everything.
func (p *Publication) wantAll() {
	p.mu.Lock()
	p.wanted = nil
	p.mu.Unlock()
	p.apply()
}

// lookAhead sends beside what is wanted what the node wants to which the client is moving.
func (p *Publication) lookAhead(layers wire.Layers) {
	p.mu.Lock()
	p.ahead = layers
	p.mu.Unlock()
	p.apply()
}

// SpatialLayers returns how many of the sizes anybody wants of a stream that has several in itself (VP9 and AV1), the smallest first; 0 is all of them. Whoever
// makes such a stream may leave out the others.
func (p *Publication) SpatialLayers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wanted == nil || p.wanted.SpatialLayers == 0 || len(p.ahead.Wanted) > 0 && p.ahead.SpatialLayers == 0 {
		return 0
	}
	return max(p.wanted.SpatialLayers, p.ahead.SpatialLayers)
}

func wants(rids []string, rid string) bool {
	return slices.Contains(rids, rid) || rid == "" && len(rids) > 0
}

func (p *Publication) apply() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.senders {
		asked := p.wanted == nil || wants(p.wanted.Wanted, s.rid) || wants(p.ahead.Wanted, s.rid)
		s.setPaused(p.muted || !asked)
	}
}

// claim makes the publication the caller's own, once.
func (p *Publication) claim() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started {
		return fmt.Errorf("publish %s: the publication is already in use", p.source)
	}
	p.started = true
	return nil
}

// stop ends the publication's sources for good.
func (p *Publication) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.over = true
		close(p.ended)
	}
}

func (p *Publication) kind() webrtc.RTPCodecType {
	switch p.source {
	case SourceCamera, SourceScreen:
		return webrtc.RTPCodecTypeVideo
	case SourceMicrophone, SourceScreenAudio:
		return webrtc.RTPCodecTypeAudio
	default:
		return 0
	}
}

func (p *Publication) validate() error {
	if p == nil {
		return errors.New("publication is nil")
	}
	kind := p.kind()
	switch {
	case kind == 0:
		return fmt.Errorf("publish %q: no such source", p.source)
	case len(p.senders) == 0:
		return fmt.Errorf("publish %s: no layers", p.source)
	case kind == webrtc.RTPCodecTypeAudio && len(p.senders) > 1:
		return fmt.Errorf("publish %s: audio has one layer", p.source)
	case len(p.senders) > maxLayers:
		return fmt.Errorf("publish %s: %d layers, want at most %d", p.source, len(p.senders), maxLayers)
	}
	return p.validateLayers(kind)
}

func (p *Publication) validateLayers(kind webrtc.RTPCodecType) error {
	seen := map[string]bool{}
	for _, s := range p.senders {
		codec, err := codecFor(s.mime)
		switch {
		case err != nil:
			return fmt.Errorf("publish %s: %w", p.source, err)
		case codec.kind != kind:
			return fmt.Errorf("publish %s: %s is of the wrong kind", p.source, s.mime)
		case s.mime != p.senders[0].mime:
			return fmt.Errorf("publish %s: layers differ in codec", p.source)
		case len(p.senders) > 1 && s.rid == "":
			return fmt.Errorf("publish %s: a simulcast layer needs a rid", p.source)
		case seen[s.rid]:
			return fmt.Errorf("publish %s: two layers with rid %q", p.source, s.rid)
		}
		seen[s.rid] = true
	}
	return nil
}
