package network

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Behavior is how much of the far end's address a NAT looks at (RFC 4787, sections 4.1 and 5).
type Behavior int

// The behaviors of mappings and of filters.
const (
	EndpointIndependent Behavior = iota
	AddressDependent
	AddressAndPortDependent
)

// of is what of a far end the behavior looks at.
func (b Behavior) of(far netip.AddrPort) netip.AddrPort {
	switch b {
	case AddressDependent:
		return netip.AddrPortFrom(far.Addr(), 0)
	case AddressAndPortDependent:
		return far
	default:
		return netip.AddrPort{}
	}
}

// Pass is what a firewall lets out; what is let out has its answers let in.
type Pass int

// What firewalls let out.
const (
	PassAll Pass = iota
	PassTCP
	PassTCP443 // TCP to port 443
)

func (p Pass) allows(f Flow) bool {
	switch p {
	case PassTCP:
		return f.Protocol == TCP
	case PassTCP443:
		return f.Protocol == TCP && f.To.Port() == 443
	default:
		return true
	}
}

// Gate is what stands between an end and the WAN: a NAT with one public address, for UDP and TCP, and a firewall. It does not
// hairpin, lets no other protocol through, and forgets a mapping that nothing was sent through from inside for two minutes
// (RFC 4787, section 4.3), one of TCP only with the end.
type Gate struct {
	Public    netip.Addr // of the NAT; none: everything goes through as it is
	Mapping   Behavior
	Filtering Behavior
	Pass      Pass
	Reject    bool // answer what is not let out (TCP with a reset, UDP by ICMP), rather than be silent
}

const (
	mappingLife = 2 * time.Minute
	mappingsMax = 4096 // live ones; what would need more is lost
	firstPort   = 20_000
)

// nat is a Gate at work.
type nat struct {
	Gate

	out map[outside]*mapping
	in  map[door]*mapping
}

// outside is what a mapping is found by from inside.
type outside struct {
	protocol int
	inside   netip.AddrPort
	far      netip.AddrPort // what the behavior looks at
}

// door is what a mapping is found by from outside.
type door struct {
	protocol int
	port     uint16
}

type mapping struct {
	outside

	door    door
	used    time.Time // from inside
	permits map[netip.AddrPort]bool
}

func newNAT(g Gate) *nat {
	return &nat{Gate: g, out: map[outside]*mapping{}, in: map[door]*mapping{}}
}

// outbound sees a packet that comes from inside and changes it to what goes on. If it does not, there may be an answer.
func (n *nat) outbound(packet []byte, now time.Time) (goes bool, answer []byte) {
	flow, ok := FlowOf(packet)
	if !ok {
		return false, nil
	}
	if !n.Pass.allows(flow) {
		if n.Reject {
			answer = reject(packet, flow)
		}
		return false, answer
	}
	if !n.Public.IsValid() {
		return true, nil
	}
	if flow.From.Port() == 0 {
		return false, nil // no port to map
	}
	m := n.mappingFor(flow, now)
	if m == nil {
		return false, nil
	}
	m.used = now
	m.permits[n.Filtering.of(flow.To)] = true
	rewrite(packet, sourceField, netip.AddrPortFrom(n.Public, m.door.port))
	return true, nil
}

// mappingFor finds or makes the mapping that a packet from inside uses; nil if there is no room.
func (n *nat) mappingFor(f Flow, now time.Time) *mapping {
	key := outside{f.Protocol, f.From, n.Mapping.of(f.To)}
	if m := n.out[key]; m != nil && !m.expired(now) {
		return m
	}
	n.forget(now)
	if len(n.out) >= mappingsMax {
		return nil
	}
	m := &mapping{outside: key, permits: map[netip.AddrPort]bool{}}
	for m.door.port == 0 || n.in[m.door] != nil {
		m.door = door{f.Protocol, uint16(firstPort + rand.IntN(1<<16-firstPort))}
	}
	n.out[key], n.in[m.door] = m, m
	return m
}

func (n *nat) forget(now time.Time) {
	for key, m := range n.out {
		if m.expired(now) {
			delete(n.out, key)
			delete(n.in, m.door)
		}
	}
}

// rebind forgets all mappings of UDP, as a router does that is short of memory: what goes on comes from other ports.
func (n *nat) rebind() {
	for key, m := range n.out {
		if m.protocol == UDP {
			delete(n.out, key)
			delete(n.in, m.door)
		}
	}
}

func (m *mapping) expired(now time.Time) bool {
	return m.protocol == UDP && now.Sub(m.used) > mappingLife
}

// inbound sees a packet that comes from the WAN and changes it to what goes on, if it does.
func (n *nat) inbound(packet []byte, now time.Time) (goes bool) {
	flow, ok := FlowOf(packet)
	if !ok {
		return false
	}
	if !n.Public.IsValid() {
		return n.Pass.allows(Flow{From: flow.To, To: flow.From, Protocol: flow.Protocol})
	}
	m := n.in[door{flow.Protocol, flow.To.Port()}]
	if m == nil || flow.To.Addr() != n.Public || m.expired(now) || !m.permits[n.Filtering.of(flow.From)] {
		return false
	}
	rewrite(packet, targetField, m.inside)
	return true
}

