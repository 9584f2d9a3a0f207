package network

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers of IP packets (RFC 790).
const (
	TCP = 6
	UDP = 17
)

// Flow is one direction between two sockets. Ports are 0 where the protocol has none.
type Flow struct {
	From, To netip.AddrPort
	Protocol int
}

// Traffic counts what a region gave the WAN: IP packets and their bytes, headers included.
type Traffic struct {
	Packets, Bytes int
	Lost           int // packets of them that did not arrive, on purpose
}

// flowOf reads the header of an IPv4 packet (RFC 791).
func flowOf(packet []byte) (f Flow, ok bool) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return f, false
	}
	from, to := netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
	f.Protocol = int(packet[9])
	var ports [2]uint16
	header := int(packet[0]&0x0f) * 4
	first := binary.BigEndian.Uint16(packet[6:8])&0x1fff == 0 // not a later fragment
	if first && (f.Protocol == TCP || f.Protocol == UDP) && len(packet) >= header+4 {
		ports[0] = binary.BigEndian.Uint16(packet[header:])
		ports[1] = binary.BigEndian.Uint16(packet[header+2:])
	}
	f.From, f.To = netip.AddrPortFrom(from, ports[0]), netip.AddrPortFrom(to, ports[1])
	return f, true
}

func (w *WAN) trafficLocked(f Flow) *Traffic {
	t := w.flows[f]
	if t == nil {
		t = &Traffic{}
		w.flows[f] = t
	}
	return t
}

// Counted is the traffic of one flow.
type Counted struct {
	Flow
	Traffic
}

// Flows are all flows that there have been.
func (w *WAN) Flows() []Counted {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]Counted, 0, len(w.flows))
	for f, t := range w.flows {
		all = append(all, Counted{f, *t})
	}
	return all
}
