package node

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/internal/packet"
)

const (
	quietLevel = 127
	noLevel    = 1000 // packets do not tell
)

// talker is somebody with a microphone, which says in every packet who it is and how many came before.
type talker struct {
	*client
	level atomic.Uint32
	sent  atomic.Uint32 // packets
}

// talkers are people on one node with open microphones and audio slots; the first of their packets' bytes tells them apart.
func (w *wan) talkers(node string, first, count int, level uint32) (people []*talker) {
	for i := first; i < first+count; i++ {
		c := &talker{client: join(w.t, w.nodes[node], fmt.Sprintf("pt_%d", i))}
		c.level.Store(level)
		voice := c.speak()
		c.hears(3)
		c.connect()
		c.talk(voice, byte(i))
		people = append(people, c)
	}
	return people
}

// speak adds a microphone.
func (c *talker) speak() *webrtc.TrackLocalStaticRTP {
	c.t.Helper()
	voice, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, "a", "s")
	if err != nil {
		c.t.Fatal(err)
	}
	tr, err := c.pc.AddTransceiverFromTrack(voice, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		c.t.Fatal(err)
	}
	c.sender = tr.Sender()
	return voice
}

// hears adds audio slots.
func (c *client) hears(slots int) {
	c.t.Helper()
	for range slots {
		if _, err := c.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			c.t.Fatal(err)
		}
	}
}

// talk sends a packet every 20 ms until the test ends.
func (c *talker) talk(track *webrtc.TrackLocalStaticRTP, who byte) {
	id := uint8(0)
	for _, e := range c.sender.GetParameters().HeaderExtensions {
		if e.URI == uriAudioLevel {
			id = uint8(e.ID)
		}
	}
	stop, done := make(chan struct{}), make(chan struct{})
	c.t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := uint32(0); ; n++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			level := c.level.Load()
			p := &rtp.Packet{
				Header:  rtp.Header{Version: 2, SequenceNumber: uint16(n), Timestamp: n * 960},
				Payload: binary.BigEndian.AppendUint32([]byte{who}, n),
			}
			if level < 100 {
				level |= 0x80 // a voice
			}
			if level != noLevel && p.SetExtension(id, []byte{byte(level)}) != nil || track.WriteRTP(p) != nil {
				return
			}
			c.sent.Store(n + 1)
		}
	}()
}

// announce tells every node of the microphones of all others.
func (w *wan) announce(people map[string][]*talker) {
	for from, some := range people {
		for to := range people {
			for _, c := range some {
				if from != to {
					w.nodes[to].AddRemote("mtg_1", c.peer.Tracks()[0], from)
				}
			}
		}
	}
}

// order is the speakers that a node has told last.
func (n *Node) order() string {
	r := n.roomOf("mtg_1")
	r.hearing.mu.Lock()
	defer r.hearing.mu.Unlock()
	var ids []string
	for _, s := range r.hearing.told {
		ids = append(ids, s.ParticipantID)
	}
	return strings.Join(ids, " ")
}

// assembly is eight people on three nodes in two regions, one of which is a leaf behind a gateway.
func assembly(t *testing.T) (w *wan, all []*talker) {
	w = regions(t, 40*time.Millisecond, "eu-1", "us-1", "us-2")
	people := map[string][]*talker{"eu-1": w.talkers("eu-1", 0, 3, quietLevel), "us-1": w.talkers("us-1", 3, 3, quietLevel), "us-2": w.talkers("us-2", 6, 2, quietLevel)}
	w.announce(people)
	for _, id := range []string{"eu-1", "us-1", "us-2"} {
		all = append(all, people[id]...)
		eventually(t, "everybody is pulled", func() bool {
			feeds := w.nodes[id].feedList()
			return len(feeds) == 8-len(people[id]) && !slices.ContainsFunc(feeds, func(f *feed) bool { return !f.begun() })
		})
	}
	return w, all
}

