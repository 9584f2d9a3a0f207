package client

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// How long a path is searched for quickly, and the head start that UDP has over TCP: as long as the WebSocket took, which
// is two round trips at least where a check over UDP takes one, and longer on a busy machine.
const (
	searchEvery  = 50 * time.Millisecond
	searchFor    = 8 // times; later on, pion's own 200 ms will do
	leastAhead   = 50 * time.Millisecond
	longestAhead = time.Second
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

// findPath makes pion try the candidates of an answer fast, those over TCP after a while if there are others.
func (m *media) findPath(tcp []remoteTCP, udp bool) {
	for _, one := range tcp {
		m.sockets.tcp.permit(one.address)
	}
	ahead := time.Duration(0)
	if udp {
		ahead = min(max(m.watch.snapshot().WebSocket, leastAhead), longestAhead)
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
		m.searchPath(ctx, tcp, ahead)
	})
}

// searchPath runs until ICE has a path, or everything has been tried.
func (m *media) searchPath(ctx context.Context, tcp []remoteTCP, ahead time.Duration) {
	begun := time.Now()
	tick := time.NewTicker(searchEvery)
	defer tick.Stop()
	for round := 1; !m.hasPath(); round++ {
		switch {
		case len(tcp) > 0 && time.Since(begun) >= ahead:
			for _, one := range tcp {
				if m.pc.AddICECandidate(one.candidate) != nil {
					return // the connection is closing, or has been given other candidates
				}
			}
			tcp, round = nil, 1
		case round <= searchFor:
			m.lookAgain(round)
		case len(tcp) == 0:
			return
		}
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
func (m *media) lookAgain(round int) {
	index := uint16(0)
	_ = m.pc.AddICECandidate(webrtc.ICECandidateInit{ // a connection that is closing
		Candidate: fmt.Sprintf("candidate:look 1 tcp 1 192.0.2.1 %d typ host tcptype passive", round), SDPMLineIndex: &index,
	})
}
