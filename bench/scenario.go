package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/parley-sfu/parley/bench/reel"
)

// What a group of people sends.
const (
	SendsAV      = "av"      // a camera and a microphone
	SendsAudio   = "audio"   // a microphone
	SendsVideo   = "video"   // a camera
	SendsNothing = "nothing" // viewers may not send
)

// The layouts that people watch in.
const (
	LayoutGrid    = "grid"    // a page of thumbnails
	LayoutSpeaker = "speaker" // one large picture, and thumbnails
	LayoutNone    = "none"    // they look at nothing and listen to nobody
)

// What somebody receives with.
const (
	ReceiverWhole = "whole" // the public client, with all that it does
	ReceiverLean  = "lean"  // joins like one, and counts
)

// The roles of people, as the join call has them.
const (
	roleAttendee = "attendee"
	roleViewer   = "viewer"
)

// A Scenario says who comes, and what they do. Everything random in it comes from its seed: the same scenario is always the
// same plan.
type Scenario struct {
	Name     string              `yaml:"name,omitempty"`
	Seed     uint64              `yaml:"seed,omitempty"`
	Rooms    int                 `yaml:"rooms,omitempty"`   // meetings at the same time
	Regions  map[string][]string `yaml:"regions,omitempty"` // the URLs of nodes by region; people take them in turn
	People   []Group             `yaml:"people"`            // of each room, in the order in which they come
	Join     Ramp                `yaml:"join,omitempty"`
	Duration Duration            `yaml:"duration"` // measured, once everybody is in
	Actions  []Action            `yaml:"actions,omitempty"`
}

// A Group is people of one kind.
type Group struct {
	Role     string   `yaml:"role"`               // host is nobody: attendee or viewer
	Count    int      `yaml:"count"`              // in each room
	Region   string   `yaml:"region,omitempty"`   // where they are, one of Scenario.Regions; empty: where swarm is
	Sends    string   `yaml:"sends,omitempty"`    // by default attendees send av and viewers nothing
	Codec    string   `yaml:"codec,omitempty"`    // of their cameras: vp8 or h264
	Layers   []string `yaml:"layers,omitempty"`   // of their cameras: some of q, h and f
	Layout   string   `yaml:"layout,omitempty"`   // by default viewers watch the grid and attendees nothing
	Page     int      `yaml:"page,omitempty"`     // most pictures at a time, up to 25
	Receiver string   `yaml:"receiver,omitempty"` // whole or lean
	Verify   *float64 `yaml:"verify,omitempty"`   // the share of them who look at every frame; whole receivers: 1, lean ones: 0.05
}

// A Ramp is how people come: so many a second, or all of them within a time.
type Ramp struct {
	Rate   float64  `yaml:"rate,omitempty"`
	Within Duration `yaml:"within,omitempty"`
}

// The bounds of a scenario.
const (
	maxFile     = 64 << 10 // bytes
	maxPeople   = 10_000   // in all rooms
	maxRooms    = 1_000
	maxGroups   = 64
	maxActions  = 64
	maxRegions  = 64
	maxPage     = 25
	maxSteps    = 200_000 // that all actions come to
	maxRate     = 10_000
	maxDuration = 24 * time.Hour
	voiceSlots  = 3
)

// Simple returns a scenario of one kind of publishers and one kind of viewers: what the command line's flags say.
func Simple(rooms, publishers, viewers int, media, codec, layout string, rate float64, duration time.Duration) *Scenario {
	s := &Scenario{Name: "swarm", Rooms: rooms, Join: Ramp{Rate: rate}, Duration: lasting(duration)}
	if publishers != 0 {
		s.People = append(s.People, Group{Role: roleAttendee, Count: publishers, Sends: media, Codec: codec})
	}
	if viewers != 0 {
		s.People = append(s.People, Group{Role: roleViewer, Count: viewers, Layout: layout})
	}
	s.Actions = []Action{{Do: DoHands, Every: lasting(handEvery)}}
	s.complete()
	return s
}

const (
	defaultRate = 10 // joins a second
	handEvery   = 2 * time.Second
)

// Parse reads a scenario from YAML. It reports all faults at once, each with its line or its key.
func Parse(in io.Reader) (*Scenario, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("scenario: longer than %d bytes", maxFile)
	}
	var s Scenario
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	err = decoder.Decode(&s)
	if malformed := (*yaml.TypeError)(nil); err != nil && !errors.As(err, &malformed) {
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return nil, fmt.Errorf("scenario: %w", err)
	}
	if decoder.Decode(&yaml.Node{}) == nil {
		err = errors.Join(err, errors.New("more than one document"))
	}
	s.complete()
	if err = errors.Join(err, s.Validate()); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return &s, nil
}

// Encode is the scenario as YAML, complete: Parse reads the same from it.
func (s *Scenario) Encode() ([]byte, error) { return yaml.Marshal(s) }

// complete fills in what was left out.
func (s *Scenario) complete() {
	if s.Rooms == 0 {
		s.Rooms = 1
	}
	if s.Join.Rate == 0 && s.Join.Within.IsZero() {
		s.Join.Rate = defaultRate
	}
	for i := range s.People {
		s.People[i].complete()
	}
	for i := range s.Actions {
		s.Actions[i].complete()
	}
}

func (g *Group) complete() {
	sends, layout := SendsAV, LayoutNone
	if g.Role == roleViewer {
		sends, layout = SendsNothing, LayoutGrid
	}
	share := 1.0
	if g.Receiver == ReceiverLean {
		share = 0.05
	}
	for field, fallback := range map[*string]string{&g.Sends: sends, &g.Layout: layout, &g.Codec: reel.VP8, &g.Receiver: ReceiverWhole} {
		if *field == "" {
			*field = fallback
		}
	}
	if len(g.Layers) == 0 {
		g.Layers = reel.Rids()
	}
	if g.Page == 0 {
		g.Page = maxPage
	}
	if g.Verify == nil {
		g.Verify = &share
	}
}

func (g *Group) camera() bool { return g.Sends == SendsAV || g.Sends == SendsVideo }
func (g *Group) voice() bool  { return g.Sends == SendsAV || g.Sends == SendsAudio }

// verifies says whether somebody of the group looks at every frame: a share of them, spread evenly.
func (g *Group) verifies(index int) bool {
	i, v := float64(index), *g.Verify
	return int((i+1)*v+1e-9) > int(i*v+1e-9)
}

// cameras is how many there are in each room.
func (s *Scenario) cameras() (n int) {
	for _, g := range s.People {
		if g.camera() {
			n += g.Count
		}
	}
	return n
}

// perRoom is how many people come to each room.
func (s *Scenario) perRoom() (n int) {
	for _, g := range s.People {
		n += g.Count
	}
	return n
}

// codecs are those of all cameras, each once.
func (s *Scenario) codecs() (all []string) {
	for _, g := range s.People {
		if g.camera() && !slices.Contains(all, g.Codec) {
			all = append(all, g.Codec)
		}
	}
	return all
}

// pictures is how many cameras one of a group can watch.
func (s *Scenario) pictures(g *Group) int {
	if g.Layout == LayoutNone {
		return 0
	}
	return min(s.cameras(), g.Page)
}

// interval is the time from one join to the next.
func (s *Scenario) interval() time.Duration {
	if s.Join.Within.Duration > 0 {
		return s.Join.Within.Duration / time.Duration(max(1, s.Rooms*s.perRoom()))
	}
	return time.Duration(float64(time.Second) / s.Join.Rate)
}
