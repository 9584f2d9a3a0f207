package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/signal/wire"
)

// fakeServer speaks enough of the protocol to test the client alone: it answers offers with a pion peer connection of its
// own, keeps what it receives by mid and rid, and sends what a test tells it to.
type fakeServer struct {
	t      *testing.T
	http   *httptest.Server
	handle func(s *fakeSession, e wire.Envelope, raw []byte) bool // true: handled; nil: the usual answers

	sessions chan *fakeSession
	tracks   chan *webrtc.TrackRemote
	up       chan struct{} // a token for each peer connection that can send

	mu    sync.Mutex
	pc    *webrtc.PeerConnection
	slots []*webrtc.TrackLocalStaticRTP // video
}

// fakeSession is one socket, as the server sees it.
type fakeSession struct {
	server *fakeServer
	conn   *websocket.Conn
	token  string

	mu  sync.Mutex
	seq uint64
}

func newFakeServer(t *testing.T) *fakeServer {
	t.Helper()
	f := &fakeServer{t: t, sessions: make(chan *fakeSession, 16), tracks: make(chan *webrtc.TrackRemote, 16)}
	f.up = make(chan struct{}, 16)
	f.http = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(func() {
		f.http.Close()
		f.mu.Lock()
		pc := f.pc
		f.mu.Unlock()
		if pc != nil {
			_ = pc.GracefulClose()
		}
	})
	return f
}

func (f *fakeServer) ticket() Ticket {
	return Ticket{
		ParticipantID: "pt_self", JoinToken: "join", SFUEndpoint: "127.0.0.1:1",
		SignalEndpoint: "ws" + strings.TrimPrefix(f.http.URL, "http") + "/v1/signal",
	}
}

func (f *fakeServer) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return
	}
	defer conn.CloseNow() //nolint:errcheck // a test is over
	conn.SetReadLimit(1 << 20)
	s := &fakeSession{server: f, conn: conn, token: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
	f.sessions <- s
	for {
		_, data, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		var e wire.Envelope
		if err := json.Unmarshal(data, &e); err != nil {
			f.t.Errorf("client sent %q: %v", data, err)
			return
		}
		if f.handle == nil || !f.handle(s, e, data) {
			s.answer(e, data)
		}
	}
}

func (s *fakeSession) send(e wire.Envelope, body any) {
	data, err := wire.Encode(e, body)
	if err != nil {
		s.server.t.Error(err)
		return
	}
	if err := s.conn.Write(context.Background(), websocket.MessageText, data); err != nil {
		s.server.t.Logf("fake server: %v", err)
	}
}

// event sends the next numbered event.
func (s *fakeSession) event(kind string, body any) {
	s.mu.Lock()
	s.seq++
	seq := s.seq
	s.mu.Unlock()
	s.send(wire.Envelope{Type: kind, Seq: seq}, body)
}

func (s *fakeSession) snapshot() {
	s.event(wire.TypeSnapshot, wire.Snapshot{
		Self:         wire.Participant{ID: "pt_self", Role: "attendee"},
		Participants: []wire.Participant{{ID: "pt_self", Role: "attendee"}},
		ResumeToken:  "resume",
	})
}

// answer does what the real server does.
func (s *fakeSession) answer(e wire.Envelope, raw []byte) {
	switch e.Type {
	case wire.TypeHello, wire.TypeOffer:
		var offer wire.Offer
		if err := json.Unmarshal(raw, &offer); err != nil {
			s.server.t.Error(err)
		}
		if offer.SDPOffer != "" {
			s.send(wire.Envelope{Type: wire.TypeAnswer, ReplyTo: e.ID}, wire.Answer{SDPAnswer: s.server.negotiate(offer.SDPOffer)})
		}
		if e.Type == wire.TypeHello {
			s.snapshot()
		}
	default:
		if e.ID != "" {
			s.send(wire.Envelope{Type: wire.TypeOK, ReplyTo: e.ID}, struct{}{})
		}
	}
}

