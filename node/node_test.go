package node

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if !servePaced() {
		goleak.VerifyTestMain(m)
	}
}

// events collects what a peer is told.
type events struct {
	mu        sync.Mutex
	slots     []Slot
	before    [][]Slot // what slots was
	wanted    map[string][]string
	spatial   map[string]int
	changed   chan struct{}
	connected chan struct{}
	once      sync.Once
}

func newEvents() *events {
	return &events{wanted: map[string][]string{}, spatial: map[string]int{}, changed: make(chan struct{}, 1), connected: make(chan struct{})}
}

func (e *events) note(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

func (e *events) TrackUnpublished(Track) {}
func (e *events) SlotsChanged(s []Slot) {
	e.note(func() { e.slots, e.before = s, append(e.before, s) })
}

func (e *events) LayersWanted(id string, l []string, spatial int) {
	e.note(func() { e.wanted[id], e.spatial[id] = l, spatial })
}
func (e *events) Connected()         { e.once.Do(func() { close(e.connected) }) }
func (e *events) Disconnected(error) {}

// until waits for a condition on what was told.
func (e *events) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	e.within(t, 5*time.Second, what, ok)
}

func (e *events) within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	for {
		if e.hold(ok) {
			return
		}
		select {
		case <-e.changed:
		case <-deadline:
			t.Fatalf("never: %s; slots %+v, wanted %v", what, e.slots, e.wanted)
		}
	}
}

// hold reports whether a condition on what was told holds.
func (e *events) hold(ok func() bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return ok()
}

type silent struct{}

func (silent) SpeakersChanged(string, []Speaker) {}

func startNode(t testing.TB) *Node { return startNodeOn(t, "127.0.0.1:0") }

func startNodeOn(t testing.TB, listen string) *Node { return startMember(t, listen, nil) }

func startMember(t testing.TB, listen string, cluster *Cluster) *Node {
	n, _ := startStoppable(t, listen, cluster)
	return n
}

// startStoppable runs a node until stop is called or the test ends.
func startStoppable(t testing.TB, listen string, cluster *Cluster, advertise ...string) (n *Node, stop func()) {
	t.Helper()
	cfg := Defaults()
	cfg.Media.Listen, cfg.Media.Advertise = listen, advertise
	n, err := New(cfg, silent{}, cluster, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return n, stop
}

// client is a stock pion client of the node.
type client struct {
	t      testing.TB
	pc     *webrtc.PeerConnection
	peer   *Peer
	events *events
	media  chan *rtp.Packet
	sender *webrtc.RTPSender
	former []Track        // what the participant published over an earlier connection
	paused atomic.Uint32  // layers of a simulcast that are not sent, as bits
	more   [maxLayers]int // bytes by which the pictures of a layer are larger than others
	sizes  [maxLayers]int // payloads of a simulcast's layers in bytes; 0 is any
}

// how a client differs from the usual.
type how func(*webrtc.SettingEngine)

func join(t testing.TB, n *Node, id string, differently ...how) *client {
	t.Helper()
	c := &client{t: t, events: newEvents(), media: make(chan *rtp.Packet, 4096)}
	me := &webrtc.MediaEngine{}
	if err := me.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	for uri, kind := range map[string]webrtc.RTPCodecType{
		uriMID: webrtc.RTPCodecTypeVideo, uriRID: webrtc.RTPCodecTypeVideo, uriDescriptor: webrtc.RTPCodecTypeVideo, uriAudioLevel: webrtc.RTPCodecTypeAudio,
	} {
		if err := me.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, kind); err != nil {
			t.Fatal(err)
		}
	}
	se := webrtc.SettingEngine{}
	se.SetIncludeLoopbackCandidate(true)
	for _, d := range differently {
		d(&se)
	}
	// Without the interceptor that sends reports: who tests clocks sends the only ones.
	interceptors := &interceptor.Registry{}
	if err := errors.Join(webrtc.ConfigureNack(me, interceptors), webrtc.ConfigureTWCCSender(me, interceptors)); err != nil {
		t.Fatal(err)
	}
	var err error
	c.pc, err = webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithSettingEngine(se), webrtc.WithInterceptorRegistry(interceptors)).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	c.pc.OnTrack(func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := tr.ReadRTP()
			if err != nil {
				return
			}
			select {
			case c.media <- p:
			default:
			}
		}
	})
	c.peer, err = n.Join(PeerConfig{
		Room: "mtg_1", Participant: id, CanPublish: true, Events: c.events, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.peer.Close()
		if err := c.pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *client) publish() *webrtc.TrackLocalStaticRTP {
	c.t.Helper()
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "v", "s")
	if err != nil {
		c.t.Fatal(err)
	}
	tr, err := c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		c.t.Fatal(err)
	}
	c.sender = tr.Sender()
	return track
}

