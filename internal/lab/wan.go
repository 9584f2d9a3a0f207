package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/parley-sfu/parley/internal/lab/network"
)

const (
	wanDevice   = "wan"
	wanQueue    = 10_000 // packets that the kernel keeps for a reader that is late
	wanPriority = 10     // among what must run in real time
)

type (
	// Path is what happens to packets between two regions.
	Path = network.Path
	// Flow is one direction between two sockets.
	Flow = network.Flow
	// Traffic counts what a region gave the WAN.
	Traffic = network.Traffic
	// Passage is what became of one packet at a bottleneck.
	Passage = network.Passage
)

// Protocols of flows.
const (
	TCP = network.TCP
	UDP = network.UDP
)

// Overseas is a path as between continents: 80 ms there and back.
func Overseas() Path {
	return Path{Delay: 40 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.01}
}

// WAN is the network between the regions of a World; see package network.
type WAN struct {
	tb  testing.TB
	rpc *rpc.Client
}

// startWAN runs a WAN without ends until the test is over.
func startWAN(tb testing.TB) *WAN {
	tb.Helper()
	cmd := exec.Command(buildWAN(tb)) //nolint:noctx // it ends with its input
	cmd.Stderr = tb.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("lab: %v", err)
	}
	w := &WAN{tb, rpc.NewClient(pipes{out, in})}
	tb.Cleanup(func() {
		_ = w.rpc.Close()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("lab: wan: %v", err)
		}
	})
	w.Late() // once it answers it has its threads
	inRealTime(cmd.Process.Pid)
	return w
}

// attach makes a device in a namespace that leads to the WAN, and returns the number of that end.
func (w *WAN) attach(tb testing.TB, space *namespace, e network.End) (number int) {
	tb.Helper()
	e.Namespace = space.name
	if err := w.rpc.Call("WAN.Attach", e, &number); err != nil {
		tb.Fatalf("lab: wan: %v", err)
	}
	space.ip(tb, "link", "set", e.Device, "addrgenmode", "none", "mtu", fmt.Sprint(network.MTU), "txqueuelen", fmt.Sprint(wanQueue), "up")
	return number
}

// pipes are the two ways to a process.
type pipes struct {
	io.ReadCloser
	in io.WriteCloser
}

// Write implements io.Writer.
func (p pipes) Write(b []byte) (int, error) { return p.in.Write(b) }

// Close implements io.Closer: it ends the process's input, and with that the process.
func (p pipes) Close() error { return p.in.Close() }

// inRealTime lets the threads of a process run before all that need not, for a network does not wait for the machine's
// processors. New threads are like the ones that start them. Where it is not allowed, the network is as late as the machine.
func inRealTime(pid int) {
	threads, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
	if err != nil {
		return
	}
	for _, thread := range threads {
		if id, err := strconv.Atoi(thread.Name()); err == nil {
			_ = unix.SchedSetAttr(id, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: wanPriority}, 0)
		}
	}
}

func (w *WAN) call(method string, args, answer any) {
	w.tb.Helper()
	if err := w.rpc.Call("WAN."+method, args, answer); err != nil {
		w.tb.Errorf("lab: wan: %s: %v", method, err)
	}
}

// SetAll changes all paths.
func (w *WAN) SetAll(each Path) { w.call("SetAll", each, &network.Nothing{}) }

// Set changes the paths between two regions, both ways.
func (w *WAN) Set(a, b *Region, both Path) {
	w.call("Set", network.Pair{A: a.index, B: b.index, Path: both}, &network.Nothing{})
}

// SetOneWay changes the path from one region to another.
func (w *WAN) SetOneWay(from, to *Region, is Path) { w.setOneWay(from.index, to.index, is) }

func (w *WAN) setOneWay(from, to int, is Path) {
	w.call("SetOneWay", network.Pair{A: from, B: to, Path: is}, &network.Nothing{})
}

// Passages are what passed the bottleneck from one region to another since they were last asked for.
func (w *WAN) Passages(from, to *Region) []Passage { return w.passages(from.index, to.index) }

func (w *WAN) passages(from, to int) (all []Passage) {
	w.call("Passages", network.Pair{A: from, B: to}, &all)
	return all
}

// Partition cuts a region off from all others, what is on its way to it included.
func (w *WAN) Partition(r *Region) { w.setDown(r, true) }

// Heal ends a partition.
func (w *WAN) Heal(r *Region) { w.setDown(r, false) }

func (w *WAN) setDown(r *Region, down bool) {
	w.call("SetDown", network.Cut{Number: r.index, Down: down}, &network.Nothing{})
}

// Late is the most that a packet was delivered too late since Late was last asked: what the test machine adds to the
// network.
func (w *WAN) Late() time.Duration {
	var late int64
	w.call("Late", network.Nothing{}, &late)
	return time.Duration(late)
}

// CPU is what the network has used of the processors.
func (w *WAN) CPU() time.Duration {
	var used int64
	w.call("CPU", network.Nothing{}, &used)
	return time.Duration(used)
}

// Count adds up the traffic of all flows that match: what regions gave to the WAN.
func (w *WAN) Count(match func(Flow) bool) (sum Traffic) {
	var all []network.Counted
	w.call("Flows", network.Nothing{}, &all)
	for _, one := range all {
		if match(one.Flow) {
			sum.Packets += one.Packets
			sum.Bytes += one.Bytes
			sum.Lost += one.Lost
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
