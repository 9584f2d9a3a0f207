package system_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parley-sfu/parley/bench/plot"
	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// The meeting of the tests of bandwidth: nine cameras in three sizes, of which three talk, and a home in which people only watch.
const (
	stageCameras = 9
	stageVoices  = 3
	stageQueue   = 300 * time.Millisecond // of the home's bottleneck: much more than is promised
)

// A stage is a meeting whose cameras are beside its node, and a home with a narrow way to it.
type stage struct {
	t       *testing.T
	world   *lab.World
	node    *lab.Node
	home    *lab.Home
	meeting lab.Meeting
	senders []*client.Client // one a camera
	films   int              // cameras in browsers
	server  string           // address of another server than the node, if there is one
}

// newStage makes the meeting and the home, with that way in between. Where the senders stamp what they send, browsers cannot play it.
func newStage(t *testing.T, way lab.Path, cameras int, stamp bool) *stage {
	t.Helper()
	w := lab.StartWorld(t, lab.Path{}, 1, "eu")
	s := &stage{t: t, world: w, node: w.Nodes()[0], meeting: w.NewMeeting(t, "Bandwidth")}
	s.home = lab.NewHome(t, w, lab.Open().Over(way))
	s.shape(way)
	s.senders = publishReels(t, s.node, s.meeting.ID, cameras, stamp)
	return s
}

// shape changes the way to the home; the way back has its delay and its losses, and no bottleneck.
func (s *stage) shape(down lab.Path) {
	up := down
	up.Rate = 0
	s.home.Shape(down, up)
}

// publishReels brings cameras in one after the other, so that their keyframes, one a second, do not come all together.
func publishReels(t *testing.T, n *lab.Node, meeting string, cameras int, stamp bool) (all []*client.Client) {
	t.Helper()
	begun := time.Now()
	for i := range cameras {
		time.Sleep(time.Until(begun.Add(time.Duration(i) * time.Second / time.Duration(cameras))))
		all = append(all, publishReel(t, n, meeting, i, stamp))
	}
	return all
}

// publishReel brings in a camera of a number, with three layers of 0.15, 0.45 and 1.1 Mbit/s; the first have a microphone too.
func publishReel(t *testing.T, n *lab.Node, meeting string, number int, stamp bool) *client.Client {
	t.Helper()
	layer := func(rid, name string) client.Layer {
		clip, err := client.LoadClip(filepath.Join(lab.Root(t), "bench", "reel", "clips", name))
		if err != nil {
			t.Fatal(err)
		}
		return client.Layer{RID: rid, From: clip.Loop()}
	}
	how := client.PublicationOptions{Stamp: stamp, Level: client.ConstantLevel(uint8(20 + 5*number))}
	publish := []*client.Publication{client.NewPublication(client.SourceCamera, how, layer("q", "q.ivf"), layer("h", "h.ivf"), layer("f", "f.ivf"))}
	if number < stageVoices {
		publish = append(publish, client.NewPublication(client.SourceMicrophone, how, layer("", "voice.ogg")))
	}
	c := n.Region.Join(t, n, meeting, client.JoinOptions{DisplayName: fmt.Sprint("Camera ", number+1)}, client.Options{
		VideoSlots: client.NoSlots, AudioSlots: client.NoSlots, Publish: publish,
	})
	go drain(c)
	return c
}

// watch brings a client in Go into the home, who would like all pictures large.
func (s *stage) watch(name string) *spectator {
	s.t.Helper()
	clocks := newClocks()
	opts := client.Options{VideoSlots: len(s.senders), AudioSlots: stageVoices, OnPacket: clocks.packet}
	c := s.home.Join(s.t, s.node, s.meeting.ID, client.JoinOptions{DisplayName: name, Role: "viewer"}, opts)
	go drain(c)
	askLarge(s.t, c)
	return watchClient(s.t, c, clocks)
}

// askLarge asks for the largest pictures in all slots.
func askLarge(t *testing.T, c *client.Client) {
	t.Helper()
	var slots []wire.SlotRequest
	for _, one := range c.SlotStats() {
		if one.Slot.Kind == "video" {
			slots = append(slots, wire.SlotRequest{MID: one.Slot.MID, MaxWidth: 1280, MaxHeight: 720})
		}
	}
	if err := c.Subscribe(t.Context(), slots...); err != nil {
		t.Fatal(err)
	}
}

// full says whether all of issue 6's figures are to be taken, by their own bounds, or a short form of each, where other tests may
// be at work.
func full() bool { return os.Getenv("LAB_FULL") != "" }

// either is the one value in a full run and the other in a short one.
func either[T any](inFull, inShort T) T {
	if full() {
		return inFull
	}
	return inShort
}

// percent is a share as people read it.
func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }

// megabits is a rate as people read it.
func megabits(rate float64) string { return fmt.Sprintf("%.2f Mbit/s", rate/1e6) }

// judge notes a figure and fails the test when it is not within its bound.
func judge(t *testing.T, figures *table, good bool, cells ...any) {
	t.Helper()
	figures.add(append(cells, verdict(good))...)
	if !good {
		t.Errorf("not met: %v", cells)
	}
}

// tellLate says what the machine has added to the network since it was asked last: with much of it figures are not the node's alone.
func tellLate(t *testing.T, w *lab.World) {
	t.Helper()
	t.Logf("the lab's network was up to %s late", w.WAN.Late().Round(time.Millisecond/10))
}

// picture keeps a timeline among the results.
func picture(t *testing.T, name string, line plot.Timeline) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "timeline.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if err := line.WriteSVG(file); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	width, height := line.Size()
	lab.Picture(t, name, svg, width, height)
}
