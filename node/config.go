package node

import (
	"errors"
	"strings"

	"github.com/parley-sfu/parley/internal/rtc"
)

// Config of a node.
type Config struct {
	Media rtc.Config `koanf:"media" yaml:"media"`

	MaxSlots     int `koanf:"max_slots"     yaml:"max_slots"`     // receiving m-lines of one peer
	MaxTracks    int `koanf:"max_tracks"    yaml:"max_tracks"`    // tracks published by one peer
	AudioForward int `koanf:"audio_forward" yaml:"audio_forward"` // loudest microphones forwarded in a room with more than that
}

// Defaults returns a configuration that serves rooms of 25 cameras.
func Defaults() Config {
	return Config{Media: rtc.Defaults(), MaxSlots: 64, MaxTracks: 8, AudioForward: 3}
}

// Validate reports all faults at once, each naming its key.
func (c Config) Validate() error {
	var faults []error
	if err := c.Media.Validate(); err != nil {
		for line := range strings.Lines(err.Error()) {
			faults = append(faults, errors.New("media."+strings.TrimSpace(line)))
		}
	}
	if c.MaxSlots < 1 || c.MaxSlots > 120 {
		faults = append(faults, errors.New("max_slots: must be from 1 to 120"))
	}
	if c.MaxTracks < 1 || c.MaxTracks > 32 {
		faults = append(faults, errors.New("max_tracks: must be from 1 to 32"))
	}
	if c.AudioForward < 1 || c.AudioForward > 16 {
		faults = append(faults, errors.New("audio_forward: must be from 1 to 16"))
	}
	return errors.Join(faults...)
}
