package client

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// How a path is searched for: pion is made to look at its pairs that often, the first times. TCP candidates come at the second
// look where there are others. That is head start enough: TCP takes another round trip to connect, and checks over UDP are
// repeated at every look.
const (
	searchEvery = 50 * time.Millisecond
	searchFor   = 10 // looks; later on, pion's own 200 ms will do
)

// remoteTCP is a candidate of the server for ICE-TCP.
type remoteTCP struct {
	address   netip.AddrPort
	candidate webrtc.ICECandidateInit
}

// holdBackTCP takes the TCP candidates (RFC 6544) out of an answer, and all that the transport has no use for. Pion nominates
// the first pair that answers, which on a busy machine may well be a TCP one, and a call that could have had UDP would suffer
// from every lost packet twice.
func holdBackTCP(answer string, by Transport) (rest string, tcp []remoteTCP) {
	var kept strings.Builder
	section := -1
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "m=") {
			section++
		}
		candidate, is := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "a=candidate:")
		fields := strings.Fields(candidate)
		if !is || section < 0 || len(fields) < 3 {
			kept.WriteString(line)
			continue
		}
		protocol := strings.ToLower(fields[2])
		switch {
		case !by.allows(protocol):
		case protocol != "tcp":
			kept.WriteString(line)
		default:
			if one, ok := newRemoteTCP(fields, section); ok {
				tcp = append(tcp, one)
			}
		}
	}
	return kept.String(), tcp
}

// newRemoteTCP reads a passive candidate. Pion pairs its own socket with a remote that both calls and is called
// (simultaneous open), not with a passive one, so the candidate is said to be such a one; it is the client that calls.
func newRemoteTCP(fields []string, section int) (one remoteTCP, ok bool) {
	if len(fields) < 6 || !strings.Contains(strings.Join(fields, " "), " tcptype passive") {
		return one, false
	}
	address, err := netip.ParseAddrPort(hostPort(fields[4], fields[5]))
	if err != nil {
		return one, false
	}
	index := uint16(section)
	text := strings.Replace(strings.Join(fields, " "), " tcptype passive", " tcptype so", 1)
	return remoteTCP{address, webrtc.ICECandidateInit{Candidate: "candidate:" + text, SDPMLineIndex: &index}}, true
}

func hostPort(host, port string) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port
}

func hasUDP(answer string) bool {
	for line := range strings.Lines(answer) {
		fields := strings.Fields(line)
		if strings.HasPrefix(line, "a=candidate:") && len(fields) > 2 && strings.EqualFold(fields[2], "udp") {
			return true
		}
	}
	return false
}

// findPath makes pion try the candidates of an answer fast, those over TCP a little later if there are others.
func (m *media) findPath(tcp []remoteTCP, udp bool) {
	for _, one := range tcp {
		m.sockets.tcp.permit(one.address)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.mu.Lock()
	if m.search != nil {
		m.search()
	}
	m.search = cancel
	m.mu.Unlock()
	m.spawn(func() {
		defer cancel()
		m.searchPath(ctx, tcp, udp)
	})
}

// searchPath runs until ICE has a path, or has been made to look often enough.
func (m *media) searchPath(ctx context.Context, tcp []remoteTCP, udp bool) {
	turn := 0 // of TCP
	if udp {
		turn = 1
	}
	tick := time.NewTicker(searchEvery)
	defer tick.Stop()
	for look := 0; look < searchFor && !m.hasPath(); look++ {
		if look == turn {
			for _, one := range tcp {
				_ = m.pc.AddICECandidate(one.candidate) // a connection that is closing, or has been given other candidates
			}
		}
		m.lookAgain(look)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (m *media) hasPath() bool {
	switch m.pc.ICEConnectionState() {
	case webrtc.ICEConnectionStateConnected, webrtc.ICEConnectionStateCompleted, webrtc.ICEConnectionStateClosed:
		return true
	default:
		return false
	}
}

// lookAgain makes pion check its pairs, and nominate one that has answered, now. By itself it does so every 200 ms, which
// cannot be set; but it does when it is given a candidate. This one is of no use to anybody: nothing is ever sent to it (an
// address for documentation, RFC 5737, that the client's TCP sockets do not permit).
func (m *media) lookAgain(look int) {
	index := uint16(0)
	_ = m.pc.AddICECandidate(webrtc.ICECandidateInit{ // a connection that is closing
		Candidate: fmt.Sprintf("candidate:look 1 tcp 1 192.0.2.1 %d typ host tcptype passive", 1+look), SDPMLineIndex: &index,
	})
}