// TestOneOrder: whoever speaks in turn or at once, all nodes have one order of speakers within 300 ms for 99 % of the time, and
// nobody changes places without a reason.
func TestOneOrder(t *testing.T) {
	w, all := assembly(t)
	nodes := []*Node{w.nodes["eu-1"], w.nodes["us-1"], w.nodes["us-2"]}
	var samples [][3]string
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				samples = append(samples, [3]string{nodes[0].order(), nodes[1].order(), nodes[2].order()})
			}
		}
	}()
	random := rand.New(rand.NewPCG(1, 2))
	turns := 0
	for began := time.Now(); time.Since(began) < 9*time.Second; turns++ {
		for _, c := range all {
			c.level.Store(quietLevel)
		}
		for _, i := range random.Perm(len(all))[:1+random.IntN(5)] { // up to five at once
			all[i].level.Store(uint32(20 + random.IntN(15)))
		}
		time.Sleep(time.Duration(700+random.IntN(1000)) * time.Millisecond)
	}
	close(stop)
	<-done
	const window = 30
	apart, changes := 0, 0
	for i := window; i < len(samples); i++ {
		if !agree(samples[i-window : i+1]) {
			apart++
		}
		if samples[i][2] != samples[i-1][2] {
			changes++
		}
	}
	share := float64(apart) / float64(len(samples)-window)
	t.Logf("%d turns, %d changes of the order; apart for more than 300 ms in %.2f %% of %d samples", turns, changes, 100*share, len(samples))
	if share > 0.01 || len(samples) < 500 {
		t.Errorf("the nodes are apart in %.2f %% of %d samples", 100*share, len(samples))
	}
	if changes > 10*turns || changes == 0 {
		t.Errorf("the order changed %d times in %d turns", changes, turns)
	}
}

// agree reports whether there is one order that every node has had within the window.
func agree(window [][3]string) bool {
	return slices.ContainsFunc(window, func(s [3]string) bool {
		for n := range s {
			if !slices.ContainsFunc(window, func(o [3]string) bool { return o[n] == s[0] }) {
				return false
			}
		}
		return true
	})
}

// When more speak than are heard, the order stands still all the same: those who are not heard do not come and go.
func TestManyAtOnce(t *testing.T) {
	w, all := assembly(t)
	for _, c := range all {
		c.level.Store(25)
	}
	order := w.nodes["us-1"].order
	eventually(t, "four are named", func() bool { return len(strings.Fields(order())) == 4 })
	time.Sleep(time.Second) // who began first leads
	before := order()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if now := order(); now != before {
			t.Fatalf("%q after %q", now, before)
		}
	}
}

// TestQuietStayHome: of eight microphones a link carries the four that are chosen, and of the others a sign of life; who begins
// to speak is heard on the other side from the first packet on.
func TestQuietStayHome(t *testing.T) {
	w, all := assembly(t)
	for _, c := range []*talker{all[3], all[4], all[6], all[7]} { // nobody of eu-1
		c.level.Store(25)
	}
	viewer := all[7]
	chosen := func(people ...*talker) func() bool {
		return func() bool {
			for _, id := range []string{"eu-1", "us-1", "us-2"} {
				r := w.nodes[id].roomOf("mtg_1")
				r.mu.Lock()
				loud := slices.Clone(r.loud)
				r.mu.Unlock()
				for _, c := range people {
					if !slices.Contains(loud, c.peer.Tracks()[0].ID) {
						return false
					}
				}
			}
			return true
		}
	}
	eventually(t, "those who speak are chosen", chosen(all[3], all[4], all[6], all[7]))
	sent := func(i int) uint32 {
		return w.nodes["eu-1"].relay("us-1").outlet(feedKey{all[i].peer.Tracks()[0].ID, "eu-1"}).packets(0)
	}
	time.Sleep(500 * time.Millisecond) // what hangs on
	before := [3]uint32{sent(0), sent(1), sent(2)}
	time.Sleep(2500 * time.Millisecond)
	for i, had := range before {
		if n := sent(i) - had; n < 1 || n > 2 {
			t.Errorf("%d packets of a quiet microphone crossed in 2.5 s", n)
		}
	}
	heard := make(chan uint32, 4096)
	var collecting sync.WaitGroup
	stop := make(chan struct{})
	collecting.Go(func() {
		for {
			select {
			case p := <-viewer.media:
				if p.Payload[0] == 0 {
					heard <- binary.BigEndian.Uint32(p.Payload[1:])
				}
			case <-stop:
				return
			}
		}
	})
	whole := 0
	for turn := range 3 {
		all[3].level.Store(quietLevel) // makes room
		time.Sleep(900 * time.Millisecond)
		for len(heard) > 0 {
			<-heard
		}
		all[0].level.Store(25)
		from := all[0].sent.Load() + 1 // one may be on its way still
		time.Sleep(800 * time.Millisecond)
		got := map[uint32]int{}
		for len(heard) > 0 {
			got[<-heard]++
		}
		first := slices.Min(append(keys(got), from+1000))
		missing := 0
		for n := from; n < from+25; n++ {
			if got[n] == 0 {
				missing++
			}
			if got[n] > 1 {
				t.Errorf("packet %d came %d times", n, got[n])
			}
		}
		t.Logf("turn %d: %d packets of the first half second are missing; it began with %d packets from before", turn, missing, int(from)-int(first))
		if missing == 0 {
			whole++
		}
		all[0].level.Store(quietLevel)
		time.Sleep(800 * time.Millisecond)
		all[3].level.Store(25)
		eventually(t, "the former is back", chosen(all[3]))
	}
	close(stop)
	collecting.Wait()
	if whole < 2 { // a busy machine may be late once
		t.Errorf("%d of 3 speakers were heard from the first packet on", whole)
	}
}

