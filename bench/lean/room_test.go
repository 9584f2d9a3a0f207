package lean

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// BenchmarkRoom fills a room of a node that runs as a process of its own, and measures what this process, publisher
// included, and the node use while it goes on. One in twenty lean viewers is verified. Run it with -benchtime 1x.
func BenchmarkRoom(b *testing.B) {
	for _, tc := range []struct {
		viewers int
		audio   bool
		whole   bool
	}{
		{100, false, false},
		{100, false, true},
		{300, false, false},
		{100, true, true},
		{500, true, false},
	} {
		media, how := "av", "lean"
		if tc.audio {
			media = "audio"
		}
		if tc.whole {
			how = "whole"
		}
		b.Run(fmt.Sprintf("%s/1x%d/%s", media, tc.viewers, how), func(b *testing.B) {
			for b.Loop() {
				fill(b, tc.viewers, tc.audio, tc.whole)
			}
		})
	}
}

// receiver is what the benchmark needs of either kind of viewer.
type receiver interface {
	SlotStats() []client.SlotStats
	Subscribe(ctx context.Context, slots ...wire.SlotRequest) error
	Close() error
}

func fill(b *testing.B, viewers int, audio, whole bool) {
	const steady = 10 * time.Second
	w := newTown(b)
	w.send(audio)
	memory, routines := resident(b), runtime.NumGoroutine()
	all := make([]receiver, viewers)
	film := newFilm(b)
	free, wg := make(chan struct{}, 8), sync.WaitGroup{}
	for i := range all {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			all[i] = w.receiver(i, film, audio, whole)
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	<-time.After(3 * time.Second)
	before, used, node := count(all), processCPU(), w.node.Metrics(b)
	<-time.After(steady)
	after, spent, then := count(all), processCPU()-used, w.node.Metrics(b)
	received := float64(after.Packets - before.Packets)
	b.ReportMetric(received/steady.Seconds(), "packets/s")
	b.ReportMetric(float64(spent.Microseconds())/received, "µs/packet")
	b.ReportMetric((resident(b)-memory)/1e3/float64(viewers), "kB/viewer")
	b.ReportMetric(float64(runtime.NumGoroutine()-routines)/float64(viewers), "goroutines/viewer")
	b.ReportMetric(float64(after.Missed-before.Missed), "missed")
	b.ReportMetric(float64(after.Lost-before.Lost), "lost")
	sent := then["parley_rtp_packets_sent_total"] - node["parley_rtp_packets_sent_total"]
	b.ReportMetric((then["process_cpu_seconds_total"]-node["process_cpu_seconds_total"])*1e6/sent, "node-µs/packet")
	b.ReportMetric(0, "ns/op")
	wg = sync.WaitGroup{}
	for _, v := range all {
		wg.Go(func() { _ = v.Close() })
	}
	wg.Wait()
}

// receiver joins with eyes for the whole picture.
func (w *town) receiver(number int, film film, audio, whole bool) receiver {
	pictures := 1
	if audio {
		pictures = 0
	}
	name := fmt.Sprint("viewer ", number)
	var v receiver
	var err error
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if whole {
		if audio {
			pictures = client.NoSlots
		}
		v, err = client.Connect(ctx, w.ticket(name, "viewer"), client.Options{
			AudioSlots: 3, VideoSlots: pictures, Codecs: []string{mimeVP8}, OnPacket: func(client.Packet) {},
		})
	} else {
		opts := Options{AudioSlots: 3, VideoSlots: pictures}
		if number%20 == 0 {
			opts.OnPacket = (&watcher{film: film}).packet
		}
		v, err = w.fleet.Join(ctx, w.ticket(name, "viewer"), opts)
	}
	if err == nil && !audio {
		err = v.Subscribe(ctx, wire.SlotRequest{MID: "3", MaxWidth: 1280, MaxHeight: 720})
	}
	if err != nil {
		w.t.Error(err)
		runtime.Goexit()
	}
	return v
}

func count(all []receiver) (sum client.SlotStats) {
	for _, v := range all {
		for _, s := range v.SlotStats() {
			sum.Packets += s.Packets
			sum.Missed += s.Missed
			sum.Lost += s.Lost
		}
	}
	return sum
}

func processCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is this process's memory in bytes, without what waits to be given back.
func resident(tb testing.TB) float64 {
	tb.Helper()
	debug.FreeOSMemory()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Skip("only Linux tells what memory is resident: ", err)
	}
	pages, _ := strconv.ParseFloat(strings.Fields(string(raw))[1], 64)
	return pages * float64(os.Getpagesize())
}
