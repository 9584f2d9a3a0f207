package system_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// probe sends numbered datagrams from one region to another, which sends them back.
type probe struct {
	conn *net.UDPConn
	to   netip.AddrPort

	mu    sync.Mutex
	sent  []time.Time // by number
	trips []time.Duration
	last  int
	swaps int // that came before one of a lower number
}

func newProbe(tb testing.TB, from, to *lab.Region) *probe {
	tb.Helper()
	echo := to.ListenUDP(tb)
	p := &probe{conn: from.ListenUDP(tb), to: echo.LocalAddr().(*net.UDPAddr).AddrPort(), last: -1}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := echo.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = echo.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	go p.read()
	return p
}

func (p *probe) read() {
	buf := make([]byte, 1500)
	for {
		if _, _, err := p.conn.ReadFromUDPAddrPort(buf); err != nil {
			return
		}
		number := int(binary.BigEndian.Uint32(buf))
		p.mu.Lock()
		p.trips = append(p.trips, time.Since(p.sent[number]))
		if number < p.last {
			p.swaps++
		}
		p.last = max(p.last, number)
		p.mu.Unlock()
	}
}

// send sends so many datagrams at that rate and waits until all are back, or the last of them must be.
func (p *probe) send(tb testing.TB, count, perSecond, size int) (trips []time.Duration, swaps int) {
	tb.Helper()
	p.mu.Lock()
	p.trips, p.swaps = nil, 0
	p.mu.Unlock()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	body := make([]byte, size)
	for start, done := time.Now(), 0; done < count; <-tick.C {
		for due := int(time.Since(start) * time.Duration(perSecond) / time.Second); done < min(due, count); done++ {
			p.mu.Lock()
			binary.BigEndian.PutUint32(body, uint32(len(p.sent)))
			p.sent = append(p.sent, time.Now())
			p.mu.Unlock()
			if _, err := p.conn.WriteToUDPAddrPort(body, p.to); err != nil {
				tb.Fatal(err)
			}
		}
	}
	milestone{is: func() bool { return p.back() == count }}.await(time.Second)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trips, p.swaps
}

func (p *probe) back() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.trips)
}

// The lab's own network delays, loses and cuts as it says, and counts what the kernel counts.
func TestLabNetworkIsWhatItSays(t *testing.T) {
	w := lab.NewWorld(t, lab.Overseas(), "eu", "us", "ap")
	eu, us, ap := w.Regions[0], w.Regions[1], w.Regions[2]
	figures := newTable(t, "what", "measured", "bound", "")
	hold := func(what string, got, bound any, good bool) {
		t.Helper()
		figures.add(what, got, bound, verdict(good))
		if !good {
			t.Errorf("%s: %v, want %v", what, got, bound)
		}
	}

	const pings = 3000
	p := newProbe(t, eu, us)
	trips, swaps := p.send(t, pings, 500, 200) // over six seconds: of two, a tenth is as long as a busy machine stands still at times
	for _, q := range []int{1, 50, 90} {
		got := percentile(trips, q)
		hold(fmt.Sprintf("round trip eu – us, p%d", q), got, "80 ± 12 ms", got > 68*time.Millisecond && got < 92*time.Millisecond)
	}
	figures.add("round trip eu – us, p99, with what the test waits for a processor", percentile(trips, 99), "", "")
	lost := pings - len(trips) // 60 ± 8 of them, for each goes there and back
	hold("round trips lost", fmt.Sprintf("%.1f %%", 100*float64(lost)/pings), "0.7–4 %", lost > pings*7/1000 && lost < pings*4/100)
	hold("datagrams out of order", swaps, 0, swaps == 0)

	w.WAN.Partition(us)
	trips, _ = p.send(t, 100, 1000, 200)
	hold("of 100 while us is cut off", len(trips), 0, len(trips) == 0)
	w.WAN.Heal(us)
	w.WAN.Set(eu, us, lab.Path{Delay: time.Millisecond})
	trips, _ = p.send(t, 1000, 1000, 200)
	hold("of 1,000 afterwards", len(trips), 1000, len(trips) == 1000)
	got := percentile(trips, 50) // of a second: a tenth of one is little beside what a busy machine adds at times
	hold("round trip when the delay is 1 ms, p50", got, "2–5 ms", got >= 2*time.Millisecond && got < 5*time.Millisecond)
	w.WAN.Set(eu, us, lab.Path{Cut: true})
	trips, _ = p.send(t, 100, 1000, 200)
	hold("of 100 while eu – us is cut", len(trips), 0, len(trips) == 0)

	w.WAN.SetAll(lab.Path{Delay: 40 * time.Millisecond})
	before := w.WAN.CPU()
	const many = 10_000 // there and as many back
	trips, _ = newProbe(t, eu, ap).send(t, many, 5000, 1000)
	hold("of 10,000 at 5,000 a second, there and back", len(trips), many, len(trips) == many)
	figures.add("CPU a packet", fmt.Sprint((w.WAN.CPU()-before)/(2*many)), "", "")
	late := w.WAN.Late()
	hold("the WAN was late by at most", late, 50*time.Millisecond, late < 50*time.Millisecond)

	for _, r := range w.Regions {
		sent, received := r.KernelCount(t)
		counted := w.WAN.Count(lab.Between(r, nil))
		hold("bytes out of "+r.Name+", kernel's and WAN's", fmt.Sprintf("%d %d", sent.Bytes, counted.Bytes), "± 1 %", near(sent.Bytes, counted.Bytes))
		arrived := w.WAN.Count(lab.Between(nil, r))
		hold("packets into "+r.Name+", kernel's and WAN's", fmt.Sprintf("%d %d", received.Packets, arrived.Packets-arrived.Lost), "± 1 %",
			near(received.Packets, arrived.Packets-arrived.Lost))
	}
}

func near(a, b int) bool { return max(a, b)-min(a, b) <= max(a, b)/100 }
