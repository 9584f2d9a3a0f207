package lab

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"testing"
)

// Protocol numbers of IP packets (RFC 790).
const (
	TCP = 6
	UDP = 17
)

const wanDevice = "wan"

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

// Count adds up the traffic of all flows that match.
func (w *WAN) Count(match func(Flow) bool) (sum Traffic) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for f, t := range w.flows {
		if match(f) {
			sum.Packets += t.Packets
			sum.Bytes += t.Bytes
			sum.Lost += t.Lost
		}
	}
	return sum
}

// Between matches everything from one region to another. A nil region is any.
func Between(from, to *Region) func(Flow) bool {
	return func(f Flow) bool {
		return (from == nil || from.prefix.Contains(f.From.Addr())) && (to == nil || to.prefix.Contains(f.To.Addr()))
	}
}

// MediaBetween matches the media that nodes of one region send to nodes of another.
func MediaBetween(from, to *Region) func(Flow) bool {
	between := Between(from, to)
	return func(f Flow) bool {
		return f.Protocol == UDP && f.From.Port() == mediaPort && f.To.Port() == mediaPort && between(f)
	}
}

// KernelCount is what the kernel counted on the region's end of the WAN: given to it, and received from it.
func (r *Region) KernelCount(tb testing.TB) (sent, received Traffic) {
	tb.Helper()
	var links []struct {
		Stats struct {
			RX, TX struct{ Packets, Bytes int }
		} `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(r.space.ip(tb, "-s", "-j", "link", "show", wanDevice)), &links); err != nil || len(links) != 1 {
		tb.Fatalf("lab: counters of %s: %v", r.Name, err)
	}
	tx, rx := links[0].Stats.TX, links[0].Stats.RX
	return Traffic{Packets: tx.Packets, Bytes: tx.Bytes}, Traffic{Packets: rx.Packets, Bytes: rx.Bytes}
}
