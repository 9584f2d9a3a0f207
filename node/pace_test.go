package node

import (
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
		{"rooms", Video, 50, 1, 4, 10 * time.Millisecond, 1, 1000},
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
	cost := map[*pacedServer][]float64{}
	for b.Loop() {
		for _, s := range servers {
			cost[s] = append(cost[s], crowds[s].play(b, l, s))
		}
	}
	for _, s := range servers {
		c, late := crowds[s], cost[s]
		slices.Sort(late)
		slices.Sort(c.late)
		p50, p99 := c.late[len(c.late)/2], c.late[len(c.late)*99/100]
		b.ReportMetric(late[len(late)/2], s.name+"-cpu-µs/packet")
		b.ReportMetric(float64(p50), s.name+"-p50-µs")
		b.ReportMetric(float64(p99), s.name+"-p99-µs")
		b.Logf("%-12s %-8s %6.2f µs CPU a packet (%.2f), on the way p50 %d µs, p99 %d µs", l.name, s.name, late[len(late)/2], late, p50, p99)
	}
}

// play has everybody publish for a while, and returns the server's microseconds of CPU for each packet it sent.
func (c *crowd) play(b *testing.B, l paced, s *pacedServer) float64 {
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
	time.Sleep(3 * time.Second)
	after, err := s.ask(paceRequest{})
	if err != nil {
		b.Fatal(err)
	}
	c.measuring.Store(false)
	close(stop)
	<-done
	sent := after.Sent - before.Sent
	want := 3 * float64(time.Second/l.every) * float64(l.rooms*l.publishers*l.burst*l.viewers)
	if float64(sent) < 0.9*want {
		b.Errorf("%s: %d of %.0f packets were sent", s.name, sent, want)
	}
	return float64((after.CPU - before.CPU).Nanoseconds()) / 1000 / float64(sent)
}

func roomName(i int) string { return fmt.Sprintf("mtg_%d", i) }