// field is where an address and a port stand in a packet, from the start of the IP header and of the one behind it.
type field struct{ address, port int }

//nolint:gochecknoglobals // constants
var (
	sourceField = field{12, 0}
	targetField = field{16, 2}
)

// rewrite puts another address and port into a packet of UDP or TCP, and mends its checksums (RFC 1624).
func rewrite(packet []byte, at field, to netip.AddrPort) {
	header := int(packet[0]&0x0f) * 4
	ip := to.Addr().As4()
	var port [2]byte
	binary.BigEndian.PutUint16(port[:], to.Port())
	ends := packet[header:]
	mend(packet[10:12], packet[at.address:at.address+4], ip[:])
	if sum := checksumOf(packet, ends); sum != nil {
		mend(sum, packet[at.address:at.address+4], ip[:]) // by the pseudo header
		mend(sum, ends[at.port:at.port+2], port[:])
	}
	copy(packet[at.address:], ip[:])
	copy(ends[at.port:], port[:])
}

// checksumOf is where the checksum of UDP or TCP stands; nil if there is none.
func checksumOf(packet, ends []byte) []byte {
	at := 16
	if packet[9] == UDP {
		at = 6
	}
	if len(ends) < at+2 || packet[9] == UDP && ends[6] == 0 && ends[7] == 0 {
		return nil
	}
	return ends[at : at+2]
}

// mend changes a checksum by what has changed below it, an even number of bytes.
func mend(sum, was, is []byte) {
	s := uint32(^binary.BigEndian.Uint16(sum))
	for i := 0; i < len(was); i += 2 {
		s += uint32(^binary.BigEndian.Uint16(was[i:])) + uint32(binary.BigEndian.Uint16(is[i:]))
	}
	binary.BigEndian.PutUint16(sum, ^fold(s))
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// total is the Internet checksum (RFC 1071) of some pieces, all but the last of even length.
func total(pieces ...[]byte) uint16 {
	var s uint32
	for _, b := range pieces {
		for ; len(b) > 1; b = b[2:] {
			s += uint32(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			s += uint32(b[0]) << 8
		}
	}
	return ^fold(s)
}

// reject is how a firewall says no to a packet; nil where it says nothing.
func reject(packet []byte, f Flow) []byte {
	header := int(packet[0]&0x0f) * 4
	switch {
	case f.Protocol == UDP && len(packet) >= header+8:
		return unreachable(packet[:header+8], f)
	case f.Protocol == TCP && len(packet) >= header+20 && packet[header+13]&tcpRST == 0:
		return reset(packet, packet[header:], f)
	default:
		return nil
	}
}

// Flags of TCP (RFC 9293, section 3.1).
const (
	tcpFIN = 1
	tcpSYN = 2
	tcpRST = 4
	tcpACK = 16
)

// reset answers a segment (RFC 9293, section 3.5.2).
func reset(packet, segment []byte, f Flow) []byte {
	answer := answerTo(f, TCP, 20)
	out := answer[20:]
	binary.BigEndian.PutUint16(out, f.To.Port())
	binary.BigEndian.PutUint16(out[2:], f.From.Port())
	out[12], out[13] = 5<<4, tcpRST
	if segment[13]&tcpACK != 0 {
		copy(out[4:8], segment[8:12])
	} else {
		taken := uint32(len(segment) - int(segment[12]>>4)*4)
		if segment[13]&(tcpSYN|tcpFIN) != 0 {
			taken++
		}
		binary.BigEndian.PutUint32(out[8:], binary.BigEndian.Uint32(segment[4:])+taken)
		out[13] |= tcpACK
	}
	pseudo := append(append(append([]byte{}, packet[16:20]...), packet[12:16]...), 0, TCP, 0, 20)
	binary.BigEndian.PutUint16(out[16:], total(pseudo, out))
	return answer
}

// unreachable is the ICMP message (RFC 792) that a port is not to be reached, as the far end would send it.
func unreachable(original []byte, f Flow) []byte {
	answer := answerTo(f, 1, 8+len(original))
	out := answer[20:]
	out[0], out[1] = 3, 3
	copy(out[8:], original)
	binary.BigEndian.PutUint16(out[2:], total(out))
	return answer
}

// answerTo is an IP header from a flow's far end, with room behind it.
func answerTo(f Flow, protocol byte, room int) []byte {
	b := make([]byte, 20+room)
	b[0], b[8], b[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	from, to := f.To.Addr().As4(), f.From.Addr().As4()
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	binary.BigEndian.PutUint16(b[10:], total(b[:20]))
	return b
}
