package network

import (
	"container/heap"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Packets of a path keep their order and the bounds of its jitter, at whatever times they are sent.
func TestJitterKeepsOrderAndBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const delay, jitter = 40 * time.Millisecond, 5 * time.Millisecond
		p := path{Path: Path{Delay: delay, Jitter: jitter}}
		now := time.Now()
		var last time.Time
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			now = now.Add(time.Duration(rapid.IntRange(0, int(200*time.Millisecond)).Draw(t, "pause")))
			due := p.due(now)
			if due.Before(last) {
				t.Fatalf("due %s before the packet ahead of it", last.Sub(due))
			}
			if took := due.Sub(now); took < delay-jitter || took > delay+jitter {
				t.Fatalf("took %s", took)
			}
			last = due
		}
	})
}

func TestJitterReordersWhenAsked(t *testing.T) {
	p := path{Path: Path{Delay: 40 * time.Millisecond, Jitter: 5 * time.Millisecond, Reorder: true}}
	now, swaps := time.Now(), 0
	var last time.Time
	for range 1000 {
		due := p.due(now)
		if due.Before(last) {
			swaps++
		}
		last = due
	}
	if swaps < 300 || swaps > 700 {
		t.Errorf("%d of 1,000 packets were due before the one ahead, want about half", swaps)
	}
}

// A path that becomes shorter does not let new packets overtake old ones.
func TestShorterPathKeepsOrder(t *testing.T) {
	p, now := path{Path: Path{Delay: time.Second}}, time.Now()
	first := p.due(now)
	p.Path = Path{Delay: time.Millisecond}
	if second := p.due(now); second.Before(first) {
		t.Errorf("the second is due %s before the first", first.Sub(second))
	}
}

func TestPacketsLeaveTheQueueWhenDue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f flight
		now := time.Now()
		count := rapid.IntRange(1, 100).Draw(t, "packets")
		for turn := range count {
			late := time.Duration(rapid.IntRange(0, 5).Draw(t, "late"))
			heap.Push(&f, &packet{due: now.Add(late), turn: uint64(turn)})
		}
		last := &packet{}
		for range count {
			p := heap.Pop(&f).(*packet)
			if p.due.Before(last.due) || p.due.Equal(last.due) && p.turn < last.turn {
				t.Fatalf("packet %d due %s came after packet %d due %s", p.turn, p.due, last.turn, last.due)
			}
			last = p
		}
	})
}

// ipv4 is a packet with the header that tests need.
func ipv4(protocol byte, from, to netip.AddrPort) []byte {
	b := make([]byte, 28)
	b[0], b[9] = 0x45, protocol
	copy(b[12:], from.Addr().AsSlice())
	copy(b[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(b[20:], from.Port())
	binary.BigEndian.PutUint16(b[22:], to.Port())
	return b
}

func TestFlowOf(t *testing.T) {
	from, to := netip.MustParseAddrPort("10.77.1.11:7881"), netip.MustParseAddrPort("10.77.2.11:7946")
	without := func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), 0) }
	fragment := ipv4(UDP, from, to)
	fragment[7] = 1
	six := ipv4(UDP, from, to)
	six[0] = 0x60
	for _, tc := range []struct {
		name   string
		packet []byte
		want   Flow
		ok     bool
	}{
		{"UDP", ipv4(UDP, from, to), Flow{from, to, UDP}, true},
		{"TCP", ipv4(TCP, from, to), Flow{from, to, TCP}, true},
		{"no ports", ipv4(1, from, to), Flow{without(from), without(to), 1}, true},
		{"a later fragment", fragment, Flow{without(from), without(to), UDP}, true},
		{"cut off behind the header", ipv4(UDP, from, to)[:22], Flow{without(from), without(to), UDP}, true},
		{"cut off in the header", ipv4(UDP, from, to)[:19], Flow{}, false},
		{"IPv6", six, Flow{}, false},
		{"nothing", nil, Flow{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, ok := FlowOf(tc.packet); ok != tc.ok || ok && got != tc.want {
				t.Errorf("FlowOf = %v, %v, want %v, %v", got, ok, tc.want, tc.ok)
			}
		})
	}
}

func FuzzFlowOf(f *testing.F) {
	f.Add(ipv4(UDP, netip.MustParseAddrPort("10.77.1.1:1"), netip.MustParseAddrPort("10.77.2.1:2")))
	f.Fuzz(func(_ *testing.T, packet []byte) { FlowOf(packet) })
}

// What a WAN of three ends does with one packet from the first, and what it counts.
func TestWANDecides(t *testing.T) {
	for _, tc := range []struct {
		name    string
		arrange func(*WAN)
		to      string
		sent    bool // on its way now
		want    Traffic
	}{
		{"goes", func(*WAN) {}, "10.77.2.9:1", true, Traffic{Packets: 1, Bytes: 28}},
		{"all are lost", func(w *WAN) { w.SetAll(Path{Loss: 1}) }, "10.77.2.9:1", false, Traffic{1, 28, 1}},
		{"the pair is cut", func(w *WAN) { w.Set(0, 1, Path{Cut: true}) }, "10.77.2.9:1", false, Traffic{1, 28, 1}},
		{"another pair is cut", func(w *WAN) { w.Set(0, 2, Path{Cut: true}) }, "10.77.2.9:1", true, Traffic{Packets: 1, Bytes: 28}},
		{"its region is cut off", func(w *WAN) { w.SetDown(0, true) }, "10.77.2.9:1", false, Traffic{1, 28, 1}},
		{"the other region is cut off", func(w *WAN) { w.SetDown(1, true) }, "10.77.2.9:1", false, Traffic{1, 28, 1}},
		{"healed", func(w *WAN) { w.SetDown(1, true); w.SetDown(1, false) }, "10.77.2.9:1", true, Traffic{Packets: 1, Bytes: 28}},
		{"out of the lab", func(*WAN) {}, "192.0.2.1:1", false, Traffic{}},
		{"to its own region", func(*WAN) {}, "10.77.1.9:1", false, Traffic{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &WAN{flows: map[Flow]*Traffic{}}
			for _, prefix := range []string{"10.77.1.0/24", "10.77.2.0/24", "10.77.3.0/24"} {
				w.add(End{Prefix: netip.MustParsePrefix(prefix)}, -1)
			}
			tc.arrange(w)
			p := &packet{}
			p.size = copy(p.data[:], ipv4(UDP, netip.MustParseAddrPort("10.77.1.9:5"), netip.MustParseAddrPort(tc.to)))
			w.send(w.ends[0], p, time.Now())
			if sent := len(w.queue) == 1; sent != tc.sent {
				t.Errorf("on its way: %v, want %v", sent, tc.sent)
			}
			var got Traffic
			for _, one := range w.Flows() {
				got = one.Traffic
			}
			if got != tc.want {
				t.Errorf("counted %+v, want %+v", got, tc.want)
			}
		})
	}
}
