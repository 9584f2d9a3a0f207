package system_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

// A node drains in the middle of a meeting. Everybody on it comes over to other nodes, and nobody, there or elsewhere,
// misses a frame of anybody. The network loses nothing here, so that what is missing was lost by the move.
func TestLabDrain(t *testing.T) {
	const (
		onNode   = 6 // participants who are moved, half of whom send
		deadline = time.Minute
	)
	w := lab.StartWorld(t, lab.Path{Delay: 40 * time.Millisecond}, 2, "eu", "us")
	meeting := w.Regions[0].Nodes[0].NewMeeting(t, "A node drains", nil).ID
	leaving := w.Regions[0].Nodes[0]
	var people []*cadence
	for i := range onNode {
		people = append(people, paced(t, leaving, meeting, fmt.Sprint("Mover ", i+1), i%2 == 0))
	}
	for _, n := range []*lab.Node{w.Regions[0].Nodes[1], w.Regions[1].Nodes[0], w.Regions[1].Nodes[1]} {
		people = append(people, paced(t, n, meeting, "Speaker on "+n.ID, true), paced(t, n, meeting, "Viewer on "+n.ID, false))
	}
	for _, p := range people {
		lab.Until(t, 30*time.Second, p.name+" has media of all who send", func() bool { return p.complete(people) })
	}
	for _, p := range people {
		p.begin()
	}
	time.Sleep(3 * time.Second)
	started := time.Now()
	if status := w.Regions[1].Nodes[0].Call(t, http.MethodPost, "/v1/cluster/nodes/"+leaving.ID+"/drain", nil, nil); status != http.StatusNoContent {
		t.Fatalf("drain = %d", status)
	}
	lab.Until(t, deadline, "the node is empty", func() bool { return participantsOn(t, w.Regions[1].Nodes[0], leaving.ID) == 0 })
	took := time.Since(started)
	time.Sleep(3 * time.Second)

	figures := newTable(t, "what", "measured", "bound", "")
	figures.add(fmt.Sprintf("%d participants have moved after", onNode), took, deadline, verdict(took < deadline))
	for _, kind := range []string{"video", "audio"} {
		received, lost, worst := 0, 0, time.Duration(0)
		for _, p := range people {
			for _, from := range people {
				if from == p || !from.sends {
					continue
				}
				n, holes, longest := p.holes(from.Self().ID, kind)
				received, lost, worst = received+n, lost+holes, max(worst, longest)
				if n == 0 || holes > 0 {
					t.Errorf("%s lost %d of %d %s frames of %s, %s at once", p.name, holes, n+holes, kind, from.name, longest)
				}
			}
		}
		figures.add(fmt.Sprintf("%s frames lost, of %d", kind, received+lost), lost, 0, verdict(lost == 0))
		figures.add("longest time between two "+kind+" frames as sent", worst, "", "")
	}
	for _, p := range people {
		if gone := p.strangeness(); len(gone) > 0 {
			t.Errorf("%s was told of %v", p.name, gone)
		}
		if n := len(p.Participants()); n != len(people) {
			t.Errorf("%s knows %d participants, want %d", p.name, n, len(people))
		}
	}
}

// participantsOn is how many participants a node carries, as another one tells.
func participantsOn(tb testing.TB, ask *lab.Node, id string) int {
	tb.Helper()
	var answer struct {
		Rooms []struct {
			Node         string `json:"node"`
			Participants int    `json:"participants"`
		} `json:"rooms"`
	}
	ask.Call(tb, http.MethodGet, "/v1/cluster/rooms", nil, &answer)
	sum := 0
	for _, r := range answer.Rooms {
		if r.Node == id {
			sum += r.Participants
		}
	}
	return sum
}

// cadence is somebody who notes when the frames that they receive were sent: what is missing shows as a hole between two.
type cadence struct {
	*client.Client
	name  string
	sends bool

	mu     sync.Mutex
	frames map[source]map[time.Time]bool
	told   []string // of leaves, joins and tracks since begin
	began  bool
}

// frameEvery is the time between two frames as the clips have them.
func frameEvery(kind string) time.Duration {
	if kind == "video" {
		return time.Second / 15
	}
	return 20 * time.Millisecond
}

func paced(tb testing.TB, n *lab.Node, meeting, name string, sends bool) *cadence {
	tb.Helper()
	p := &cadence{name: name, sends: sends, frames: map[source]map[time.Time]bool{}}
	opts := client.Options{VideoSlots: 6, AudioSlots: 6, OnPacket: p.packet}
	if sends {
		stamped := client.PublicationOptions{Stamp: true}
		var layers []client.Layer
		for _, rid := range []string{"q", "h", "f"} {
			layers = append(layers, client.Layer{RID: rid, From: clip(tb, "vp8-"+rid+".ivf").Loop()})
		}
		opts.Publish = []*client.Publication{
			client.NewPublication(client.SourceCamera, stamped, layers...),
			client.NewPublication(client.SourceMicrophone, stamped, client.Layer{From: clip(tb, "tone.ogg").Loop()}),
		}
	}
	p.Client = n.Region.Join(tb, n, meeting, client.JoinOptions{DisplayName: name}, opts)
	go p.listen()
	return p
}

func (p *cadence) packet(pkt client.Packet) {
	if pkt.SentAt.IsZero() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := source{pkt.Slot.ParticipantID, pkt.Slot.Kind}
	if p.frames[key] == nil {
		p.frames[key] = map[time.Time]bool{}
	}
	p.frames[key][pkt.SentAt] = true
}

// listen notes what must not be seen of a move.
func (p *cadence) listen() {
	for e := range p.Events() {
		what := ""
		switch e := e.(type) {
		case client.ParticipantsJoined:
			what = fmt.Sprintf("joined %v", e.Participants)
		case client.ParticipantsLeft:
			what = fmt.Sprintf("left %v", e.Participants)
		case client.TrackPublished:
			what = "published " + e.Track.ID
		case client.TrackUnpublished:
			what = "unpublished " + e.Track.ID
		default:
			continue
		}
		p.mu.Lock()
		if p.began {
			p.told = append(p.told, what)
		}
		p.mu.Unlock()
	}
}

func (p *cadence) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.frames)
	p.told, p.began = nil, true
}

func (p *cadence) strangeness() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told)
}

// complete says whether there is media of everybody else who sends.
func (p *cadence) complete(of []*cadence) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, from := range of {
		if from == p || !from.sends {
			continue
		}
		for _, kind := range []string{"audio", "video"} {
			if len(p.frames[source{from.Self().ID, kind}]) < 10 {
				return false
			}
		}
	}
	return true
}

// holes counts the frames that were received, and those that are missing between them.
func (p *cadence) holes(participant, kind string) (received, missing int, longest time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var times []time.Time
	for at := range p.frames[source{participant, kind}] {
		times = append(times, at)
	}
	slices.SortFunc(times, time.Time.Compare)
	for i, at := range times {
		if i == 0 {
			continue
		}
		between := at.Sub(times[i-1])
		longest = max(longest, between)
		missing += max(0, int((between+frameEvery(kind)/2)/frameEvery(kind))-1)
	}
	return len(times), missing, longest
}
