package system_test

import (
	"crypto/sha256"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp/codecs"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

// What is published in one region reaches a viewer two hops away unchanged and in time: from the origin over the link
// between regions to the other region's gateway, and from there to a leaf.
func TestLabTwoHops(t *testing.T) {
	w := lab.StartWorld(t, lab.Overseas(), 2, "eu", "us")
	meeting := w.NewMeeting(t, "Two hops").ID
	origin := w.Regions[0].Nodes[0]
	sent := &frameLog{frames: map[[32]byte]int{}}
	publish(t, origin, meeting, sent)
	viewers := map[*lab.Node]*scrutiny{}
	for _, n := range w.Regions[1].Nodes {
		viewers[n] = &scrutiny{packets: map[string][]packet{}}
		look(t, n, meeting, viewers[n])
	}
	for n, v := range viewers {
		lab.Until(t, 20*time.Second, "media at "+n.ID, func() bool { return v.enough() })
	}
	taps := []*lab.Tap{w.Regions[0].Tap(t), w.Regions[1].Tap(t)}
	for _, v := range viewers {
		v.begin()
	}
	time.Sleep(howMuch().watch)
	atOrigin, atGateway := taps[0].Stop(t), taps[1].Stop(t)

	gateway, leaf := w.Regions[1].Nodes[0], w.Regions[1].Nodes[1]
	fromAbroad := func(n *lab.Node) bool {
		return slices.ContainsFunc(atGateway, func(s lab.Sighting) bool { return !s.Out && s.From == origin.Media && s.To == n.Media })
	}
	if fromAbroad(leaf) {
		gateway, leaf = leaf, gateway
	}
	if !fromAbroad(gateway) || fromAbroad(leaf) {
		t.Fatal("both nodes of the region pull from abroad, or none")
	}

	figures := newTable(t, "what", "of", "p50", "p99", "most", "bound", "")
	for _, hop := range []struct {
		name  string
		delay []time.Duration
	}{
		{"origin", hopDelay(atOrigin, func(s lab.Sighting) bool { return s.To == origin.Media }, func(s lab.Sighting) bool { return s.From == origin.Media && s.To == gateway.Media })},
		{"gateway", hopDelay(atGateway, func(s lab.Sighting) bool { return s.From == origin.Media }, func(s lab.Sighting) bool { return s.From == gateway.Media && s.To == leaf.Media })},
	} {
		bound := howMuch().hop
		p99 := percentile(hop.delay, 99)
		figures.add("delay added by the "+hop.name, len(hop.delay), percentile(hop.delay, 50), p99, percentile(hop.delay, 100), bound, verdict(p99 <= bound))
		if len(hop.delay) == 0 || p99 > bound {
			t.Errorf("the %s adds %s in 1 of 100 of %d packets", hop.name, p99, len(hop.delay))
		}
	}
	v := viewers[leaf]
	whole, altered := v.compare(sent)
	figures.add("frames after two hops that are as sent", whole, "", "", "", "all", verdict(whole > 0 && altered == 0))
	if whole == 0 || altered > 0 {
		t.Errorf("%d frames are as sent, %d are not", whole, altered)
	}
	skews := v.skews()
	const skewBound = 20 * time.Millisecond
	figures.add("sound and picture apart after two hops", len(skews), percentile(skews, 50), percentile(skews, 99), percentile(skews, 100), skewBound, verdict(percentile(skews, 100) <= skewBound))
	if len(skews) == 0 || percentile(skews, 100) > skewBound {
		t.Errorf("sound and picture are up to %s apart, of %d measured", percentile(skews, 100), len(skews))
	}
	for _, kind := range []string{"audio", "video"} {
		latency := v.latencies(kind)
		figures.add(kind+" from publisher to viewer, two hops and 40 ms away", len(latency), percentile(latency, 50), percentile(latency, 99), percentile(latency, 100), "", "")
	}
}

// hopDelay returns how long each packet took through a node, whose links keep sequence numbers and timestamps.
func hopDelay(seen []lab.Sighting, in, out func(lab.Sighting) bool) (delay []time.Duration) {
	type key struct {
		sequence  uint16
		timestamp uint32
	}
	came := map[key]time.Time{}
	for _, s := range seen {
		k := key{s.Sequence, s.Timestamp}
		if !s.Out && in(s) {
			came[k] = s.At
		}
		if s.Out && out(s) {
			if at, ok := came[k]; ok {
				delay = append(delay, s.At.Sub(at))
				delete(came, k)
			}
		}
	}
	return delay
}

// publish brings somebody into the meeting whose frames are logged and carry the time at which they were sent.
func publish(tb testing.TB, n *lab.Node, meeting string, log *frameLog) *client.Client {
	tb.Helper()
	layers := []client.Layer{}
	for _, rid := range []string{"q", "h", "f"} {
		layers = append(layers, client.Layer{RID: rid, From: log.of(clip(tb, "vp8-"+rid+".ivf").Loop())})
	}
	opts := client.PublicationOptions{Stamp: true}
	c := n.Region.Join(tb, n, meeting, client.JoinOptions{DisplayName: "Publisher"}, client.Options{Publish: []*client.Publication{
		client.NewPublication(client.SourceCamera, opts, layers...),
		client.NewPublication(client.SourceMicrophone, opts, client.Layer{From: log.of(clip(tb, "tone.ogg").Loop())}),
	}})
	go drain(c)
	return c
}

// look brings somebody into the meeting who looks closely at what comes.
func look(tb testing.TB, n *lab.Node, meeting string, v *scrutiny) {
	tb.Helper()
	go drain(n.Region.Join(tb, n, meeting, client.JoinOptions{DisplayName: "Viewer", Role: "viewer"}, client.Options{OnPacket: v.packet}))
}

// frameLog knows the frames that were sent.
type frameLog struct {
	mu     sync.Mutex
	frames map[[32]byte]int
}

func (l *frameLog) of(s client.Source) client.Source { return &logged{s, l} }

// logged is a source whose frames are logged.
type logged struct {
	client.Source
	log *frameLog
}

// Next implements client.Source.
func (l *logged) Next() (client.Frame, error) {
	f, err := l.Source.Next()
	l.log.mu.Lock()
	defer l.log.mu.Unlock()
	l.log.frames[sha256.Sum256(f.Data)]++
	return f, err
}

// packet is what a scrutiny keeps of one.
type packet struct {
	sequence                  uint16
	timestamp                 uint32
	marker                    bool
	payload                   []byte
	arrived, sentAt, captured time.Time
}

// scrutiny keeps every packet that a viewer receives.
type scrutiny struct {
	mu      sync.Mutex
	packets map[string][]packet // by kind
}

func (v *scrutiny) packet(p client.Packet) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.packets[p.Slot.Kind] = append(v.packets[p.Slot.Kind], packet{
		p.RTP.SequenceNumber, p.RTP.Timestamp, p.RTP.Marker, slices.Clone(p.RTP.Payload), p.Arrived, p.SentAt, p.Captured,
	})
}