func (c *client) slots(n int) {
	c.t.Helper()
	for range n {
		_, err := c.pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo,
			webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *client) connect() {
	c.t.Helper()
	c.offerWith(func(sdp string) string { return sdp })
}

// offerWith connects with an offer that was changed on its way.
func (c *client) offerWith(change func(string) string) {
	c.t.Helper()
	c.exchange(change, func(answer string) string { return answer })
}

// connectWith connects with an answer that was changed on its way.
func (c *client) connectWith(change func(string) string) {
	c.t.Helper()
	c.exchange(func(offer string) string { return offer }, change)
}

func (c *client) exchange(change, changeBack func(string) string) {
	c.t.Helper()
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.pc.SetLocalDescription(offer); err != nil {
		c.t.Fatal(err)
	}
	answer, err := c.peer.Offer(c.t.Context(), Offer{SDP: change(offer.SDP), Former: c.former})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: changeBack(answer.SDP)}); err != nil {
		c.t.Fatalf("%v in\n%s", err, answer.SDP)
	}
	select {
	case <-c.events.connected:
	case <-time.After(5 * time.Second):
		c.t.Fatal("never connected")
	}
}

// meet brings alice with a camera to one node and bob with a slot to another, which may be the same.
func meet(t testing.TB, a, b *Node) (alice, bob *client, camera *webrtc.TrackLocalStaticRTP) {
	t.Helper()
	alice, bob = join(t, a, "pt_alice"), join(t, b, "pt_bob")
	camera = alice.publish()
	alice.connect()
	bob.slots(1)
	bob.connect()
	return alice, bob, camera
}

// film publishes a picture every five milliseconds, a keyframe whenever one is asked for, until the test ends.
func (c *client) film(track *webrtc.TrackLocalStaticRTP) {
	c.t.Helper()
	plis := make(chan struct{}, 1)
	ctx, stop := context.WithCancel(c.t.Context())
	var wg sync.WaitGroup
	c.t.Cleanup(func() { stop(); wg.Wait() })
	go func() {
		for {
			ps, _, err := c.sender.ReadRTCP()
			if err != nil {
				return
			}
			for _, p := range ps {
				if _, ok := p.(*rtcp.PictureLossIndication); ok {
					select {
					case plis <- struct{}{}:
					default:
					}
				}
			}
		}
	}()
	wg.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		key := true
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-plis:
				key = true
			case <-tick.C:
			}
			p := &rtp.Packet{
				Header:  rtp.Header{Version: 2, Marker: true, SequenceNumber: uint16(65500 + i), Timestamp: uint32(i * 450)},
				Payload: vp8Frame(key, i),
			}
			key = false
			if track.WriteRTP(p) != nil {
				return
			}
		}
	})
}

// next returns the next packet of media.
func (c *client) next() *rtp.Packet {
	c.t.Helper()
	select {
	case p := <-c.media:
		return p
	case <-time.After(5 * time.Second):
		c.t.Fatal("no packet")
		return nil
	}
}

// drain takes what comes within a time and returns how many packets that were.
func (c *client) drain(within time.Duration) (packets int) {
	over := time.After(within)
	for {
		select {
		case <-c.media:
			packets++
		case <-over:
			return packets
		}
	}
}

// vp8Frame is one packet that a VP8 depacketizer takes for a whole picture.
func vp8Frame(key bool, n int) []byte {
	first := byte(1)
	if key {
		first = 0
	}
	b := []byte{0x90, 0x80, 0x80 | byte(n>>8&0x7f), byte(n), first, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01}
	return append(b, make([]byte, 500)...)
}

func TestMediaReachesTheOthersAndNotOneself(t *testing.T) {
	n := startNode(t)
	alice, bob := join(t, n, "pt_alice"), join(t, n, "pt_bob")
	track := alice.publish()
	alice.slots(1)
	alice.connect()
	bob.slots(2)
	bob.connect()
	alice.film(track)
	var last *rtp.Packet
	for range 200 {
		p := bob.next()
		if last == nil && p.Payload[4]&1 != 0 {
			t.Fatal("the first packet is not of a keyframe")
		}
		if last != nil && p.SequenceNumber != last.SequenceNumber+1 {
			t.Fatalf("sequence %d after %d", p.SequenceNumber, last.SequenceNumber)
		}
		last = p
	}
	if len(alice.media) != 0 {
		t.Error("alice received her own track")
	}
	bob.events.until(t, "a slot shows alice", func() bool {
		return len(bob.events.slots) == 2 && bob.events.slots[0].ParticipantID == "pt_alice" && bob.events.slots[0].State == SlotActive
	})
	if s := alice.peer.Slots(); len(s) != 1 || s[0].State != SlotEmpty {
		t.Errorf("alice's slots: %+v", s)
	}
}

func TestOfferThatCannotBeUsed(t *testing.T) {
	n := startNode(t)
	c := join(t, n, "pt_x")
	many := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + strings.Repeat("\nm=", 10000)
	for name, sdp := range map[string]string{"empty": "", "garbage": "hello", "10,000 m-lines": many, "too big": strings.Repeat("x", 200<<10)} {
		t.Run(name, func(t *testing.T) {
			_, err := c.peer.Offer(t.Context(), Offer{SDP: sdp})
			if e := AsError(err); err == nil || e.Kind != Invalid || e.Code != "bad_sdp" {
				t.Errorf("error %v", err)
			}
		})
	}
}
