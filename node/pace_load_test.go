package node

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"

	"github.com/parley-sfu/parley/internal/packet"
	"github.com/parley-sfu/parley/internal/udp"
)

// crowd is everybody on one server: publishers, which are stock clients, and viewers, which joined as such and then do no more
// than read their sockets and answer checks.
type crowd struct {
	tracks    []*pacedTrack
	began     time.Time
	measuring atomic.Bool

	mu   sync.Mutex
	late []int32 // microseconds that packets were on their way
}

type pacedTrack struct {
	*webrtc.TrackLocalStaticRTP
	sequence uint16
}

// seated is a viewer.
type seated struct {
	conn     *udp.Conn
	password string // of its ICE
}

func (l paced) gather(b *testing.B, s *pacedServer) *crowd {
	b.Helper()
	c := &crowd{began: time.Now()}
	group, err := udp.NewGroup[*seated]()
	if err != nil {
		b.Fatal(err)
	}
	var seats []*seated
	for room := range l.rooms {
		for i := range l.publishers {
			c.tracks = append(c.tracks, c.publisher(b, l, s, roomName(room), i))
		}
		for i := range l.viewers {
			v := l.viewer(b, s, roomName(room), i)
			if err := group.Add(v.conn, v); err != nil {
				b.Fatal(err)
			}
			seats = append(seats, v)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.read(group) })
	b.Cleanup(func() {
		_ = group.Close()
		wg.Wait()
		for _, v := range seats {
			_ = v.conn.Close()
		}
	})
	return c
}

// read serves the viewers' sockets.
func (c *crowd) read(group *udp.Group[*seated]) {
	ms := make([]udp.Message, 64)
	for i := range ms {
		ms[i].Buf = make([]byte, 1500)
	}
	_ = group.Run(ms, func(v *seated, ms []udp.Message) {
		for i := range ms {
			switch p := ms[i].Buf[:ms[i].N]; {
			case len(p) < 20:
			case p[0] < 4:
				v.answer(p, ms[i].From)
			case packet.IsRTPorRTCP(p) && !packet.IsRTCP(p) && c.measuring.Load():
				c.mu.Lock()
				c.late = append(c.late, int32(uint32(time.Since(c.began).Microseconds())-binary.BigEndian.Uint32(p[4:])))
				c.mu.Unlock()
			}
		}
	}, func() {})
}

func (v *seated) answer(request []byte, to udp.Addr) {
	m := &stun.Message{Raw: append([]byte(nil), request...)}
	if m.Decode() != nil || m.Type != stun.BindingRequest {
		return
	}
	own := v.conn.LocalAddr()
	r, err := stun.Build(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: own.Addr().AsSlice(), Port: int(own.Port())},
		stun.NewShortTermIntegrity(v.password), stun.Fingerprint)
	if err == nil {
		_, _ = v.conn.WriteTo(r.Raw, to)
	}
}

func pacedClient(b *testing.B) *webrtc.PeerConnection {
	b.Helper()
	me := &webrtc.MediaEngine{}
	if err := me.RegisterDefaultCodecs(); err != nil {
		b.Fatal(err)
	}
	se := webrtc.SettingEngine{}
	se.SetIncludeLoopbackCandidate(true)
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithMediaEngine(me), webrtc.WithSettingEngine(se), webrtc.WithInterceptorRegistry(&interceptor.Registry{})).
		NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		b.Fatal(err)
	}
	return pc
}

func connectPaced(b *testing.B, pc *webrtc.PeerConnection, s *pacedServer, room, id string) {
	b.Helper()
	connected := make(chan struct{})
	var once sync.Once
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(connected) })
		}
	})
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := pc.SetLocalDescription(offer); err != nil {
		b.Fatal(err)
	}
	reply, err := s.ask(paceRequest{Room: room, ID: id, SDP: offer.SDP})
	if err != nil {
		b.Fatal(err)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: reply.SDP}); err != nil {
		b.Fatal(err)
	}
	select {
	case <-connected:
	case <-time.After(10 * time.Second):
		b.Fatal("never connected")
	}
}

func (l paced) mime() string {
	if l.kind == Audio {
		return webrtc.MimeTypeOpus
	}
	return webrtc.MimeTypeVP8
}

func (c *crowd) publisher(b *testing.B, l paced, s *pacedServer, room string, i int) *pacedTrack {
	b.Helper()
	pc := pacedClient(b)
	b.Cleanup(func() { _ = pc.GracefulClose() })
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: l.mime()}, "t", "s")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		b.Fatal(err)
	}
	connectPaced(b, pc, s, room, fmt.Sprintf("pt_publisher_%d", i))
	return &pacedTrack{TrackLocalStaticRTP: track}
}

// viewer joins, and goes on as no more than a socket.
func (l paced) viewer(b *testing.B, s *pacedServer, room string, i int) *seated {
	b.Helper()
	pc := pacedClient(b)
	kind := webrtc.RTPCodecTypeVideo
	if l.kind == Audio {
		kind = webrtc.RTPCodecTypeAudio
	}
	for range l.publishers {
		if _, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			b.Fatal(err)
		}
	}
	connectPaced(b, pc, s, room, fmt.Sprintf("pt_viewer_%d", i))
	pair, err := pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil {
		b.Fatal(err)
	}
	_, password, _ := strings.Cut(pc.LocalDescription().SDP, "a=ice-pwd:")
	password, _, _ = strings.Cut(password, "\r\n")
	if err := pc.GracefulClose(); err != nil {
		b.Fatal(err)
	}
	conn, err := udp.Listen(udp.Config{Listen: netip.AddrPortFrom(netip.MustParseAddr(pair.Local.Address), pair.Local.Port), ReceiveBuffer: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	return &seated{conn, password}
}

// publish sends at the load's pace, publishers evenly apart, until stop. Timestamps are the microseconds since the crowd began.
func (c *crowd) publish(l paced, stop <-chan struct{}) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for i, track := range c.tracks {
		wg.Go(func() {
			begin := time.Now().Add(l.every * time.Duration(i) / time.Duration(len(c.tracks)))
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Until(begin.Add(time.Duration(n) * l.every))):
				}
				for k := range l.burst {
					c.write(track, l, n, k)
				}
			}
		})
	}
}

func (c *crowd) write(track *pacedTrack, l paced, n, k int) {
	payload := vp8Frame(k == 0 && time.Duration(n)*l.every < 1200*time.Millisecond, n)[:14]
	if k > 0 {
		payload[0] &^= 0x10 // no start of a partition
	}
	payload = append(payload, make([]byte, l.size-len(payload))...)
	track.sequence++
	at := uint32(time.Since(c.began).Microseconds())
	_ = track.WriteRTP(&rtp.Packet{Header: rtp.Header{
		Version: 2, SequenceNumber: track.sequence, Timestamp: at, Marker: k == l.burst-1,
	}, Payload: payload})
}
