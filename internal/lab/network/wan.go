// Package network carries IP packets between the regions of the lab: late, and not all of them. The kernel of a test machine
// may know no delay.
//
// It runs in a process of its own, internal/lab/wan, which a busy machine must not hold up: a test's process, with all its
// clients, stands still for a while now and then.
package network

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// MTU is that of the TUN devices.
	MTU = 1500

	buffer = 20_000 // packets on their way at most; more are lost

	idle = 10 * time.Minute // for which the deliverer sleeps when nothing is on its way
)

// WAN carries packets between its ends, which are numbered from 0: those of regions, and those of homes behind a Gate. Each is
// a TUN device that the routes to the others lead to. All methods are safe for concurrent use.
type WAN struct {
	wake    int // an eventfd: something is due earlier than anything before
	halt    int // an eventfd that stays readable: the WAN has stopped
	readers sync.WaitGroup

	mu    sync.Mutex // protects following
	ends  []*end
	paths [][]path // by from and to
	down  []bool   // by region: cut off from all others
	queue flight
	flows map[Flow]*Traffic
	sent  uint64
	spare []*packet
	late  time.Duration
}

// end is one end of the WAN.
type end struct {
	number int
	prefix netip.Prefix
	tun    int  // file descriptor, which does not block
	gate   *nat // nil: it is open
}

// packet is one IP packet on its way.
type packet struct {
	due  time.Time
	turn uint64 // in which packets with the same due time go
	to   *end
	lost bool // on its way
	size int
	data [MTU]byte
}

// End is an end of the WAN: the addresses that lead to it, and its TUN device (IP packets, no header), which is made in a
// namespace that ip(8) knows by its name.
type End struct {
	Prefix    netip.Prefix
	Namespace string
	Device    string
	Path      Path // to and from all others
	Gate      Gate
}

// New makes a WAN without ends.
func New() (*WAN, error) {
	w := &WAN{flows: map[Flow]*Traffic{}}
	for _, fd := range []*int{&w.wake, &w.halt} {
		var err error
		if *fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
			return nil, fmt.Errorf("eventfd: %w", err)
		}
	}
	return w, nil
}

// Attach gives the WAN another end and returns its number. The WAN closes it.
func (w *WAN) Attach(e End) (number int, err error) {
	tun, err := openTUN(e.Namespace, e.Device)
	if err != nil {
		return 0, fmt.Errorf("end in %s: %w", e.Namespace, err)
	}
	one := w.add(e, tun)
	w.readers.Go(func() { w.read(one) })
	return one.number, nil
}

// add connects an end with all others.
func (w *WAN) add(e End, tun int) *end {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := &end{number: len(w.ends), prefix: e.Prefix, tun: tun}
	if e.Gate != (Gate{}) {
		one.gate = newNAT(e.Gate)
	}
	w.ends = append(w.ends, one)
	w.down = append(w.down, false)
	w.paths = append(w.paths, make([]path, one.number))
	for i := range w.paths {
		w.paths[i] = append(w.paths[i], path{Path: e.Path})
		w.paths[one.number][i].Path = e.Path
	}
	return one
}

// Run carries packets until ctx ends. It runs once, and nothing is attached any more then.
func (w *WAN) Run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { signal(w.halt) })
	defer stop()
	w.deliver()
	w.readers.Wait()
	for _, e := range w.ends {
		_ = unix.Close(e.tun)
	}
	_ = unix.Close(w.wake)
	_ = unix.Close(w.halt)
}

