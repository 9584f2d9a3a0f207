package network

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

//nolint:gochecknoglobals // constants
var (
	public   = netip.MustParseAddr("10.77.200.1")
	inside   = netip.MustParseAddrPort("192.168.1.2:5000")
	far      = netip.MustParseAddrPort("10.77.1.11:7881")
	farToo   = netip.MustParseAddrPort("10.77.1.11:3478")
	stranger = netip.MustParseAddrPort("10.77.1.12:7881")
)

// datagram is a packet with a payload and all its checksums.
func datagram(protocol byte, from, to netip.AddrPort, payload []byte) []byte {
	room := 8
	if protocol == TCP {
		room = 20
	}
	b := answerTo(Flow{From: to, To: from}, protocol, room+len(payload))
	ends := b[20:]
	binary.BigEndian.PutUint16(ends, from.Port())
	binary.BigEndian.PutUint16(ends[2:], to.Port())
	if protocol == TCP {
		ends[12], ends[13] = 5<<4, tcpSYN
		binary.BigEndian.PutUint32(ends[4:], 1000)
	} else {
		binary.BigEndian.PutUint16(ends[4:], uint16(len(ends)))
	}
	copy(ends[room:], payload)
	sum := 6
	if protocol == TCP {
		sum = 16
	}
	binary.BigEndian.PutUint16(ends[sum:], checksum(b))
	return b
}

// checksum is that of a packet's second header: 0 when it is right already.
func checksum(packet []byte) uint16 {
	ends := packet[20:]
	pseudo := append(append([]byte{}, packet[12:20]...), 0, packet[9], byte(len(ends)>>8), byte(len(ends)))
	return total(pseudo, ends)
}

func TestNATBehaves(t *testing.T) {
	for _, tc := range []struct {
		name                        string
		gate                        Gate
		same                        bool // the mapping, for another port of the far end
		answer, otherPort, otherOne bool // are let in
	}{
		{"full cone", Gate{Public: public}, true, true, true, true},
		{"restricted", Gate{Public: public, Filtering: AddressDependent}, true, true, true, false},
		{"port-restricted", Gate{Public: public, Filtering: AddressAndPortDependent}, true, true, false, false},
		{"symmetric", Gate{Public: public, Mapping: AddressAndPortDependent, Filtering: AddressAndPortDependent}, false, true, false, false},
	} {
		for _, protocol := range []byte{UDP, TCP} {
			t.Run(tc.name, func(t *testing.T) {
				now := time.Now()
				n := newNAT(tc.gate)
				out := func(to netip.AddrPort) netip.AddrPort {
					t.Helper()
					p := datagram(protocol, inside, to, []byte("hello"))
					if goes, answer := n.outbound(p, now); !goes || answer != nil {
						t.Fatalf("to %s: goes %v, answered %x", to, goes, answer)
					}
					if total(p[:20]) != 0 || checksum(p) != 0 {
						t.Fatalf("checksums are wrong: %x", p)
					}
					f, _ := FlowOf(p)
					if f.To != to || f.From.Addr() != public || !bytes.HasSuffix(p, []byte("hello")) {
						t.Fatalf("went as %v", f)
					}
					return f.From
				}
				in := func(from, to netip.AddrPort) bool {
					t.Helper()
					p := datagram(protocol, from, to, []byte("back"))
					goes := n.inbound(p, now)
					if f, _ := FlowOf(p); goes && (f.To != inside || f.From != from || total(p[:20]) != 0 || checksum(p) != 0) {
						t.Fatalf("came as %v: %x", f, p)
					}
					return goes
				}
				seen := out(far)
				if got := in(far, seen); got != tc.answer {
					t.Errorf("an answer is let in: %v", got)
				}
				if got := in(farToo, seen); got != tc.otherPort {
					t.Errorf("another port is let in: %v", got)
				}
				if got := in(stranger, seen); got != tc.otherOne {
					t.Errorf("a stranger is let in: %v", got)
				}
				if again := out(far); again != seen {
					t.Errorf("the mapping changed from %s to %s", seen, again)
				}
				if other := out(farToo); (other == seen) != tc.same {
					t.Errorf("mapped to %s, and to %s for another port", seen, other)
				}
				now = now.Add(mappingLife + time.Second)
				if got := in(far, seen); got != (protocol == TCP) {
					t.Errorf("an answer is let in after two minutes: %v", got)
				}
			})
		}
	}
}

