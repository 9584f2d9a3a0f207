package system_test

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/bench/plot"
	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

// A glance is what a receiver had counted at one moment.
type glance struct {
	At      float64  `json:"at"` // milliseconds since 1970
	Streams []stream `json:"streams"`
}

// stream is one slot: what it carried, and its counters from the start.
type stream struct {
	MID         string  `json:"mid"`
	Kind        string  `json:"kind"`
	Participant string  `json:"participant"`
	Layer       string  `json:"layer"`
	State       string  `json:"state"`
	Reason      string  `json:"reason"`
	Packets     int     `json:"packets"`
	Lost        int     `json:"lost"` // after repair
	Nacks       int     `json:"nacks"`
	PLIs        int     `json:"plis"`
	Frames      int     `json:"frames"`
	Width       int     `json:"width"`
	Frozen      float64 `json:"frozen"`    // seconds, by the W3C's definition
	Samples     float64 `json:"samples"`   // of sound that was played
	Concealed   float64 `json:"concealed"` // of them made up

	Clock    float64 `json:"-"`        // ms from when a packet was captured, as the server says, to when it was sent
	Buffered float64 `json:"buffered"` // seconds that all that was played has been kept, added up
	Emitted  float64 `json:"emitted"`  // of so many frames or samples
	Late     float64 `json:"late"`     // ms from capture to play, and a number that all of one participant have in common; 0 is unknown
}

// A spectator takes looks at what one receiver gets.
type spectator struct {
	id     string          // of the participant
	finish func() []glance // ends it, and has all that it saw
}

const lookEvery = 250 * time.Millisecond

// clocks has, for each slot, by how much the times of capture that the server's reports give to packets are before the times that
// their senders stamped them with. It is safe for concurrent use.
type clocks struct {
	mu    sync.Mutex // protects following
	apart map[string]time.Duration
}

func newClocks() *clocks { return &clocks{apart: map[string]time.Duration{}} }

// packet takes a packet. It is for client.Options.OnPacket.
func (c *clocks) packet(p client.Packet) {
	if p.SentAt.IsZero() || p.Captured.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apart[p.Slot.MID] = p.SentAt.Sub(p.Captured)
}

func (c *clocks) of(mid string) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return float64(c.apart[mid]) / float64(time.Millisecond)
}

// watchClient looks at a client in Go, and at the clocks of what it gets.
func watchClient(t *testing.T, c *client.Client, clocks *clocks) *spectator {
	var looks []glance
	stop := make(chan struct{})
	var over sync.WaitGroup
	over.Go(func() {
		for tick := time.NewTicker(lookEvery); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
				looks = append(looks, lookAt(c, clocks))
			}
		}
	})
	end := sync.OnceFunc(func() { close(stop); over.Wait() })
	t.Cleanup(end)
	return &spectator{c.Self().ID, func() []glance { end(); return looks }}
}

func lookAt(c *client.Client, clocks *clocks) glance {
	l := glance{At: float64(time.Now().UnixNano()) / 1e6}
	for _, s := range c.SlotStats() {
		l.Streams = append(l.Streams, stream{
			MID: s.Slot.MID, Kind: s.Slot.Kind, Participant: s.Slot.ParticipantID, Layer: s.Slot.Layer, State: s.Slot.State, Reason: s.Slot.Reason,
			Packets: int(s.Packets), Lost: int(s.Lost), Frames: int(s.Frames), Width: s.Width, Frozen: s.FreezeTime.Seconds(),
			Clock: clocks.of(s.Slot.MID),
		})
	}
	return l
}

// browse brings a browser into the stage's meeting, from the home, and returns when it sees all cameras. Its last picture is kept as
// that name.
func (s *stage) browse(shot string) *spectator {
	s.t.Helper()
	return s.runBrowser("bandwidth.test.mjs", "LAB_JOIN_URL="+s.meeting.JoinURL, "BANDWIDTH_SHOT="+shot)
}

