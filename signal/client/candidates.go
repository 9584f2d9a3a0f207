package client

import (
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// tcpAfter is the head start that UDP has over TCP.
const tcpAfter = time.Second

// holdBackTCP takes the TCP candidates (RFC 6544) out of an answer that has UDP ones too. Pion nominates the first pair
// that answers, which on a busy machine may well be a TCP one, and a call that could have had UDP would suffer from every
// lost packet twice.
func holdBackTCP(answer string) (rest string, tcp []webrtc.ICECandidateInit) {
	var kept strings.Builder
	section, udp := -1, false
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
		if strings.EqualFold(fields[2], "tcp") {
			index := uint16(section)
			tcp = append(tcp, webrtc.ICECandidateInit{Candidate: "candidate:" + candidate, SDPMLineIndex: &index})
			continue
		}
		udp = true
		kept.WriteString(line)
	}
	if !udp {
		return answer, nil
	}
	return kept.String(), tcp
}

// allowTCP adds candidates that were held back, if media does not flow by then.
func (m *media) allowTCP(candidates []webrtc.ICECandidateInit) {
	if m.current() == MediaConnected {
		return
	}
	for _, candidate := range candidates {
		if err := m.pc.AddICECandidate(candidate); err != nil {
			return // the connection is closing, or has been given other candidates
		}
	}
}
