package udp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A relay is a process of its own that passes each datagram on to some addresses, as a node does. It tells its address first, and
// then, for each line on its standard input, what it has used.
const (
	relayTo     = "PARLEY_UDP_RELAY_TO"
	relayGather = "PARLEY_UDP_RELAY_GATHER"
)

type relayUsed struct{ cpu, reads, sleeps int64 }

func relay() error {
	gather, err := time.ParseDuration(os.Getenv(relayGather))
	if err != nil {
		return err
	}
	c, err := Listen(Config{Listen: loopback4, ReceiveBuffer: 4 << 20, Gather: gather})
	if err != nil {
		return err
	}
	var to []Addr
	for s := range strings.SplitSeq(os.Getenv(relayTo), ",") {
		to = append(to, AddrFrom(netip.MustParseAddrPort(s)))
	}
	fmt.Println(c.LocalAddr())
	go relayUsage(c)
	ms, out := messages(maxRead, 1500), c.NewBatch()
	for {
		n, err := c.Read(ms)
		if err != nil {
			return nil
		}
		c.stats.truncated.Add(1) // nothing is: it counts the reads
		for _, m := range ms[:n] {
			for _, a := range to {
				out.Queue(copy(out.Reserve(m.N), m.Buf[:m.N]), a)
			}
		}
		_ = out.Flush()
	}
}

func relayUsage(c *Conn) {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var used syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
		fmt.Println(used.Utime.Nano()+used.Stime.Nano(), c.Stats().Truncated, used.Nvcsw)
	}
	_ = c.Close()
}

// TestGather: what comes thick is read together, whole and in order, and Close wakes who gathers.
func TestGather(t *testing.T) {
	c, err := Listen(Config{Listen: loopback4, ReceiveBuffer: 1 << 20, Gather: 300 * time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	from, to := listen(t, loopback4), AddrFrom(c.LocalAddr())
	const datagrams, underWay = 20000, 100 // few enough for any receive buffer
	var read atomic.Int64
	go func() {
		for i := range datagrams {
			for int64(i)-read.Load() > underWay {
				runtime.Gosched()
			}
			_, _ = from.WriteTo(binary.BigEndian.AppendUint32(nil, uint32(i)), to)
		}
	}()
	ms, reads := messages(maxRead, 100), 0
	for next := 0; next < datagrams; reads++ {
		n, err := c.Read(ms)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range ms[:n] {
			if got := binary.BigEndian.Uint32(m.Buf); got != uint32(next) {
				t.Fatalf("datagram %d after %d", got, next-1)
			}
			next++
		}
		read.Store(int64(next))
	}
	if reads > datagrams/2 {
		t.Errorf("%d reads for %d datagrams", reads, datagrams)
	}
	closed := make(chan error)
	go func() {
		_, err := c.Read(ms)
		closed <- err
	}()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-closed; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
}

// BenchmarkGather tells what a datagram costs a process that passes it on to four addresses, and how long that takes, by how thick
// they come and whether Read gathers. An iteration is one datagram, sent on time.
func BenchmarkGather(b *testing.B) {
	for _, every := range []time.Duration{time.Millisecond, 200 * time.Microsecond, 100 * time.Microsecond, 50 * time.Microsecond} {
		for _, gather := range []time.Duration{0, 300 * time.Microsecond} {
			b.Run(fmt.Sprintf("every=%s/gather=%s", every, gather), func(b *testing.B) { benchmarkGather(b, every, gather) })
		}
	}
}

func benchmarkGather(b *testing.B, every, gather time.Duration) {
	heard := listen(b, loopback4)
	to := []string{heard.LocalAddr().String()}
	for _, a := range sinks(b, 3) {
		to = append(to, a.String())
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), self)
	cmd.Env = append(os.Environ(), relayTo+"="+strings.Join(to, ","), relayGather+"="+gather.String())
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	var at string
	if _, err := fmt.Fscan(out, &at); err != nil {
		b.Fatal(err)
	}
	used := func() (u relayUsed) {
		fmt.Fprintln(in)
		if _, err := fmt.Fscan(out, &u.cpu, &u.reads, &u.sleeps); err != nil {
			b.Fatal(err)
		}
		return u
	}
	pacer := newPacer(listen(b, loopback4), heard, AddrFrom(netip.MustParseAddrPort(at)), every)
	for range 100 * time.Millisecond / every { // until it has seen how thick they come
		pacer.next()
	}
	before := used()
	for b.Loop() {
		pacer.next()
	}
	after := used()
	b.ReportMetric(float64(after.cpu-before.cpu)/1000/float64(b.N), "cpu-µs/datagram")
	b.ReportMetric(float64(b.N)/float64(after.reads-before.reads), "datagrams/read")
	b.ReportMetric(float64(after.sleeps-before.sleeps)/float64(b.N), "sleeps/datagram")
	slices.Sort(pacer.late)
	b.ReportMetric(float64(pacer.late[len(pacer.late)/2])/1000, "p50-µs")
	b.ReportMetric(float64(pacer.late[len(pacer.late)*99/100])/1000, "p99-µs")
}

// pacer sends datagrams on time and takes what comes of them. It never sleeps, so that only the relay is woken.
type pacer struct {
	from, heard *Conn
	to          Addr
	every       time.Duration
	began       time.Time
	sent        int
	late        []int64 // nanoseconds that datagrams were on their way
	ms          []Message
	in          *reader
	buf         [1000]byte
}

func newPacer(from, heard *Conn, to Addr, every time.Duration) *pacer {
	return &pacer{from: from, heard: heard, to: to, every: every, began: time.Now(), ms: messages(maxRead, 1500), in: newReader()}
}

func (p *pacer) next() {
	p.sent++
	for time.Since(p.began) < time.Duration(p.sent)*p.every {
		n, _, _ := p.heard.sock.receive(p.in, p.ms)
		now := time.Since(p.began).Nanoseconds()
		for _, m := range p.ms[:n] {
			p.late = append(p.late, now-int64(binary.BigEndian.Uint64(m.Buf)))
		}
	}
	binary.BigEndian.PutUint64(p.buf[:], uint64(time.Since(p.began).Nanoseconds()))
	_, _ = p.from.WriteTo(p.buf[:], p.to)
}