func (v *scrutiny) enough() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.packets["audio"]) > 50 && len(v.packets["video"]) > 50
}

func (v *scrutiny) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.packets)
}

// compare puts the frames together again and says how many of those that are whole were sent so.
func (v *scrutiny) compare(sent *frameLog) (same, altered int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	frames := [][]byte{}
	for _, p := range v.packets["audio"] {
		frames = append(frames, p.payload)
	}
	byTime := map[uint32][]packet{}
	for _, p := range v.packets["video"] {
		byTime[p.timestamp] = append(byTime[p.timestamp], p)
	}
	for _, packets := range byTime {
		if f, ok := assemble(packets); ok {
			frames = append(frames, f)
		}
	}
	sent.mu.Lock()
	defer sent.mu.Unlock()
	for _, f := range frames {
		if len(f) > client.StampSize && sent.frames[sha256.Sum256(f[:len(f)-client.StampSize])] > 0 {
			same++
		} else {
			altered++
		}
	}
	return same, altered
}

// assemble puts a VP8 frame (RFC 7741) together. It is false for one of which something is missing.
func assemble(packets []packet) (frame []byte, whole bool) {
	slices.SortFunc(packets, func(a, b packet) int { return int(int16(a.sequence - b.sequence)) })
	for i, p := range packets {
		var vp8 codecs.VP8Packet
		if _, err := vp8.Unmarshal(p.payload); err != nil || i == 0 && (vp8.S == 0 || vp8.PID != 0) || i > 0 && p.sequence != packets[i-1].sequence+1 {
			return nil, false
		}
		frame = append(frame, vp8.Payload...)
	}
	return frame, packets[len(packets)-1].marker
}

// skews are how far apart sound and picture of one moment are at the viewer, by what the sender reports say of each: for
// each picture, against the sound that was sent just before it.
func (v *scrutiny) skews() (skews []time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	type reading struct {
		at     time.Time
		offset time.Duration // of the capture time by sender reports from that in the frame
	}
	readings := map[string][]reading{}
	for kind, packets := range v.packets {
		for _, p := range packets {
			if !p.sentAt.IsZero() && !p.captured.IsZero() {
				readings[kind] = append(readings[kind], reading{p.sentAt, p.captured.Sub(p.sentAt)})
			}
		}
		slices.SortFunc(readings[kind], func(a, b reading) int { return a.at.Compare(b.at) })
	}
	sound := readings["audio"]
	for _, picture := range readings["video"] {
		i, _ := slices.BinarySearchFunc(sound, picture.at, func(r reading, at time.Time) int { return r.at.Compare(at) })
		if i > 0 {
			skews = append(skews, (picture.offset - sound[i-1].offset).Abs())
		}
	}
	return skews
}

// latencies are from when frames were sent to when their last packets arrived.
func (v *scrutiny) latencies(kind string) (latencies []time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	first := map[uint32]time.Duration{}
	for _, p := range v.packets[kind] {
		if _, known := first[p.timestamp]; !known && !p.sentAt.IsZero() {
			first[p.timestamp] = p.arrived.Sub(p.sentAt)
		}
	}
	return slices.Collect(maps.Values(first))
}
