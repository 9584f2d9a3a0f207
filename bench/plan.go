package bench

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// The media that publishers send.
const (
	MediaAV    = "av"    // a camera in three layers and a microphone
	MediaAudio = "audio" // a microphone
)

// The layouts that viewers watch in.
const (
	LayoutGrid    = "grid"    // every camera as a thumbnail
	LayoutSpeaker = "speaker" // one large picture, and thumbnails
)

const (
	maxPeople  = 10_000 // in one run
	maxSlots   = 25     // cameras that one viewer watches: a page of the grid
	voiceSlots = 3

	thumbWidth, thumbHeight = 160, 90
	largeWidth, largeHeight = 1280, 720
)

// A Plan says what a run does. Defaults is a small one.
type Plan struct {
	URL        string        // of the REST plane
	Token      string        // a user token that may create, end and join meetings
	Metrics    []string      // the servers' metrics; empty: those below URL
	Rooms      int           // meetings at the same time
	Publishers int           // in each room
	Viewers    int           // in each room, who send nothing
	Media      string        // MediaAV or MediaAudio
	Layout     string        // LayoutGrid or LayoutSpeaker
	JoinRate   float64       // joins a second, over all rooms
	Duration   time.Duration // measured, once everybody has joined
}

// Defaults returns a plan of one room with one publisher and 50 viewers, for a minute.
func Defaults() Plan {
	return Plan{
		Rooms: 1, Publishers: 1, Viewers: 50, Media: MediaAV, Layout: LayoutGrid, JoinRate: 10, Duration: time.Minute,
	}
}

// Validate reports all faults at once, each naming its flag.
func (p *Plan) Validate() error {
	var faults []error
	fault := func(is bool, format string, args ...any) {
		if is {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	u, err := url.Parse(p.URL)
	fault(err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "", "url: must begin with http:// or https://")
	fault(p.Rooms < 1, "rooms: must be at least 1")
	fault(p.Publishers < 0, "publishers: must not be negative")
	fault(p.Viewers < 0, "viewers: must not be negative")
	fault(p.Publishers+p.Viewers < 1, "publishers, viewers: nobody would come")
	fault(p.Rooms > 0 && p.Rooms*(max(p.Publishers, 0)+max(p.Viewers, 0)) > maxPeople, "rooms, publishers, viewers: at most %d people", maxPeople)
	fault(p.Media != MediaAV && p.Media != MediaAudio, "media: must be %s or %s", MediaAV, MediaAudio)
	fault(p.Layout != LayoutGrid && p.Layout != LayoutSpeaker, "layout: must be %s or %s", LayoutGrid, LayoutSpeaker)
	fault(p.JoinRate <= 0, "join-rate: must be above 0")
	fault(p.Duration < time.Second, "duration: must be at least 1s")
	return errors.Join(faults...)
}

// people is how many take part in all rooms.
func (p *Plan) people() int { return p.Rooms * (p.Publishers + p.Viewers) }

// videoSlots is how many cameras one viewer watches.
func (p *Plan) videoSlots() int {
	if p.Media == MediaAudio {
		return 0
	}
	return min(p.Publishers, maxSlots)
}