// runBrowser runs a test of lab/browser in the home that writes down what it sees.
func (s *stage) runBrowser(script string, env ...string) *spectator {
	t := s.t
	t.Helper()
	dir, over := t.TempDir(), make(chan struct{})
	go func() {
		defer close(over)
		lab.Browse(t, s.node, script, s.home.Namespace, 15*time.Minute, append(env, "BANDWIDTH_DIR="+dir, "BANDWIDTH_CAMERAS="+strconv.Itoa(len(s.senders)+s.films))...)
	}()
	end := sync.OnceFunc(func() {
		if err := os.WriteFile(filepath.Join(dir, "end"), nil, 0o600); err != nil {
			t.Error(err)
		}
		<-over
	})
	t.Cleanup(end)
	var id []byte
	lab.Until(t, time.Minute, "the browser sees all cameras", func() bool {
		select {
		case <-over:
			t.Fatal("the browser has ended")
		default:
		}
		id, _ = os.ReadFile(filepath.Join(dir, "joined"))
		return len(id) > 0
	})
	return &spectator{string(id), func() []glance {
		end()
		looks := readLooks(t, filepath.Join(dir, "looks"))
		tellGap(t, looks)
		return looks
	}}
}

// tellGap logs for how long at most a browser told nothing: what it missed then, it missed because it stood still itself.
func tellGap(t *testing.T, looks []glance) {
	t.Helper()
	var gap, since float64
	for i := 1; i < len(looks); i++ {
		if d := looks[i].At - looks[i-1].At; d > gap {
			gap, since = d, looks[i-1].At-looks[0].At
		}
	}
	t.Logf("the browser told nothing for up to %.0f ms, from its second %.1f on", gap, since/1000)
}

func readLooks(t *testing.T, path string) (looks []glance) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l glance
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatalf("%v in %s", err, lines.Text())
		}
		looks = append(looks, l)
	}
	return looks
}

// gotten is what a receiver got in a time.
type gotten struct {
	watched, frozen, paused float64 // seconds of pictures that should move, of those frozen, and of those announced as paused
	audioLost, audioPackets int     // after repair
	videoLost, videoPackets int
	concealed, samples      float64 // of sound
	layers                  float64 // mean of the pictures' layers, q is 1 and f is 3
}

func (g gotten) freezeRatio() float64 { return g.frozen / max(g.watched, 0.001) }

func (g gotten) audioLoss() float64 {
	return float64(g.audioLost) / float64(max(1, g.audioLost+g.audioPackets))
}

func (g gotten) videoLoss() float64 {
	return max(0, float64(g.videoLost)) / float64(max(1, g.videoLost+g.videoPackets))
}

func (g gotten) concealment() float64 { return g.concealed / max(1, g.samples) }

// between adds up what a receiver got from one moment to another.
func between(looks []glance, from, to time.Time) (g gotten) {
	looks = within(looks, from, to)
	var layers, pictures float64
	last := motions{}
	for i, now := range looks {
		for _, s := range now.Streams {
			if s.Kind == "video" {
				last.follow(&g, s, now.At)
				layers, pictures = layers+rank(s), pictures+1
			}
			if i == 0 || i == len(looks)-1 {
				g.count(s, 2*min(i, 1)-1)
			}
		}
	}
	for _, m := range last { // the browser counts a freeze when it is over, the client in Go at once
		if still := (m.at-m.moved)/1000 - (m.Frozen - m.then); !m.idle && still > 1 {
			g.frozen += still
		}
	}
	g.layers = layers / max(1, pictures)
	return g
}

// count adds or takes off the counters of a stream.
func (g *gotten) count(s stream, sign int) {
	if s.Kind == "video" {
		g.videoLost, g.videoPackets = g.videoLost+sign*s.Lost, g.videoPackets+sign*s.Packets
		return
	}
	g.audioLost, g.audioPackets = g.audioLost+sign*s.Lost, g.audioPackets+sign*s.Packets
	g.samples, g.concealed = g.samples+float64(sign)*s.Samples, g.concealed+float64(sign)*s.Concealed
}

// motion is what was seen of one picture.
type motion struct {
	stream

	begun     float64 // when it was seen first
	at, moved float64
	then      float64 // seconds that it had been frozen when it moved
	idle      bool    // it was announced as paused, or empty, since it moved
}

// motions are those of all pictures, by their slots.
type motions map[string]motion

// follow looks at one of them, perhaps for the first time.
func (all motions) follow(g *gotten, s stream, at float64) {
	m, seen := all[s.MID]
	if !seen {
		m = motion{begun: at, moved: at, then: s.Frozen}
	}
	m.follow(g, s, at)
	all[s.MID] = m
}