// negotiate answers an offer, making the peer connection for the first one.
func (f *fakeServer) negotiate(offer string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pc == nil {
		f.pc = f.newPeer()
	}
	check := func(err error) {
		if err != nil {
			f.t.Errorf("fake server: %v", err)
		}
	}
	check(f.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}))
	for _, t := range f.pc.GetTransceivers() {
		if t.Kind() != webrtc.RTPCodecTypeVideo || t.Direction() != webrtc.RTPTransceiverDirectionSendonly || t.Sender() != nil {
			continue
		}
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "slot", "slot")
		check(err)
		sender, err := f.pc.AddTrack(track)
		check(err)
		go drain(sender)
		f.slots = append(f.slots, track)
	}
	answer, err := f.pc.CreateAnswer(nil)
	check(err)
	gathered := webrtc.GatheringCompletePromise(f.pc)
	check(f.pc.SetLocalDescription(answer))
	<-gathered
	return f.pc.LocalDescription().SDP
}

// drain reads a sender's RTCP, without which pion answers no NACK.
func drain(sender *webrtc.RTPSender) {
	buf := make([]byte, maxDatagram)
	for {
		if _, _, err := sender.Read(buf); err != nil {
			return
		}
	}
}

func (f *fakeServer) newPeer() *webrtc.PeerConnection {
	engine, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := engine.RegisterDefaultCodecs(); err != nil {
		f.t.Error(err)
	}
	if err := webrtc.RegisterDefaultInterceptors(engine, registry); err != nil {
		f.t.Error(err)
	}
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetInterfaceFilter(func(name string) bool { return name == "lo" })
	if err := settings.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		f.t.Error(err)
	}
	api := webrtc.NewAPI(
		webrtc.WithMediaEngine(engine), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings),
	)
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		f.t.Error(err)
	}
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			f.up <- struct{}{}
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) { f.tracks <- track })
	return pc
}

// next returns the next socket that the client opens.
func (f *fakeServer) next(t *testing.T) *fakeSession {
	t.Helper()
	select {
	case s := <-f.sessions:
		return s
	case <-time.After(10 * time.Second):
		t.Fatal("the client opened no socket")
		return nil
	}
}

// connect joins and leaves with the test.
func connect(t *testing.T, ticket Ticket, opts Options) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := Connect(ctx, ticket, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// await reads events until one satisfies the test.
func await[E Event](t *testing.T, c *Client, what string, ok func(E) bool) E {
	t.Helper()
	limit := time.After(15 * time.Second)
	for {
		select {
		case event, more := <-c.Events():
			if !more {
				t.Fatalf("the client ended before %s", what)
			}
			if e, is := event.(E); is && (ok == nil || ok(e)) {
				return e
			}
		case <-limit:
			t.Fatalf("no %s within 15 s", what)
		}
	}
}

// awaitMedia waits until media can flow, also when the event that says so was read already.
func awaitMedia(t *testing.T, c *Client) {
	t.Helper()
	if c.MediaState() != MediaConnected {
		await(t, c, "media", func(e MediaStateChanged) bool { return e.State == MediaConnected })
	}
}

// readPacket returns the next packet of a track, with a limit.
func readPacket(t *testing.T, track *webrtc.TrackRemote) *rtp.Packet {
	t.Helper()
	if err := track.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	p, _, err := track.ReadRTP()
	if err != nil {
		t.Fatalf("read %s: %v", track.RID(), err)
	}
	return p
}

// trackWriter lets a sender of the client write into a track of the fake server.
type trackWriter struct {
	track *webrtc.TrackLocalStaticRTP
	count int
}

func (w *trackWriter) WriteRTP(header *rtp.Header, payload []byte) (int, error) {
	w.count++
	return len(payload), w.track.WriteRTP(&rtp.Packet{Header: *header, Payload: payload})
}

func (w *trackWriter) Write([]byte) (int, error) { return 0, errNotBound }