func TestFirewall(t *testing.T) {
	https := netip.MustParseAddrPort("10.77.1.11:443")
	for _, tc := range []struct {
		name     string
		pass     Pass
		protocol byte
		to       netip.AddrPort
		goes     bool
	}{
		{"all, UDP", PassAll, UDP, far, true},
		{"TCP, UDP", PassTCP, UDP, far, false},
		{"TCP, TCP", PassTCP, TCP, far, true},
		{"443, UDP", PassTCP443, UDP, https, false},
		{"443, TCP elsewhere", PassTCP443, TCP, far, false},
		{"443, TCP", PassTCP443, TCP, https, true},
	} {
		for _, rejects := range []bool{false, true} {
			t.Run(tc.name, func(t *testing.T) {
				n := newNAT(Gate{Public: public, Pass: tc.pass, Reject: rejects})
				sent := datagram(tc.protocol, inside, tc.to, []byte("hello"))
				goes, answer := n.outbound(sent, time.Now())
				if goes != tc.goes || (answer != nil) != (rejects && !tc.goes) {
					t.Fatalf("goes %v, answered %x", goes, answer)
				}
				if answer == nil {
					return
				}
				f, ok := FlowOf(answer)
				if !ok || total(answer[:20]) != 0 || f.From.Addr() != tc.to.Addr() || f.To.Addr() != inside.Addr() {
					t.Errorf("answered by %v: %x", f, answer)
				}
				switch ends := answer[20:]; tc.protocol {
				case TCP:
					acked := binary.BigEndian.Uint32(ends[8:])
					if checksum(answer) != 0 || ends[13] != tcpRST|tcpACK || acked != 1006 || f.To != inside || f.From != tc.to {
						t.Errorf("reset: %x", ends)
					}
				default:
					if total(ends) != 0 || ends[0] != 3 || ends[1] != 3 || !bytes.Equal(ends[8:], sent[:28]) {
						t.Errorf("ICMP: %x", ends)
					}
				}
			})
		}
	}
}

// TestNATHasEnd: ports run out for who opens too many, and come back when they are not used.
func TestNATHasEnd(t *testing.T) {
	n, now := newNAT(Gate{Public: public, Mapping: AddressAndPortDependent}), time.Now()
	send := func(i int) bool {
		to := netip.AddrPortFrom(far.Addr(), uint16(i+1))
		goes, _ := n.outbound(datagram(UDP, inside, to, nil), now)
		return goes
	}
	for i := range mappingsMax {
		if !send(i) {
			t.Fatalf("mapping %d was refused", i)
		}
	}
	if send(mappingsMax) {
		t.Error("there is no end to mappings")
	}
	now = now.Add(mappingLife + time.Second)
	if !send(mappingsMax) || len(n.out) != 1 || len(n.in) != 1 {
		t.Errorf("%d mappings are left", len(n.out))
	}
}

// What a packet is changed to has right checksums if it had.
func TestChecksumsStayRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		address := func(name string) netip.AddrPort {
			ip := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, name)
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip)), rapid.Uint16Range(1, 65535).Draw(t, name+" port"))
		}
		protocol := rapid.SampledFrom([]byte{UDP, TCP}).Draw(t, "protocol")
		p := datagram(protocol, address("from"), address("to"), rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "payload"))
		rewrite(p, rapid.SampledFrom([]field{sourceField, targetField}).Draw(t, "field"), address("new"))
		if total(p[:20]) != 0 || checksum(p) != 0 {
			t.Fatalf("wrong: %x", p)
		}
	})
}

func FuzzNAT(f *testing.F) {
	f.Add(datagram(UDP, inside, far, []byte("hello")))
	f.Add(datagram(TCP, inside, far, []byte("hello")))
	f.Fuzz(func(_ *testing.T, packet []byte) {
		for _, g := range []Gate{{Public: public}, {Public: public, Pass: PassTCP443, Reject: true}} {
			n := newNAT(g)
			n.outbound(bytes.Clone(packet), time.Now())
			n.inbound(bytes.Clone(packet), time.Now())
		}
	})
}
