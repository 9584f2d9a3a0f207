package client

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/stun/v4"
	"github.com/pion/webrtc/v4"
)

// Transport is what media may go over.
type Transport string

// The transports of Options.Transport. The zero value is any: UDP where it passes, else ICE-TCP (RFC 6544), else a relay.
const (
	TransportAny   Transport = ""
	TransportUDP   Transport = "udp"   // to the node itself, over UDP
	TransportTCP   Transport = "tcp"   // to the node itself, over TCP
	TransportRelay Transport = "relay" // through a TURN server of the ticket, over whatever leads there
)

func (t Transport) validate() error {
	switch t {
	case TransportAny, TransportUDP, TransportTCP, TransportRelay:
		return nil
	default:
		return fmt.Errorf("options: Transport is %q, want any, udp, tcp or relay", string(t))
	}
}

// allows says whether candidates of a protocol are of use.
func (t Transport) allows(protocol string) bool {
	switch t {
	case TransportUDP, TransportRelay: // a relay sends UDP
		return protocol == "udp"
	case TransportTCP:
		return protocol == "tcp"
	default:
		return true
	}
}

// networks are those of the client's own candidates. What leads to a relay is not among them.
func (t Transport) networks() (kept []webrtc.NetworkType) {
	for _, kind := range []webrtc.NetworkType{
		webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6,
	} {
		if t.allows(kind.Protocol()) {
			kept = append(kept, kind)
		}
	}
	return kept
}

const (
	// relayWait is the head start that direct paths have over relays: three looks less a little, with which a call through a
	// relay is in time.
	relayWait = 3*searchEvery - 10*time.Millisecond

	// maxChecks is how often a pair is tried before it counts as failed. It covers two seconds, though the first checks
	// come fast.
	maxChecks = 20
)

// configure sets pion up for the transport.
func (t Transport) configure(s *webrtc.SettingEngine) {
	s.SetNetworkTypes(t.networks())
	s.SetSrflxAcceptanceMinWait(0) // as direct as any: the server pairs with what it has heard from
	s.SetPrflxAcceptanceMinWait(0)
	s.SetICEMaxBindingRequests(maxChecks)
	wait := relayWait
	if t == TransportRelay {
		wait = 0 // there is nothing else to wait for
	}
	s.SetRelayAcceptanceMinWait(wait)
}

func (t Transport) policy() webrtc.ICETransportPolicy {
	if t == TransportRelay {
		return webrtc.ICETransportPolicyRelay
	}
	return webrtc.ICETransportPolicyAll
}

// withTLS is the HTTP client that the WebSocket is dialled with: one that uses the TLS configuration.
func withTLS(config *tls.Config) *http.Client {
	base := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: dialTimeout}
	base.TLSClientConfig = config.Clone()
	return &http.Client{Transport: base}
}

// iceServers are the relays of the ticket that the transport uses. What pion cannot use is left out: a newer server may name
// other kinds. So are STUN servers: the node pairs with the address that it hears from, and wants to be told none.
func (t Ticket) iceServers(by Transport) []webrtc.ICEServer {
	if by == TransportUDP || by == TransportTCP {
		return nil
	}
	var servers []webrtc.ICEServer
	for _, s := range t.ICEServers {
		usable := webrtc.ICEServer{Username: s.Username, Credential: s.Credential}
		for _, text := range s.URLs {
			url, err := stun.ParseURI(text)
			if err == nil && relays(url) && s.Username != "" && s.Credential != "" {
				usable.URLs = append(usable.URLs, text)
			}
		}
		if len(usable.URLs) > 0 {
			servers = append(servers, usable)
		}
	}
	return servers
}

func relays(url *stun.URI) bool {
	return url.Scheme == stun.SchemeTypeTURN || url.Scheme == stun.SchemeTypeTURNS
}

// Candidate is one end of the path of media (RFC 8445).
type Candidate struct {
	Type          string         `json:"type"`                     // host, srflx, prflx or relay
	Protocol      string         `json:"protocol"`                 // udp or tcp; of a relay, what it sends to the node: udp
	RelayProtocol string         `json:"relay_protocol,omitempty"` // udp, tcp or tls: between client and relay
	Address       netip.AddrPort `json:"address"`                  // the client's own, its NAT's or its relay's
}

// Path is the pair of candidates that media goes over.
type Path struct {
	Local  Candidate     `json:"local"`
	Remote Candidate     `json:"remote"`
	RTT    time.Duration `json:"rtt"` // of the newest check
}

// Path returns the path of media, and false while there is none. A client behind a NAT still counts its own address as a host
// candidate: it does not look at what the server sees.
func (c *Client) Path() (Path, bool) {
	m := c.currentMedia()
	if m == nil {
		return Path{}, false
	}
	pair, ok := m.pc.SCTP().Transport().ICETransport().GetSelectedCandidatePairStats()
	if !ok {
		return Path{}, false
	}
	stats := m.pc.GetStats()
	local, here := stats[pair.LocalCandidateID].(webrtc.ICECandidateStats)
	remote, there := stats[pair.RemoteCandidateID].(webrtc.ICECandidateStats)
	if !here || !there {
		return Path{}, false
	}
	rtt := time.Duration(pair.CurrentRoundTripTime * float64(time.Second))
	return Path{Local: candidateOf(local), Remote: candidateOf(remote), RTT: rtt}, true
}

func candidateOf(stats webrtc.ICECandidateStats) Candidate {
	c := Candidate{Type: stats.CandidateType.String(), Protocol: stats.Protocol}
	if stats.CandidateType == webrtc.ICECandidateTypeRelay {
		c.RelayProtocol = strings.ToLower(stats.RelayProtocol)
	}
	if ip, err := netip.ParseAddr(stats.IP); err == nil {
		c.Address = netip.AddrPortFrom(ip.Unmap(), uint16(stats.Port))
	}
	return c
}
