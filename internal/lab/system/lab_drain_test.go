package system_test

import (
	"encoding/binary"
	"fmt"
	"maps"
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
	w := lab.NewWorld(t, lab.Path{Delay: 40 * time.Millisecond}, "eu", "us")
	w.Voices = onNode // of all who send at once
	w.Populate(t, 2)
	meeting := w.NewMeeting(t, "A node drains").ID
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
		received, lost := 0, 0
		for _, from := range people {
			if !from.sends {
				continue
			}
			for _, p := range people {
				if p == from {
					continue
				}
				n, missing := p.missing(from.Self().ID, kind)
				received, lost = received+n, lost+len(missing)
				if n == 0 || len(missing) > 0 {
					t.Errorf("%s lost %d of %d %s frames of %s: %v", p.name, len(missing), n+len(missing), kind, from.name, missing)
				}
			}
		}
		figures.add(fmt.Sprintf("%s frames lost, of %d", kind, received+lost), lost, 0, verdict(lost == 0))
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

// cadence is somebody who notes which frames they receive, by the numbers that numbered sources write behind them.
type cadence struct {
	*client.Client
	name  string
	sends bool

	mu     sync.Mutex
	frames map[source]map[uint32]bool
	told   []string // of leaves, joins and tracks since begin
	began  bool
}

// numbered is a source that counts its frames and writes each one's number behind it. The layers of a picture have one number.
type numbered struct {
	client.Source
	count uint32
}

// Next implements client.Source.
func (n *numbered) Next() (client.Frame, error) {
	f, err := n.Source.Next()
	n.count++
	f.Data = binary.BigEndian.AppendUint32(slices.Clone(f.Data), n.count)
	return f, err
}

// frameNumber reads the number of a frame from its last packet, and reports whether the packet is one.
func frameNumber(p client.Packet) (uint32, bool) {
	payload := p.RTP.Payload
	if p.SentAt.IsZero() || len(payload) < client.StampSize+4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(payload[len(payload)-client.StampSize-4:]), true
}

func paced(tb testing.TB, n *lab.Node, meeting, name string, sends bool) *cadence {
	tb.Helper()
	p := &cadence{name: name, sends: sends, frames: map[source]map[uint32]bool{}}
	opts := client.Options{VideoSlots: 6, AudioSlots: 6, OnPacket: p.packet}
	if sends {
		stamped := client.PublicationOptions{Stamp: true}
		var layers []client.Layer
		for _, rid := range []string{"q", "h", "f"} {
			layers = append(layers, client.Layer{RID: rid, From: &numbered{Source: clip(tb, "vp8-"+rid+".ivf").Loop()}})
		}
		opts.Publish = []*client.Publication{
			client.NewPublication(client.SourceCamera, stamped, layers...),
			client.NewPublication(client.SourceMicrophone, stamped, client.Layer{From: &numbered{Source: clip(tb, "tone.ogg").Loop()}}),
		}
	}
	p.Client = n.Region.Join(tb, n, meeting, client.JoinOptions{DisplayName: name}, opts)
	go p.listen()
	return p
}

func (p *cadence) packet(pkt client.Packet) {
	number, ok := frameNumber(pkt)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := source{pkt.Slot.ParticipantID, pkt.Slot.Kind}
	if p.frames[key] == nil {
		p.frames[key] = map[uint32]bool{}
	}
	p.frames[key][number] = true
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

// missing counts the frames that were received, and lists the numbers of those between them that were not.
func (p *cadence) missing(participant, kind string) (received int, missing []uint32) {
	p.mu.Lock()
	own := slices.Sorted(maps.Keys(p.frames[source{participant, kind}]))
	p.mu.Unlock()
	for i, number := range own {
		if i > 0 {
			for lost := own[i-1] + 1; lost < number; lost++ {
				missing = append(missing, lost)
			}
		}
	}
	return len(own), missing
}
