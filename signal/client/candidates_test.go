package client

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
)

func TestHoldBackTCP(t *testing.T) {
	const (
		head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
		udp  = "a=candidate:1 1 udp 2130706431 127.0.0.1 7881 typ host\r\n"
		tcp  = "a=candidate:2 1 TCP 1671430143 127.0.0.1 7881 typ host tcptype passive\r\n"
		tail = "a=mid:0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"
	)
	tests := []struct {
		name, answer, rest string
		by                 Transport
		held               int
	}{
		{"both", head + udp + tcp + tail, head + udp + tail, TransportAny, 1},
		{"TCP alone", head + tcp + tail, head + tail, TransportAny, 1},
		{"UDP alone stays", head + udp + tail, head + udp + tail, TransportAny, 0},
		{"TCP in a later section", head + udp + tail + tcp, head + udp + tail, TransportAny, 1},
		{"none", head + tail, head + tail, TransportAny, 0},
		{"broken lines stay", head + "a=candidate:\r\n" + tail, head + "a=candidate:\r\n" + tail, TransportAny, 0},
		{"TCP without an address", head + udp + "a=candidate:2 1 TCP 1 nowhere 7881 typ host tcptype passive\r\n" + tail, head + udp + tail, TransportAny, 0},
		{"TCP that calls", head + udp + "a=candidate:2 1 TCP 1 127.0.0.1 9 typ host tcptype active\r\n" + tail, head + udp + tail, TransportAny, 0},
		{"UDP only", head + udp + tcp + tail, head + udp + tail, TransportUDP, 0},
		{"TCP only", head + udp + tcp + tail, head + tail, TransportTCP, 1},
		{"relay only", head + udp + tcp + tail, head + udp + tail, TransportRelay, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			rest, held := holdBackTCP(tc.answer, tc.by)
			if rest != tc.rest || len(held) != tc.held {
				t.Errorf("rest %q, held %v", rest, held)
			}
			for _, c := range held {
				if c.address.String() != "127.0.0.1:7881" || !strings.HasSuffix(c.candidate.Candidate, "tcptype so") {
					t.Errorf("held %+v", c)
				}
			}
		})
	}
}

func FuzzHoldBackTCP(f *testing.F) {
	f.Add("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=candidate:2 1 TCP 1671430143 ::1 7881 typ host tcptype passive\r\n")
	f.Fuzz(func(t *testing.T, answer string) {
		rest, _ := holdBackTCP(answer, TransportAny)
		if again, held := holdBackTCP(rest, TransportAny); again != rest || len(held) != 0 {
			t.Errorf("%q was not taken out of whole", rest)
		}
	})
}

// TestTCPWhereUDPIsBlocked: a client whose network passes no UDP joins over ICE-TCP.
func TestTCPWhereUDPIsBlocked(t *testing.T) {
	server := newRealServer(t)
	blocked, network := lossy(t, 0)
	network.dead.Store(true)
	a := server.join(Options{Publish: person(t)})
	b := server.join(Options{tune: blocked})
	eventually(t, b, "sound and picture", flows(b, a))
	path, ok := b.Path()
	if !ok || path.Remote.Protocol != "tcp" || path.Local.Protocol != "tcp" {
		t.Errorf("media goes over %+v", path)
	}
}

// counted is this machine's network; it counts the sockets that are opened through it.
type counted struct {
	*stdnet.Net
	opened atomic.Int32 // for UDP
	dialed atomic.Int32 // by TCP
}

func (c *counted) ListenUDP(network string, local *net.UDPAddr) (transport.UDPConn, error) {
	c.opened.Add(1)
	return c.Net.ListenUDP(network, local)
}

// CreateDialer makes one that counts.
func (c *counted) CreateDialer(how *net.Dialer) transport.Dialer {
	c.dialed.Add(1)
	return c.Net.CreateDialer(how)
}

// TestTransports: media goes over what was asked for, and all sockets for it are opened in the Net.
func TestTransports(t *testing.T) {
	for _, tc := range []struct {
		by             Transport
		protocol       string
		opened, dialed bool
	}{
		{TransportAny, "udp", true, false},
		{TransportUDP, "udp", true, false},
		{TransportTCP, "tcp", false, true},
	} {
		t.Run("by "+string(tc.by), func(t *testing.T) {
			server := newRealServer(t)
			inner, err := stdnet.NewNet()
			if err != nil {
				t.Fatal(err)
			}
			own := &counted{Net: inner}
			a := server.join(Options{Publish: person(t)})
			b := server.join(Options{Net: own, Transport: tc.by})
			eventually(t, b, "sound and picture", flows(b, a))
			path, ok := b.Path()
			if !ok || path.Remote.Protocol != tc.protocol || path.Local.Type != "host" || path.RTT <= 0 {
				t.Errorf("media goes over %+v", path)
			}
			if opened, dialed := own.opened.Load() > 0, own.dialed.Load() > 0; opened != tc.opened || dialed != tc.dialed {
				t.Errorf("UDP sockets opened: %v, TCP connections: %v", opened, dialed)
			}
			t.Logf("%+v over %+v", b.Timings(), path)
		})
	}
}
