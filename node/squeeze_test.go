package node

import (
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// downlink stands between a viewer and its node. What comes from the node passes at so many bit/s; a queue holds a fifth of a
// second of it, and what is more is lost.
type downlink struct {
	front, back *net.UDPConn
	viewer      atomic.Pointer[net.UDPAddr]
	rate        atomic.Int64 // bit/s
	running     sync.WaitGroup
}

const (
	downlinkQueue   = 200 * time.Millisecond
	downlinkLatency = 10 * time.Millisecond
)

// newDownlink makes one that leads to a node.
func newDownlink(t testing.TB, n *Node, rate int64) *downlink {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(n.endpoint.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	d := &downlink{front: front, back: back}
	d.rate.Store(rate)
	way := make(chan parcel, 4096)
	d.running.Go(d.up)
	d.running.Go(func() { d.down(way) })
	d.running.Go(func() { d.deliver(way) })
	t.Cleanup(func() {
		_, _ = front.Close(), back.Close()
		d.running.Wait()
	})
	return d
}

func (d *downlink) up() {
	b := make([]byte, 2048)
	for {
		n, from, err := d.front.ReadFromUDP(b)
		if err != nil {
			return
		}
		d.viewer.Store(from)
		_, _ = d.back.Write(b[:n])
	}
}

// down queues what comes from the node.
func (d *downlink) down(way chan<- parcel) {
	defer close(way)
	free := time.Now() // when the link has sent all that waits
	for {
		b := make([]byte, 2048)
		n, err := d.back.Read(b)
		if err != nil {
			return
		}
		now := time.Now()
		if free.Before(now) {
			free = now
		}
		if free.Sub(now) > downlinkQueue {
			continue
		}
		free = free.Add(time.Duration(int64(n+28) * 8e9 / d.rate.Load()))
		way <- parcel{free.Add(downlinkLatency), b[:n]}
	}
}

func (d *downlink) deliver(way <-chan parcel) {
	for p := range way {
		time.Sleep(time.Until(p.at))
		if to := d.viewer.Load(); to != nil {
			_, _ = d.front.WriteToUDP(p.b, to)
		}
	}
}

// behind changes an answer to name the downlink in place of the node.
func (d *downlink) behind(answer string) string {
	_, from, _ := net.SplitHostPort(d.back.RemoteAddr().String())
	_, to, _ := net.SplitHostPort(d.front.LocalAddr().String())
	lines := strings.Split(answer, "\r\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "a=candidate") && strings.Contains(l, "tcp") })
	return strings.ReplaceAll(strings.Join(lines, "\r\n"), " "+from+" ", " "+to+" ")
}

// TestSqueezed: a viewer whose link becomes narrow is shown smaller layers within seconds, nothing when there is room for nothing, and
// the largest again when the link is what it was. Each slot says why.
func TestSqueezed(t *testing.T) {
	n := startNode(t)
	alice, bob := join(t, n, "pt_alice"), join(t, n, "pt_bob")
	alice.sizes = [maxLayers]int{150, 500, 1200} // 0.16, 0.44 and 1 Mbit/s
	start := alice.simulcast()
	alice.connect()
	bob.slots(1)
	d := newDownlink(t, n, 5_000_000)
	bob.connectWith(d.behind)
	start()
	shows := func(what string, ok func(s Slot) bool) {
		t.Helper()
		began := time.Now()
		bob.events.within(t, 15*time.Second, what, func() bool { return len(bob.events.slots) == 1 && ok(bob.events.slots[0]) })
		known, _ := n.Bandwidth("mtg_1", "pt_bob")
		t.Logf("%s after %v: %+v", what, time.Since(began), known)
	}
	shows("the largest layer", func(s Slot) bool { return s.Layer == "f" })
	d.rate.Store(700_000)
	shows("the middle layer", func(s Slot) bool { return s.Layer == "h" })
	d.rate.Store(300_000)
	shows("the least layer", func(s Slot) bool { return s.Layer == "q" })
	d.rate.Store(100_000)
	shows("a pause", func(s Slot) bool { return s.State == SlotPaused && s.Reason == "bandwidth" })
	d.rate.Store(5_000_000)
	shows("the largest layer again", func(s Slot) bool { return s.Layer == "f" })
}
