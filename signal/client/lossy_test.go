package client

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// lossyConn drops a share of the RTP packets that go through it, either way. STUN, DTLS and RTCP pass.
type lossyConn struct {
	net.PacketConn
	percent int
	dead    atomic.Bool // nothing at all passes

	mu      sync.Mutex
	random  *rand.Rand
	dropped atomic.Int64
}

func (l *lossyConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, addr, err := l.PacketConn.ReadFrom(b)
		if err != nil || !l.drops(b[:n]) {
			return n, addr, err
		}
	}
}

func (l *lossyConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if l.drops(b) {
		return len(b), nil
	}
	return l.PacketConn.WriteTo(b, addr)
}

// drops tells RTP from the rest by its first two bytes (RFC 5761, section 4; RFC 7983).
func (l *lossyConn) drops(b []byte) bool {
	if l.dead.Load() {
		return true
	}
	if len(b) < 12 || b[0] < 128 || b[0] > 191 || (b[1] >= 192 && b[1] <= 223) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.random.IntN(100) >= l.percent {
		return false
	}
	l.dropped.Add(1)
	return true
}

// lossy gives a client a network of its own that loses a share of its media.
func lossy(t *testing.T, percent int) (func(*webrtc.SettingEngine), *lossyConn) {
	t.Helper()
	socket, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conn := &lossyConn{PacketConn: socket, percent: percent, random: rand.New(rand.NewPCG(1, 2))}
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn})
	t.Cleanup(func() {
		_ = mux.Close()
		_ = socket.Close()
	})
	return func(s *webrtc.SettingEngine) { s.SetICEUDPMux(mux) }, conn
}

// TestLossIsRepaired loses 5 % of the media between the publisher and the node, and again between the node and the
// subscriber.
func TestLossIsRepaired(t *testing.T) {
	server := newRealServer(t)
	up, upLoss := lossy(t, 5)
	down, downLoss := lossy(t, 5)
	pubs := person(t)
	a := server.join(Options{Publish: pubs, tune: up})
	b := server.join(Options{tune: down})
	eventually(t, b, "sound and picture", flows(b, a))
	start, _ := receiving(b, a.Self().ID, SourceCamera)
	sent := pubs[0].Sent()[2].Frames
	eventually(t, b, "six seconds of picture", func() bool { return pubs[0].Sent()[2].Frames >= sent+90 })
	var end SlotStats
	eventually(t, b, "the same pictures", func() bool {
		end, _ = receiving(b, a.Self().ID, SourceCamera)
		return end.Frames >= start.Frames+85
	})
	if upLoss.dropped.Load() == 0 || downLoss.dropped.Load() == 0 || end.Missed == 0 {
		t.Fatalf("nothing was lost: up %d, down %d, missed %d", upLoss.dropped.Load(), downLoss.dropped.Load(), end.Missed)
	}
	if end.Lost*100 > end.Packets {
		t.Errorf("%d of %d packets lost for good", end.Lost, end.Packets)
	}
	if end.LongestFreeze > time.Second { // the budget is kept by the tests that have a machine to themselves
		t.Errorf("%d freezes, the longest of %s", end.Freezes, end.LongestFreeze)
	}
	t.Logf("dropped up %d, down %d; %+v", upLoss.dropped.Load(), downLoss.dropped.Load(), end)
}

// TestDeadPathIsRestarted cuts the media path alone. The client notices, asks for a new one over the socket that still
// works, and gets it once the network is back.
func TestDeadPathIsRestarted(t *testing.T) {
	server := newRealServer(t)
	down, network := lossy(t, 0)
	a := server.join(Options{Publish: person(t)})
	b := server.join(Options{tune: down})
	eventually(t, b, "sound and picture", flows(b, a))
	_, answer := exchanges(b)
	network.dead.Store(true)
	await(t, b, "the path to be missed", func(e MediaStateChanged) bool { return e.State == MediaDisconnected })
	eventually(t, b, "an ICE restart", func() bool {
		_, now := exchanges(b)
		return now != answer
	})
	network.dead.Store(false)
	await(t, b, "the path to be back", func(e MediaStateChanged) bool { return e.State == MediaConnected })
	before, _ := receiving(b, a.Self().ID, SourceCamera)
	eventually(t, b, "the picture goes on", func() bool {
		now, _ := receiving(b, a.Self().ID, SourceCamera)
		return now.Frames > before.Frames+10
	})
}
