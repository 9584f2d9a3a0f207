package node

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// wishes counts what a publisher of one layer is asked for.
type wishes struct {
	mu        sync.Mutex
	keyframes []time.Time
	again     []uint16 // packets asked for again
}

func (w *wishes) count() (keyframes, again int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.keyframes), len(w.again)
}

// answer films, with a keyframe only where one is asked for, and notes that.
func (c *client) answer() (w *wishes, camera Track) {
	c.t.Helper()
	w = &wishes{}
	track := c.publish()
	c.connect()
	key := make(chan struct{}, 1)
	key <- struct{}{}
	go func() {
		for {
			packets, _, err := c.sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range packets {
				w.mu.Lock()
				switch p := p.(type) {
				case *rtcp.PictureLossIndication:
					w.keyframes = append(w.keyframes, time.Now())
					select {
					case key <- struct{}{}:
					default:
					}
				case *rtcp.TransportLayerNack:
					for _, n := range p.Nacks {
						w.again = append(w.again, n.PacketList()...)
					}
				}
				w.mu.Unlock()
			}
		}
	}()
	c.send(track, 900, func(n int) []byte {
		select {
		case <-key:
			return vp8Frame(true, n)
		default:
			return vp8Frame(false, n)
		}
	}, nil)
	return w, c.peer.Tracks()[0]
}

// TestManyComeAtOnce: however many begin to watch a camera within five seconds, on whatever node, its publisher is asked for ten
// keyframes at most; and all see a picture soon.
func TestManyComeAtOnce(t *testing.T) {
	const everySoOften, within = 50 * time.Millisecond, 5 * time.Second
	w := regions(t, 20*time.Millisecond, "eu-1", "us-1", "us-2")
	alice := join(t, w.nodes["eu-1"], "pt_alice")
	asked, camera := alice.answer()
	nodes := []string{"eu-1", "us-1", "us-2"}
	for _, id := range nodes[1:] {
		w.view(id, "pt_first_"+id, camera, "eu-1").next()
	}
	before, _ := asked.count()
	var waits []time.Duration
	tick := time.NewTicker(everySoOften)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < within; <-tick.C {
		c := join(t, w.nodes[nodes[len(waits)%3]], "pt_"+newID(""))
		c.slots(1)
		c.connect()
		connected := time.Now()
		if p := c.next(); p.Payload[4]&1 != 0 {
			t.Error("does not begin with a keyframe")
		}
		waits = append(waits, time.Since(connected))
	}
	after, _ := asked.count()
	slices.Sort(waits)
	p95 := waits[len(waits)*95/100]
	t.Logf("%d viewers came: %d keyframes, first picture p50 %v p95 %v after connection", len(waits), after-before, waits[len(waits)/2], p95)
	if after-before > 10 {
		t.Errorf("%d keyframes were asked for", after-before)
	}
	if p95 > 400*time.Millisecond {
		t.Errorf("the first picture takes %v", p95)
	}
}

// TestWishesAreMerged: viewers on all nodes who ask for keyframes all the time make one of it each 200 ms, and what they ask for again
// comes from the caches on the way.
func TestWishesAreMerged(t *testing.T) {
	w := regions(t, 10*time.Millisecond, "eu-1", "us-1", "us-2")
	alice := join(t, w.nodes["eu-1"], "pt_alice")
	asked, camera := alice.answer()
	var people []*client
	for i, id := range []string{"eu-1", "us-1", "us-1", "us-2", "us-2", "us-2"} {
		c := w.view(id, "pt_viewer_"+string(rune('a'+i)), camera, "eu-1")
		c.next()
		people = append(people, c)
	}
	resent := w.nodes["eu-1"].count.resent // of all nodes of the process
	sent := resent.Value()
	before, _ := asked.count()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for time.Since(began) < 2*time.Second {
		<-tick.C
		for _, c := range people {
			c.complain(c.next())
			c.drain(0)
		}
	}
	after, again := asked.count()
	if most := int(time.Since(began)/keyframeInterval) + 1; after-before > most || after-before < 5 {
		t.Errorf("%d keyframes were asked for, want 5 to %d", after-before, most)
	}
	if again > 0 {
		t.Errorf("the publisher was asked for %d packets again", again)
	}
	got := resent.Value() - sent
	t.Logf("%d keyframes asked for, %d packets resent from caches", after-before, got)
	if got < 100 {
		t.Errorf("%d packets were sent again", got)
	}
	asked.mu.Lock()
	defer asked.mu.Unlock()
	for i := before + 1; i < len(asked.keyframes); i++ { // they may come closer together than they were sent
		if gap := asked.keyframes[i].Sub(asked.keyframes[i-1]); gap < keyframeInterval/2 {
			t.Errorf("two within %v", gap)
		}
	}
}

// TestKeyframeServesAllWhoAsked: who asks while one is on its way does not cost the publisher another.
func TestKeyframeServesAllWhoAsked(t *testing.T) {
	n := startNode(t)
	alice, bob := join(t, n, "pt_alice"), join(t, n, "pt_bob")
	asked, camera := alice.answer()
	bob.slots(1)
	bob.connect()
	watch := func(over time.Duration) (last *rtp.Packet) {
		for began := time.Now(); time.Since(began) < over; {
			last = bob.next()
		}
		return last
	}
	p := watch(2 * keyframeInterval)
	before, _ := asked.count()
	lost := &rtcp.PictureLossIndication{MediaSSRC: p.SSRC}
	if err := bob.pc.WriteRTCP([]rtcp.Packet{lost, lost}); err != nil {
		t.Fatal(err)
	}
	watch(2 * keyframeInterval)
	if after, _ := asked.count(); after-before != 1 {
		t.Errorf("%d keyframes of %s were asked for, want 1", after-before, camera.ID)
	}
}

// complain says that a packet was lost, and the picture with it.
func (c *client) complain(p *rtp.Packet) {
	c.t.Helper()
	err := c.pc.WriteRTCP([]rtcp.Packet{
		&rtcp.PictureLossIndication{MediaSSRC: p.SSRC},
		&rtcp.TransportLayerNack{MediaSSRC: p.SSRC, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{p.SequenceNumber})},
	})
	if err != nil {
		c.t.Fatal(err)
	}
}
