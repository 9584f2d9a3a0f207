package client

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"
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
		held               int
	}{
		{"both", head + udp + tcp + tail, head + udp + tail, 1},
		{"TCP alone stays", head + tcp + tail, head + tcp + tail, 0},
		{"UDP alone stays", head + udp + tail, head + udp + tail, 0},
		{"TCP in a later section", head + udp + tail + tcp, head + udp + tail, 1},
		{"none", head + tail, head + tail, 0},
		{"broken lines stay", head + "a=candidate:\r\n" + tail, head + "a=candidate:\r\n" + tail, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			rest, held := holdBackTCP(tc.answer)
			if rest != tc.rest || len(held) != tc.held {
				t.Errorf("rest %q, held %v", rest, held)
			}
			for _, c := range held {
				if !strings.HasPrefix(c.Candidate, "candidate:2 1 TCP") {
					t.Errorf("held %q", c.Candidate)
				}
			}
		})
	}
}

// TestTCPWhereUDPIsBlocked: a client whose network passes no UDP joins over ICE-TCP.
func TestTCPWhereUDPIsBlocked(t *testing.T) {
	server := newRealServer(t)
	blocked, network := lossy(t, 0)
	network.dead.Store(true)
	a := server.join(Options{Publish: person(t)})
	b := server.join(Options{tune: blocked})
	eventually(t, b, "sound and picture", flows(b, a))
	pair, err := b.currentMedia().pc.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil {
		t.Fatal(err)
	}
	if pair.Remote.Protocol != webrtc.ICEProtocolTCP {
		t.Errorf("media goes over %s", pair.Remote.Protocol)
	}
}

// counted is this machine's network; it counts the sockets that are opened through it.
type counted struct {
	*stdnet.Net
	opened atomic.Int32
}

func (c *counted) ListenUDP(network string, local *net.UDPAddr) (transport.UDPConn, error) {
	c.opened.Add(1)
	return c.Net.ListenUDP(network, local)
}

// TestMediaSocketsComeFromNet: with a Net of its own a client opens its sockets there, and tries no TCP, which would go
// past it.
func TestMediaSocketsComeFromNet(t *testing.T) {
	server := newRealServer(t)
	inner, err := stdnet.NewNet()
	if err != nil {
		t.Fatal(err)
	}
	own := &counted{Net: inner}
	a := server.join(Options{Publish: person(t)})
	b := server.join(Options{Net: own})
	eventually(t, b, "sound and picture", flows(b, a))
	if own.opened.Load() == 0 {
		t.Error("no socket was opened through Net")
	}
	for _, kind := range b.opts.NetworkTypes {
		if kind.Protocol() != "udp" {
			t.Errorf("%s candidates are gathered past Net", kind)
		}
	}
}
