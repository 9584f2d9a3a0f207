package node_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"github.com/parley-sfu/parley/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// events collects what a peer is told.
type events struct {
	mu        sync.Mutex
	slots     []node.Slot
	wanted    map[string][]string
	changed   chan struct{}
	connected chan struct{}
	once      sync.Once
}

func newEvents() *events {
	return &events{wanted: map[string][]string{}, changed: make(chan struct{}, 1), connected: make(chan struct{})}
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

func (e *events) TrackPublished(node.Track)   {}
func (e *events) TrackUnpublished(node.Track) {}
func (e *events) SlotsChanged(s []node.Slot)  { e.note(func() { e.slots = s }) }
func (e *events) LayersWanted(id string, l []string) {
	e.note(func() { e.wanted[id] = l })
}
func (e *events) Connected()         { e.once.Do(func() { close(e.connected) }) }
func (e *events) Disconnected(error) {}

// until waits for a condition on what was told.
func (e *events) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for {
		e.mu.Lock()
		done := ok()
		e.mu.Unlock()
		if done {
			return
		}
		select {
		case <-e.changed:
		case <-deadline:
			t.Fatalf("never: %s; slots %+v, wanted %v", what, e.slots, e.wanted)
		}
	}
}

type silent struct{}

func (silent) SpeakersChanged(string, []node.Speaker) {}

func startNode(t *testing.T) *node.Node {
	t.Helper()
	cfg := node.Defaults()
	cfg.Media.Listen = "127.0.0.1:0"
	n, err := node.New(cfg, silent{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return n
}

// client is a stock pion client of the node.
type client struct {
	t      *testing.T
	pc     *webrtc.PeerConnection
	peer   *node.Peer
	events *events
	media  chan *rtp.Packet
	sender *webrtc.RTPSender
}

func join(t *testing.T, n *node.Node, id string) *client {
	t.Helper()
	c := &client{t: t, events: newEvents(), media: make(chan *rtp.Packet, 4096)}
	me := &webrtc.MediaEngine{}
	if err := me.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	se := webrtc.SettingEngine{}
	se.SetIncludeLoopbackCandidate(true)
	var err error
	c.pc, err = webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithSettingEngine(se)).NewPeerConnection(webrtc.Configuration{})
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
	c.peer, err = n.Join(node.PeerConfig{
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
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.pc.SetLocalDescription(offer); err != nil {
		c.t.Fatal(err)
	}
	answer, err := c.peer.Offer(c.t.Context(), node.Offer{SDP: offer.SDP})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP}); err != nil {
		c.t.Fatalf("%v in\n%s", err, answer.SDP)
	}
	select {
	case <-c.events.connected:
	case <-time.After(5 * time.Second):
		c.t.Fatal("never connected")
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
	plis := make(chan struct{}, 100)
	go func() {
		for {
			ps, _, err := alice.sender.ReadRTCP()
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
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
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
			p := &rtp.Packet{Header: rtp.Header{Version: 2, Marker: true, SequenceNumber: uint16(65500 + i), Timestamp: uint32(i * 450)}, Payload: vp8Frame(key, i)}
			key = false
			if err := track.WriteRTP(p); err != nil {
				return
			}
		}
	})
	var last *rtp.Packet
	for i := range 200 {
		select {
		case p := <-bob.media:
			if last == nil && p.Payload[4]&1 != 0 {
				t.Fatal("the first packet is not of a keyframe")
			}
			if last != nil && p.SequenceNumber != last.SequenceNumber+1 {
				t.Fatalf("sequence %d after %d", p.SequenceNumber, last.SequenceNumber)
			}
			last = p
		case <-time.After(5 * time.Second):
			t.Fatalf("only %d packets", i)
		}
	}
	stop()
	if len(alice.media) != 0 {
		t.Error("alice received her own track")
	}
	bob.events.until(t, "a slot shows alice", func() bool {
		return len(bob.events.slots) == 2 && bob.events.slots[0].ParticipantID == "pt_alice" && bob.events.slots[0].State == node.SlotActive
	})
	if s := alice.peer.Slots(); len(s) != 1 || s[0].State != node.SlotEmpty {
		t.Errorf("alice's slots: %+v", s)
	}
}

func TestOfferThatCannotBeUsed(t *testing.T) {
	n := startNode(t)
	c := join(t, n, "pt_x")
	many := "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + strings.Repeat("\nm=", 10000)
	for name, sdp := range map[string]string{"empty": "", "garbage": "hello", "10,000 m-lines": many, "too big": strings.Repeat("x", 200<<10)} {
		t.Run(name, func(t *testing.T) {
			_, err := c.peer.Offer(t.Context(), node.Offer{SDP: sdp})
			if e := node.AsError(err); err == nil || e.Kind != node.Invalid || e.Code != "bad_sdp" {
				t.Errorf("error %v", err)
			}
		})
	}
}