// signal makes an eventfd readable.
func signal(eventfd int) { _, _ = unix.Write(eventfd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// await waits until one of the file descriptors is readable, or so much time has passed. It waits in the kernel: timers of
// the runtime count in milliseconds.
func await(limit time.Duration, fds ...int) {
	var room [2]unix.PollFd
	polled := room[:len(fds)]
	for i, fd := range fds {
		polled[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	timeout := unix.NsecToTimespec(int64(limit))
	_, _ = unix.Ppoll(polled, &timeout, nil) // woken too early, the caller finds nothing and waits again
}

func (w *WAN) halted() bool {
	polled := []unix.PollFd{{Fd: int32(w.halt), Events: unix.POLLIN}}
	n, _ := unix.Poll(polled, 0)
	return n > 0
}

// read takes packets out of an end until the WAN stops, or the end's namespace is gone.
func (w *WAN) read(from *end) {
	p := w.newPacket()
	for {
		n, err := unix.Read(from.tun, p.data[:])
		if err != nil {
			if w.halted() || errors.Is(err, unix.EBADFD) {
				return
			}
			await(idle, from.tun, w.halt)
			continue
		}
		p.size = n
		now := time.Now()
		goes, answer := w.leave(from, p, now)
		if answer != nil {
			_, _ = unix.Write(from.tun, answer)
		}
		if !goes {
			continue
		}
		if w.send(from, p, now) {
			signal(w.wake)
		}
		p = w.newPacket()
	}
}

// leave takes a packet through the gate of its end.
func (w *WAN) leave(from *end, p *packet, now time.Time) (goes bool, answer []byte) {
	if from.gate == nil {
		return true, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return from.gate.outbound(p.data[:p.size], now)
}

func (w *WAN) newPacket() *packet {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.spare); n > 0 {
		p := w.spare[n-1]
		w.spare = w.spare[:n-1]
		return p
	}
	return &packet{}
}

// send decides what becomes of a packet. It reports whether the packet is due before all others.
func (w *WAN) send(from *end, p *packet, now time.Time) (first bool) {
	flow, ok := FlowOf(p.data[:p.size])
	w.mu.Lock()
	defer w.mu.Unlock()
	if ok {
		p.to = w.endOfLocked(flow.To.Addr())
	}
	if !ok || p.to == nil || p.to == from {
		w.spare = append(w.spare, p) // it leads out of the lab
		return false
	}
	traffic := w.trafficLocked(flow)
	traffic.Packets++
	traffic.Bytes += p.size
	path := &w.paths[from.number][p.to.number]
	arrives := !path.Cut && !w.down[from.number] && !w.down[p.to.number] && len(w.queue) < buffer && path.takes(p, flow, now)
	if !arrives || p.lost {
		traffic.Lost++
	}
	if !arrives {
		w.spare = append(w.spare, p)
		return false
	}
	w.sent++
	p.turn = w.sent
	heap.Push(&w.queue, p)
	return w.queue[0] == p
}

func (w *WAN) endOfLocked(ip netip.Addr) *end {
	for _, e := range w.ends {
		if e.prefix.Contains(ip) {
			return e
		}
	}
	return nil
}

// deliver gives packets to their ends when they are due, until the WAN stops.
func (w *WAN) deliver() {
	var due []*packet
	var sink [8]byte
	for {
		wait := w.takeDue(&due)
		for _, p := range due {
			_, _ = unix.Write(p.to.tun, p.data[:p.size]) // a device that is full loses it, as a router would
		}
		if len(due) > 0 {
			w.recycle(due)
			continue
		}
		if w.halted() {
			return
		}
		await(wait, w.wake, w.halt)
		_, _ = unix.Read(w.wake, sink[:])
	}
}

// takeDue takes from the queue what is due, or says how long nothing is.
func (w *WAN) takeDue(due *[]*packet) (wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*due = (*due)[:0]
	now := time.Now()
	for len(w.queue) > 0 {
		p := w.queue[0]
		if wait = p.due.Sub(now); wait > 0 {
			return wait
		}
		heap.Pop(&w.queue)
		w.late = max(w.late, -wait)
		if p.lost || w.down[p.to.number] || p.to.gate != nil && !p.to.gate.inbound(p.data[:p.size], now) {
			w.spare = append(w.spare, p)
			continue
		}
		*due = append(*due, p)
	}
	return idle
}

// Late is the most that a packet was delivered too late since Late was last asked: what the test machine adds to the
// network.
func (w *WAN) Late() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	late := w.late
	w.late = 0
	return late
}

func (w *WAN) recycle(done []*packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spare = append(w.spare, done...)
}

// SetAll changes all paths that there are.
func (w *WAN) SetAll(each Path) {
	w.change(func(now time.Time) {
		for _, row := range w.paths {
			for i := range row {
				row[i].become(each, now)
			}
		}
	})
}

// Set changes the paths between two ends, both ways.
func (w *WAN) Set(a, b int, both Path) {
	w.change(func(now time.Time) {
		w.paths[a][b].become(both, now)
		w.paths[b][a].become(both, now)
	})
}

// SetOneWay changes the path from one end to another.
func (w *WAN) SetOneWay(from, to int, is Path) {
	w.change(func(now time.Time) { w.paths[from][to].become(is, now) })
}

// change lets f change paths, and what is due with them.
func (w *WAN) change(f func(now time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(time.Now())
	if len(w.queue) > 0 {
		heap.Init(&w.queue)
		signal(w.wake)
	}
}

// Passages are what passed the bottleneck from one end to another since they were last asked for.
func (w *WAN) Passages(from, to int) []Passage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.paths[from][to].narrow.taken(time.Now())
}

// Rebind has the NAT of an end give UDP other ports from now on.
func (w *WAN) Rebind(end int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if g := w.ends[end].gate; g != nil {
		g.rebind()
	}
}

// SetDown cuts an end off from all others, what is on its way to it included, or ends that.
func (w *WAN) SetDown(end int, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[end] = down
}

// flight are the packets on their way, the one that is due next on top. It implements heap.Interface.
type flight []*packet

// Len implements sort.Interface.
func (f flight) Len() int { return len(f) }

// Less implements sort.Interface.
func (f flight) Less(i, j int) bool {
	if f[i].due.Equal(f[j].due) {
		return f[i].turn < f[j].turn
	}
	return f[i].due.Before(f[j].due)
}

// Swap implements sort.Interface.
func (f flight) Swap(i, j int) { f[i], f[j] = f[j], f[i] }

// Push implements heap.Interface.
func (f *flight) Push(x any) { *f = append(*f, x.(*packet)) } //nolint:errcheck // there is nothing else in it

// Pop implements heap.Interface.
func (f *flight) Pop() any {
	last := len(*f) - 1
	p := (*f)[last]
	(*f)[last] = nil
	*f = (*f)[:last]
	return p
}
