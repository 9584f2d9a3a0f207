package node

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"
)

// paced is a load at the pace of real media.
type paced struct {
	name                       string
	kind                       Kind
	rooms, publishers, viewers int // publishers and viewers of each room; each viewer sees all
	every                      time.Duration
	burst, size                int // packets of a picture, bytes of a packet
}

// BenchmarkPaced tells what a forwarded packet costs the whole server process, and how long it is on its way, at the pace of
// real media: most of it is waking up. An iteration is a few seconds of each server of pacedServers in turn:
//
//	go test ./node -run '^$' -bench Paced -benchtime 5x
func BenchmarkPaced(b *testing.B) {
	for _, load := range []paced{
		{"camera", Video, 1, 1, 300, time.Second / 30, 6, 1100},
		{"thumbnails", Video, 1, 25, 100, time.Second / 15, 1, 400},
		{"voice", Audio, 1, 1, 200, 20 * time.Millisecond, 1, 120},
		{"rooms", Video, 100, 1, 2, 10 * time.Millisecond, 1, 1000},
	} {
		b.Run(load.name, func(b *testing.B) { load.run(b) })
	}
}

func (l paced) run(b *testing.B) {
	servers := startPaced(b)
	crowds := map[*pacedServer]*crowd{}
	for _, s := range servers {
		crowds[s] = l.gather(b, s)
	}
	all := map[*pacedServer][]pacedCost{}
	for b.Loop() {
		for _, s := range servers {
			all[s] = append(all[s], crowds[s].play(b, l, s))
		}
	}
	for _, s := range servers {
		c := crowds[s]
		if len(c.late) == 0 {
			b.Fatal("nothing came")
		}
		slices.Sort(c.late)
		slices.SortFunc(all[s], func(x, y pacedCost) int { return cmp.Compare(x.cpu, y.cpu) })
		median, p50, p99 := all[s][len(all[s])/2], c.late[len(c.late)/2], c.late[len(c.late)*99/100]
		b.ReportMetric(median.cpu, s.name+"-cpu-µs/packet")
		b.ReportMetric(float64(p50), s.name+"-p50-µs")
		b.ReportMetric(float64(p99), s.name+"-p99-µs")
		b.Logf("%-10s %-6s µs of CPU a packet %.2f of %.2f; %.0f sleeps a second; on the way p50 %d µs, p99 %d µs",
			l.name, s.name, median.cpu, all[s], median.sleeps, p50, p99)
	}
}

// pacedCost is what some seconds cost a server: microseconds of CPU for each packet it sent, and how often its threads slept in a
// second.
type pacedCost struct{ cpu, sleeps float64 }

const pacedFor = 3 * time.Second

// play has everybody publish for a while, and returns what it cost the server.
func (c *crowd) play(b *testing.B, l paced, s *pacedServer) pacedCost {
	b.Helper()
	stop := make(chan struct{})
	done := make(chan struct{})
	c.measuring.Store(false)
	go func() { defer close(done); c.publish(l, stop) }()
	time.Sleep(1500 * time.Millisecond)
	c.measuring.Store(true)
	before, err := s.ask(paceRequest{})
	if err != nil {
		b.Fatal(err)
	}
	time.Sleep(pacedFor)
	after, err := s.ask(paceRequest{})
	if err != nil {
		b.Fatal(err)
	}
	c.measuring.Store(false)
	close(stop)
	<-done
	sent := after.Sent - before.Sent
	want := pacedFor.Seconds() * float64(time.Second/l.every) * float64(l.rooms*l.publishers*l.burst*l.viewers)
	if float64(sent) < 0.9*want {
		b.Logf("%s: %d of %.0f packets were sent", s.name, sent, want)
	}
	return pacedCost{
		cpu:    float64((after.CPU - before.CPU).Nanoseconds()) / 1000 / float64(sent),
		sleeps: float64(after.Sleeps-before.Sleeps) / pacedFor.Seconds(),
	}
}

func roomName(i int) string { return fmt.Sprintf("mtg_%d", i) }
