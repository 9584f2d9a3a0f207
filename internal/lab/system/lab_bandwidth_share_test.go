package system_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/parley-sfu/parley/bench/plot"
	"github.com/parley-sfu/parley/internal/lab"
)

// Two people behind one bottleneck get as much as each other.
func TestLabBandwidthShare(t *testing.T) {
	const rate = 2_000_000
	long, apart := either(30*time.Second, 10*time.Second), either(0.2, 1.0)
	s := newStage(t, stepWay(rate), stageCameras, false)
	first, second := s.watch("First"), s.watch("Second")
	time.Sleep(either(10*time.Second, 6*time.Second)) // to find their shares
	s.home.Passages(s.node.Region)
	begun := time.Now()
	time.Sleep(long)
	end := time.Now()
	log := bottleneckLog(s.home.Passages(s.node.Region))
	first.finish()
	second.finish()
	ports := log.mediaPorts()
	if len(ports) != 2 {
		t.Fatalf("media went to %d ports, want 2", len(ports))
	}
	var rates [2]float64
	var traces []plot.Trace
	for i, port := range ports {
		its := func(p lab.Passage) bool { return p.Protocol == lab.UDP && p.Port == port }
		rates[i] = log.rate(begun, end, its)
		traces = append(traces, plot.Trace{Name: fmt.Sprint("viewer ", i+1), Points: log.curve(begun, end, its)})
	}
	difference := 2 * abs(rates[0]-rates[1]) / (rates[0] + rates[1])
	_, wait := log.curves(begun, end)
	tellLate(t, s.world)
	figures := newTable(t, "one bottleneck of "+megabits(rate), "first viewer", "second", "apart by", "of both", "bound", "wait p95", "used", "")
	judge(t, figures, difference <= apart, "two viewers", megabits(rates[0]), megabits(rates[1]), percent(difference), "their mean", percent(apart),
		percentile(log.waits(), 95), percent((rates[0]+rates[1])/rate))
	picture(t, "share", plot.Timeline{Title: "Two viewers behind one bottleneck", Panels: []plot.Panel{
		{Unit: "Mbit/s", Limit: rate / 2e6, Traces: traces}, {Unit: "longest wait, ms", Limit: 100, Traces: []plot.Trace{{Name: "in the queue", Points: wait}}},
	}})
}

// A TCP flow that takes what it can beside a viewer leaves it its share, whichever way it has of finding out what it can take.
func TestLabBandwidthBesideTCP(t *testing.T) {
	figures := newTable(t, "one bottleneck of "+megabits(besideTCP), "viewer", "TCP", "viewer's share", "bound", "frozen", "sound lost", "wait p95", "")
	for _, control := range either([]string{"cubic", "bbr"}, []string{"cubic"}) {
		t.Run(control, func(t *testing.T) { beside(t, control, figures) })
	}
}

const besideTCP = 3_000_000 // bits a second, of the bottleneck

// beside is a viewer beside a flow with that congestion control.
func beside(t *testing.T, control string, figures *table) {
	long, share := either(30*time.Second, 10*time.Second), either(0.3, 0.05)
	s := newStage(t, stepWay(besideTCP), stageCameras, false)
	viewer := s.watch("Viewer")
	time.Sleep(either(8*time.Second, 5*time.Second))
	s.home.Passages(s.node.Region)
	begun := time.Now()
	download(t, s, control)
	time.Sleep(long)
	end := time.Now()
	log := bottleneckLog(s.home.Passages(s.node.Region))
	got := between(viewer.finish(), begun, end)
	then := begun.Add(3 * time.Second) // TCP has begun by then
	media := func(p lab.Passage) bool { return p.Protocol == lab.UDP }
	other := func(p lab.Passage) bool { return p.Protocol == lab.TCP }
	ours, theirs := log.rate(then, end, media), log.rate(then, end, other)
	_, wait := log.curves(begun, end)
	tellLate(t, s.world)
	judge(t, figures, ours/(ours+theirs) >= share, control, megabits(ours), megabits(theirs), percent(ours/(ours+theirs)), ">= "+percent(share),
		percent(got.freezeRatio()), percent(got.audioLoss()), percentile(log.waits(), 95))
	picture(t, "tcp-"+control, plot.Timeline{Title: "A viewer and a download (" + control + ") behind one bottleneck", Panels: []plot.Panel{
		{Unit: "Mbit/s", Limit: share * besideTCP / 1e6, Traces: []plot.Trace{{Name: "viewer", Points: log.curve(begun, end, media)}, {Name: "TCP", Points: log.curve(begun, end, other)}}},
		{Unit: "longest wait, ms", Limit: 100, Traces: []plot.Trace{{Name: "in the queue", Points: wait}}},
	}})
}

// download has the home read without end from a server in the region, which sends with that congestion control, until the test is over.
func download(t *testing.T, s *stage, control string) {
	t.Helper()
	var server net.Listener
	with := net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) (err error) {
		failed := socket.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, control)
		})
		return errors.Join(err, failed)
	}}
	err := s.node.Region.Do(func() (err error) {
		server, err = with.Listen(t.Context(), "tcp4", net.JoinHostPort(s.node.Region.Address().String(), "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		conn, err := server.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for block := make([]byte, 16<<10); ; {
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	}()
	conn, err := s.home.Dial(t.Context(), server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() { _, _ = io.Copy(io.Discard, conn) }()
}

func abs(v float64) float64 { return max(v, -v) }