// follow looks at the picture once more. A gap in which it was announced as paused is a pause: the browser calls it a freeze too,
// when the picture moves again.
func (m *motion) follow(g *gotten, s stream, at float64) {
	active := s.State == "active"
	if m.at > 0 {
		passed, froze := (at-m.at)/1000, min(s.Frozen-m.Frozen, (at-m.begun)/1000) // of a freeze that began before, the rest
		switch {
		case !active:
			g.paused += passed
		case !m.idle && s.Participant == m.Participant:
			g.watched += passed
			g.frozen += froze
		default:
			g.watched += passed
		}
	}
	m.idle = m.idle && s.Frames == m.Frames || !active || m.MID != "" && s.Participant != m.Participant
	if s.Frames != m.Frames {
		m.moved, m.then = at, s.Frozen
	}
	m.stream, m.at = s, at
}

// rank is the layer that a picture is shown in, from 1 on; 0: none.
func rank(s stream) float64 {
	if s.State != "active" {
		return 0
	}
	return float64(slices.Index([]string{"q", "h", "f"}, s.Layer) + 1)
}

// skews are by how much a player that goes by the server's reports plays sound before the picture of the same person, in each look,
// in milliseconds.
func skews(looks []glance, from, to time.Time) (all []float64) {
	for _, l := range within(looks, from, to) {
		for _, sound := range l.Streams {
			for _, sight := range l.Streams {
				if sound.Kind == "audio" && sight.Kind == "video" && sound.Participant != "" && sound.Participant == sight.Participant &&
					sound.Clock != 0 && sight.Clock != 0 {
					all = append(all, sight.Clock-sound.Clock)
				}
			}
		}
	}
	return all
}

// buffers are how long a browser kept sound and pictures before it played them, on average, in milliseconds.
func buffers(looks []glance, from, to time.Time) (sound, sight float64) {
	looks = within(looks, from, to)
	if len(looks) == 0 {
		return 0, 0
	}
	first := map[string]stream{}
	for _, s := range looks[0].Streams {
		first[s.MID] = s
	}
	var kept, played [2]float64
	for _, s := range looks[len(looks)-1].Streams {
		i := 0
		if s.Kind == "video" {
			i = 1
		}
		kept[i] += s.Buffered - first[s.MID].Buffered
		played[i] += s.Emitted - first[s.MID].Emitted
	}
	return 1000 * kept[0] / max(1, played[0]), 1000 * kept[1] / max(1, played[1])
}

// within are the looks of a time.
func within(looks []glance, from, to time.Time) (some []glance) {
	for _, l := range looks {
		if at := time.UnixMilli(int64(l.At)); !at.Before(from) && at.Before(to) {
			some = append(some, l)
		}
	}
	return some
}

// tellFreezes logs each freeze that counts, as it was first seen, in seconds since a moment.
func tellFreezes(t *testing.T, looks []glance, from, to time.Time) {
	t.Helper()
	last := motions{}
	for _, now := range within(looks, from, to) {
		for _, s := range now.Streams {
			if s.Kind != "video" {
				continue
			}
			var g gotten
			last.follow(&g, s, now.At)
			if g.frozen > 0 {
				t.Logf("%.2f s after the step slot %s, layer %s, has been frozen for %.0f ms more", (now.At-float64(from.UnixMilli()))/1000, s.MID, s.Layer, 1000*g.frozen)
			}
		}
	}
}

// quantile of numbers that need not be sorted, by nearest rank.
func quantile(of []float64, q float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// layerTraces are how many pictures are shown in each layer, and none, from a moment on.
func layerTraces(looks []glance, begun time.Time) (traces []plot.Trace) {
	for i, name := range []string{"paused", "q", "h", "f"} {
		trace := plot.Trace{Name: name, Steps: true}
		for _, l := range looks {
			count := 0
			for _, s := range l.Streams {
				if s.Kind == "video" && rank(s) == float64(i) {
					count++
				}
			}
			if x := l.At/1000 - float64(begun.UnixMilli())/1000; x >= 0 {
				trace.Points = append(trace.Points, plot.Point{X: x, Y: float64(count)})
			}
		}
		traces = append(traces, trace)
	}
	return traces
}
