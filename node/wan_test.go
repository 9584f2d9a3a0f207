package node

import (
	"errors"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-sfu/parley/cascade"
)

// wan is a town in regions. Nodes reach each other through wires, which take time between regions and can be cut.
type wan struct {
	*town
	t       testing.TB
	region  map[string]string
	between time.Duration // one way, between regions
	parents func(self, room, origin string) []string

	mu    sync.Mutex
	stops map[string]func()
	wires map[[2]string]*wire
	down  map[string]bool
}

// regions starts nodes, named in order as region/id. The gateway of every region is its first node.
func regions(t testing.TB, between time.Duration, ids ...string) *wan {
	t.Helper()
	w := &wan{
		town: &town{nodes: map[string]*Node{}}, t: t, region: map[string]string{}, between: between,
		wires: map[[2]string]*wire{}, stops: map[string]func(){}, down: map[string]bool{},
	}
	var order []string
	for _, id := range ids {
		w.region[id] = id[:2]
		order = append(order, id)
	}
	w.parents = func(self, _, origin string) []string {
		if w.region[self] == w.region[origin] {
			return []string{origin}
		}
		var mates []string
		for _, id := range order {
			if w.region[id] == w.region[self] {
				mates = append(mates, id)
			}
		}
		mates = mates[:min(2, len(mates))]
		if mates[0] == self {
			return append([]string{origin}, mates[1:]...)
		}
		return append(slices.DeleteFunc(mates, func(id string) bool { return id == self }), origin)
	}
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, wire := range w.wires {
			wire.close()
		}
	})
	for _, id := range ids {
		w.start(id)
	}
	return w
}

func (w *wan) start(id string) *Node {
	n, stop := startStoppable(w.t, "127.0.0.1:0", &Cluster{
		NodeID: id, Links: cascade.Defaults(), Directory: sight{w, id}, Introducer: w.town, Tree: sight{w, id},
	})
	w.town.mu.Lock()
	w.nodes[id], w.stops[id] = n, stop
	w.town.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	for way, wire := range w.wires { // it listens somewhere else now
		if way[1] == id {
			wire.close()
			delete(w.wires, way)
		}
	}
	return n
}

// sight is the town as one node sees it.
type sight struct {
	w    *wan
	self string
}

func (s sight) Parents(room, origin string) []string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.w.parents(s.self, room, origin)
}

func (s sight) Lookup(id string) (cascade.Address, bool) {
	a, ok := s.w.Lookup(id)
	if !ok {
		return a, false
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	way := [2]string{s.self, id}
	if s.w.wires[way] == nil {
		delay := time.Duration(0)
		if s.w.region[s.self] != s.w.region[id] {
			delay = s.w.between
		}
		wire, err := newWire(a.Media, delay)
		if err != nil {
			s.w.t.Error(err)
			return a, false
		}
		s.w.wires[way] = wire
		wire.cut.Store(s.w.down[s.self] || s.w.down[id])
	}
	a.Media = s.w.wires[way].addr()
	return a, true
}

// cut lets a node neither hear nor be heard by the others, or heals that.
func (w *wan) cut(id string, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[id] = down
	for way, wire := range w.wires {
		wire.cut.Store(w.down[way[0]] || w.down[way[1]])
	}
}

// sever cuts the wire between two nodes.
func (w *wan) sever(a, b string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, way := range [][2]string{{a, b}, {b, a}} {
		if wire := w.wires[way]; wire != nil {
			wire.cut.Store(true)
		}
	}
}

// wire carries UDP from one node to another and back.
type wire struct {
	front, back *net.UDPConn
	delay       time.Duration
	cut         atomic.Bool
	rate        atomic.Int64 // bit/s each way; 0 is any
	loses       atomic.Int64 // packets of a thousand
	queue       atomic.Int64 // the longest that has stood in front of it since it was last set to 0, in nanoseconds
	from        atomic.Pointer[netip.AddrPort]
	running     sync.WaitGroup
}

// wireBuffer is how long a wire that is limited lets packets wait.
const wireBuffer = 300 * time.Millisecond

// narrow limits the wires between two nodes to a rate in bit/s; 0 is any. It returns the longest queue since the last call.
func (w *wan) narrow(a, b string, rate int64) (queue time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, way := range [][2]string{{a, b}, {b, a}} {
		if wire := w.wires[way]; wire != nil {
			wire.rate.Store(rate)
			queue = max(queue, time.Duration(wire.queue.Swap(0)))
		}
	}
	return queue
}

// lose has all wires lose so many of a thousand packets.
func (w *wan) lose(parts int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wire := range w.wires {
		wire.loses.Store(parts)
	}
}

type parcel struct {
	at time.Time
	b  []byte
}

func newWire(to netip.AddrPort, delay time.Duration) (*wire, error) {
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	back, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	w := &wire{front: front, back: back, delay: delay}
	w.carry(func(b []byte) (int, error) {
		n, from, err := front.ReadFromUDPAddrPort(b)
		w.from.Store(&from)
		return n, err
	}, func(b []byte) { _, _ = back.Write(b) })
	w.carry(back.Read, func(b []byte) {
		if from := w.from.Load(); from != nil {
			_, _ = front.WriteToUDPAddrPort(b, *from)
		}
	})
	return w, nil
}

// carry brings what one end reads to the other, later.
func (w *wire) carry(read func([]byte) (int, error), write func([]byte)) {
	way := make(chan parcel, 4096)
	w.running.Go(func() {
		defer close(way)
		var busy time.Time
		for {
			b := make([]byte, 2048)
			n, err := read(b)
			switch {
			case err != nil && errors.Is(err, net.ErrClosed):
				return
			case err != nil || w.cut.Load() || rand.Int64N(1000) < w.loses.Load():
				continue
			}
			at := time.Now()
			if rate := w.rate.Load(); rate > 0 {
				now := at
				if at = busy; at.Before(now) {
					at = now
				}
				if at.Sub(now) > wireBuffer {
					continue
				}
				w.queue.Store(max(w.queue.Load(), int64(at.Sub(now))))
				at = at.Add(time.Duration(int64(n+28) * 8 * int64(time.Second) / rate))
				busy = at
			}
			select {
			case way <- parcel{at.Add(w.delay), b[:n]}:
			default:
			}
		}
	})
	w.running.Go(func() {
		for p := range way {
			<-time.After(time.Until(p.at))
			if !w.cut.Load() {
				write(p.b)
			}
		}
	})
}

func (w *wire) addr() netip.AddrPort { return w.front.LocalAddr().(*net.UDPAddr).AddrPort() }

func (w *wire) close() {
	_, _ = w.front.Close(), w.back.Close()
	w.running.Wait()
}

// feeds returns the feeds of a node.
func (n *Node) feedList() []*feed {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.feeding))
}

// parent is the node that a track is pulled from; empty while it is not.
func (n *Node) parent(track, origin string) string {
	n.mu.Lock()
	f := n.feeds[feedKey{track, origin}]
	n.mu.Unlock()
	if f == nil {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now == nil {
		return ""
	}
	return f.now.relay.peer
}
