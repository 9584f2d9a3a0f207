package lab

import (
	"container/heap"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	wanMTU    = 1500
	wanQueue  = 10_000 // packets that the kernel keeps for a reader that is late
	wanBuffer = 20_000 // packets on their way at most; more are lost
	wanSwing  = 50 * time.Millisecond
	wanIdle   = 10 * time.Minute // for which the deliverer sleeps when nothing is on its way
)

// Path is what happens to packets from one region to another.
type Path struct {
	Delay   time.Duration // one way
	Jitter  time.Duration // at most so much more or less
	Loss    float64       // share of the packets, at random, whatever their protocol
	Reorder bool          // let jitter reorder packets
	Cut     bool          // lose everything
}

// Overseas is a path as between continents: 80 ms there and back.
func Overseas() Path {
	return Path{Delay: 40 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.01}
}

// WAN carries packets between regions, in this process: the kernel of a test machine may know no delay. Each region has
// one end of it, a TUN device that the routes to the other regions lead to. All methods are safe for concurrent use.
type WAN struct {
	ends []*end
	wake int // an eventfd: something is due earlier than anything before
	wg   sync.WaitGroup

	mu      sync.Mutex // protects following
	paths   [][]path   // by from and to
	down    []bool     // by region: cut off from all others
	queue   flight
	flows   map[Flow]*Traffic
	sent    uint64
	spare   []*packet
	stopped bool
}

// end is a region's end of the WAN.
type end struct {
	region int
	prefix netip.Prefix
	tun    *os.File
}

type path struct {
	Path
	last      time.Time // when the newest packet is due
	was, will time.Duration
	since     time.Time // jitter drifts from was to will
}

// packet is one IP packet on its way.
type packet struct {
	due  time.Time
	turn uint64 // in which packets with the same due time go
	to   *end
	size int
	data [wanMTU]byte
}

// newWAN makes a WAN that carries packets until the test is over. Ends are added before run.
func newWAN(tb testing.TB, each Path, ends ...*end) *WAN {
	tb.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		tb.Fatalf("lab: eventfd: %v", err)
	}
	w := &WAN{ends: ends, wake: fd, flows: map[Flow]*Traffic{}}
	w.makePaths(each)
	for _, e := range ends {
		w.wg.Go(func() { w.read(e) })
	}
	w.wg.Go(func() { w.deliver() })
	tb.Cleanup(w.close)
	return w
}

// makePaths connects every end with every other.
func (w *WAN) makePaths(each Path) {
	w.down = make([]bool, len(w.ends))
	for range w.ends {
		row := make([]path, len(w.ends))
		for i := range row {
			row[i].Path = each
		}
		w.paths = append(w.paths, row)
	}
}

func (w *WAN) close() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.nudge()
	for _, e := range w.ends {
		e.tun.Close()
	}
	w.wg.Wait()
	_ = unix.Close(w.wake)
}

// read takes packets out of a region until its device is closed.
func (w *WAN) read(from *end) {
	for {
		p := w.newPacket()
		n, err := from.tun.Read(p.data[:])
		if err != nil {
			return
		}
		p.size = n
		if w.send(from, p, time.Now()) {
			w.nudge()
		}
	}
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
	flow, ok := flowOf(p.data[:p.size])
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
	path := &w.paths[from.region][p.to.region]
	if path.Cut || w.down[from.region] || w.down[p.to.region] || rand.Float64() < path.Loss || len(w.queue) >= wanBuffer {
		traffic.Lost++
		w.spare = append(w.spare, p)
		return false
	}
	p.due = path.due(now)
	w.sent++
	p.turn = w.sent
	heap.Push(&w.queue, p)
	return w.queue[0] == p
}

// due is when a packet arrives that is sent now.
func (p *path) due(now time.Time) time.Time {
	due := now.Add(p.Delay)
	switch {
	case p.Jitter == 0:
	case p.Reorder:
		due = due.Add(p.anyJitter())
	default:
		due = due.Add(p.drift(now))
	}
	if !p.Reorder && due.Before(p.last) {
		due = p.last
	}
	p.last = due
	return due
}

// drift is the jitter of packets that keep their order: it wanders slower than time passes. If each packet drew its own,
// those behind a late one would all be late.
func (p *path) drift(now time.Time) time.Duration {
	passed := now.Sub(p.since)
	if passed >= wanSwing {
		p.was, p.will, p.since, passed = p.will, p.anyJitter(), now, 0
	}
	return p.was + (p.will-p.was)*passed/wanSwing
}

func (p *path) anyJitter() time.Duration { return rand.N(2*p.Jitter) - p.Jitter }

func (w *WAN) endOfLocked(ip netip.Addr) *end {
	for _, e := range w.ends {
		if e.prefix.Contains(ip) {
			return e
		}
	}
	return nil
}

// deliver gives packets to their regions when they are due. It sleeps in the kernel and not on a timer of the runtime,
// which counts in milliseconds.
func (w *WAN) deliver() {
	var due []*packet
	var sink [8]byte
	for {
		wait, stopped := w.takeDue(&due)
		if stopped {
			return
		}
		for _, p := range due {
			_, _ = p.to.tun.Write(p.data[:p.size]) // a device that is full loses it, as a router would
		}
		if len(due) > 0 {
			w.recycle(due)
			continue
		}
		timeout := unix.NsecToTimespec(int64(wait))
		_, err := unix.Ppoll([]unix.PollFd{{Fd: int32(w.wake), Events: unix.POLLIN}}, &timeout, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		_, _ = unix.Read(w.wake, sink[:])
	}
}

// takeDue takes from the queue what is due, or says how long nothing is.
func (w *WAN) takeDue(due *[]*packet) (wait time.Duration, stopped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*due = (*due)[:0]
	now := time.Now()
	for len(w.queue) > 0 {
		p := w.queue[0]
		if wait = p.due.Sub(now); wait > 0 {
			return wait, w.stopped
		}
		heap.Pop(&w.queue)
		if !w.down[p.to.region] {
			*due = append(*due, p)
		}
	}
	return wanIdle, w.stopped
}

func (w *WAN) recycle(done []*packet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spare = append(w.spare, done...)
}

// nudge wakes the deliverer.
func (w *WAN) nudge() {
	_, _ = unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // full means that it is about to wake
}

// SetAll changes all paths of the WAN.
func (w *WAN) SetAll(each Path) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, row := range w.paths {
		for i := range row {
			row[i].Path = each
		}
	}
}

// Set changes the paths between two regions, both ways.
func (w *WAN) Set(a, b *Region, both Path) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paths[a.index][b.index].Path, w.paths[b.index][a.index].Path = both, both
}

// Path is the present path from one region to another.
func (w *WAN) Path(from, to *Region) Path {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.paths[from.index][to.index].Path
}

// Partition cuts a region off from all others, what is on its way to it included.
func (w *WAN) Partition(r *Region) { w.setDown(r, true) }

// Heal ends a partition.
func (w *WAN) Heal(r *Region) { w.setDown(r, false) }

func (w *WAN) setDown(r *Region, down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[r.index] = down
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

// openTUN makes a TUN device (IP packets, no header) in the namespace. Its name is wan.
func (n *namespace) openTUN(tb testing.TB) *os.File {
	tb.Helper()
	var tun *os.File
	err := n.do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		request, err := unix.NewIfreq(wanDevice)
		if err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		tun = os.NewFile(uintptr(fd), wanDevice) // only now: the runtime can wait for a TUN once it is one
		return nil
	})
	if err != nil {
		tb.Fatalf("lab: tun: %v", err)
	}
	return tun
}
