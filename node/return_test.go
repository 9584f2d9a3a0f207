package node

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// restart makes another path for media, as a client does whose network has changed.
func (c *client) restart() {
	c.t.Helper()
	offer, err := c.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err == nil {
		err = c.pc.SetLocalDescription(offer)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := c.peer.Offer(c.t.Context(), Offer{SDP: offer.SDP})
	if err == nil {
		err = c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP})
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func isKeyframe(p *rtp.Packet) bool { return len(p.Payload) > 4 && p.Payload[4] == 0 }

// Who is back over a new path gets a keyframe without asking, and so do those who show what it sends.
func TestReturnersBringKeyframes(t *testing.T) {
	for _, tc := range []struct {
		name string
		who  func(alice, bob *client) *client
	}{
		{"a receiver", func(_, bob *client) *client { return bob }},
		{"a sender", func(alice, _ *client) *client { return alice }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := startNode(t)
			alice, bob, camera := meet(t, n, n)
			alice.film(camera)
			for !isKeyframe(bob.next()) { //nolint:revive // the first picture
			}
			for range 100 { // what was asked for at the beginning has come
				bob.next()
			}
			tc.who(alice, bob).restart()
			deadline := time.After(2 * time.Second)
			for {
				select {
				case p := <-bob.media:
					if isKeyframe(p) {
						return
					}
				case <-deadline:
					t.Fatal("no keyframe came")
				}
			}
		})
	}
}

// mobile is a UDP socket whose address changes without its user knowing, as that of a client does whose NAT forgets it. It
// implements net.PacketConn.
type mobile struct {
	in   chan received
	end  chan struct{} // closed by Close
	once sync.Once

	mu    sync.Mutex // protects following
	now   *net.UDPConn
	check []byte // the newest that was sent
}

type received struct {
	data []byte
	from net.Addr
}

func newMobile(t *testing.T) *mobile {
	t.Helper()
	m := &mobile{in: make(chan received, 1024), end: make(chan struct{})}
	m.rebind(t)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// rebind goes on from another port. What is sent to the one before is lost.
func (m *mobile) rebind(t *testing.T) {
	t.Helper()
	next, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	last := m.now
	m.now = next
	m.mu.Unlock()
	if last != nil {
		_ = last.Close()
	}
	go func() {
		for {
			b := make([]byte, 1500)
			n, from, err := next.ReadFrom(b)
			if err != nil {
				return
			}
			select {
			case m.in <- received{b[:n], from}:
			case <-m.end:
				return
			}
		}
	}()
}

func (m *mobile) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case r := <-m.in:
		return copy(b, r.data), r.from, nil
	case <-m.end:
		return 0, nil, net.ErrClosed
	}
}

func (m *mobile) WriteTo(b []byte, to net.Addr) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(b) > 2 && b[0] == 0 && b[1] == 1 { // a request (RFC 8489)
		m.check = append([]byte(nil), b...)
	}
	return m.now.WriteTo(b, to)
}

func (m *mobile) Close() error {
	m.once.Do(func() { close(m.end) })
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now.Close()
}

func (m *mobile) LocalAddr() net.Addr {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now.LocalAddr()
}

func (m *mobile) lastCheck() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.check
}

func (m *mobile) SetDeadline(time.Time) error      { return nil }
func (m *mobile) SetReadDeadline(time.Time) error  { return nil }
func (m *mobile) SetWriteDeadline(time.Time) error { return nil }

// over has a client use the socket, and check its path often.
func over(m *mobile) how {
	return func(se *webrtc.SettingEngine) {
		se.SetICEUDPMux(webrtc.NewICEUDPMux(nil, m))
		se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
		se.SetICETimeouts(5*time.Second, 10*time.Second, 200*time.Millisecond)
	}
}

// A client whose NAT gives it another port is followed there, both ways, without a restart.
func TestRebindingIsFollowed(t *testing.T) {
	n := startNode(t)
	socket := newMobile(t)
	alice, bob := join(t, n, "pt_alice"), join(t, n, "pt_bob", over(socket))
	camera := alice.publish()
	alice.connect()
	bob.slots(1)
	bob.connect()
	alice.film(camera)
	for range 100 {
		bob.next()
	}
	bob.report()
	for range 3 {
		socket.rebind(t)
		bob.drain(50 * time.Millisecond) // what was on its way
		start := time.Now()
		for range 10 {
			bob.next()
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("followed after %s", took)
		}
	}
}

// report sends receiver reports until the test ends.
func (c *client) report() {
	meanwhile(c.t, 50*time.Millisecond, func() error { return c.pc.WriteRTCP([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: 1}}) })
}

// A check that somebody has overheard and repeats from elsewhere leads nothing there.
func TestRepeatedChecksAreNotFollowed(t *testing.T) {
	n := startNode(t)
	socket := newMobile(t)
	alice, bob := join(t, n, "pt_alice"), join(t, n, "pt_bob", over(socket))
	camera := alice.publish()
	alice.connect()
	bob.slots(1)
	bob.connect()
	alice.film(camera)
	for range 50 {
		bob.next()
	}
	stranger, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(n.endpoint.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	for range 20 {
		if _, err := stranger.Write(socket.lastCheck()); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			bob.next()
		}
	}
	if err := stranger.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 1500); ; {
		k, err := stranger.Read(buf)
		if err != nil {
			return
		}
		if k > 0 && buf[0] > 3 {
			t.Fatalf("%d bytes of media reached a stranger", k)
		}
	}
}