// TestNobodyTellsLevels: in a room with many microphones that say nothing of how loud they are, the first are heard.
func TestNobodyTellsLevels(t *testing.T) {
	w := regions(t, 0, "eu-1", "us-1")
	people := map[string][]*talker{"eu-1": w.talkers("eu-1", 0, 5, noLevel), "us-1": w.talkers("us-1", 5, 1, noLevel)}
	w.announce(people)
	heard := map[byte]int{}
	eventually(t, "three are heard", func() bool {
		for _, c := range []*talker{people["us-1"][0], people["eu-1"][4]} {
			select {
			case p := <-c.media:
				heard[p.Payload[0]]++
			default:
			}
		}
		return heard[0] > 50 && heard[1] > 50 && heard[2] > 50
	})
}

func keys(m map[uint32]int) (all []uint32) {
	for k := range m {
		all = append(all, k)
	}
	return all
}

// TestConductorGoes: when the node dies that conducts a room, another goes on from where it was.
func TestConductorGoes(t *testing.T) {
	w, all := assembly(t)
	all[4].level.Store(25)
	all[6].level.Store(25)
	us := func() bool { return w.nodes["us-1"].order() == w.nodes["us-2"].order() }
	conducts := func(id string) bool {
		r := w.nodes[id].roomOf("mtg_1")
		r.hearing.mu.Lock()
		defer r.hearing.mu.Unlock()
		return r.hearing.own.yes
	}
	eventually(t, "eu-1 conducts alone", func() bool { return conducts("eu-1") && !conducts("us-1") && !conducts("us-2") })
	eventually(t, "both are named", func() bool { return len(strings.Fields(w.nodes["us-2"].order())) == 2 && us() })
	before := w.nodes["us-2"].order()
	w.cut("eu-1", true)
	eventually(t, "us-1 conducts", func() bool { return conducts("us-1") })
	if got := w.nodes["us-2"].order(); got != before {
		t.Errorf("the order is %q, and was %q", got, before)
	}
	for _, c := range all[3:6] { // nobody of us-1 is open any more
		c.peer.SetMuted(Microphone, true)
		w.nodes["us-2"].MuteRemote(c.peer.Tracks()[0].ID, true)
	}
	eventually(t, "us-2 conducts", func() bool { return conducts("us-2") && !conducts("us-1") })
}

func FuzzWord(f *testing.F) {
	w := word{Room: "mtg_1", Conductor: "eu-1", Number: 7, Speakers: []packet.Speaker{{ID: "tr_1", Level: 30}}, Heard: []string{"tr_1", ""}}
	b, err := w.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := readWord(b)
		if err != nil {
			return
		}
		again, err := w.encode()
		if err != nil {
			return // longer in our own spelling
		}
		if o, err := readWord(again); err != nil || o.Room != w.Room || o.Number != w.Number || len(o.Heard) != len(w.Heard) {
			t.Errorf("%+v became %+v: %v", w, o, err)
		}
	})
}
