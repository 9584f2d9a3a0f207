package system_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

// What a participant may cost its node. The tests of this file bring real clients into real nodes and take the difference between two
// numbers of them.
const (
	mostRoutines = 6
	mostMemory   = 300 << 10             // resident bytes
	mostJoin     = 3 * time.Millisecond  // of CPU of a usual machine, with the slots of a page of four
	mostJoinGrid = 8 * time.Millisecond  // with those of a page of 25
	mostAudio    = 50 * time.Millisecond // from the join call to the first packet, p50
)

// usage is what a node says of itself.
type usage struct {
	routines, resident, live, cpu float64
}

// usageOf reads it. Live is what the last collection of garbage left over.
func usageOf(tb testing.TB, n *lab.Node) usage {
	tb.Helper()
	m := n.Metrics(tb)
	if m["go_goroutines"] == 0 {
		tb.Fatal("the node does not tell what it uses")
	}
	return usage{m["go_goroutines"], m["process_resident_memory_bytes"], m["go_memstats_next_gc_bytes"] / 2, m["process_cpu_seconds_total"]}
}

// crowd brings so many viewers in, and waits until each of them sees and hears.
func crowd(tb testing.TB, n *lab.Node, meeting string, size int, opts client.Options) []*client.Client {
	tb.Helper()
	all := make([]*client.Client, 0, size)
	for range size {
		all = append(all, join(tb, n, meeting, client.JoinOptions{DisplayName: "Viewer", Role: "viewer"}, opts))
	}
	for _, c := range all {
		lab.Until(tb, 20*time.Second, "sound and picture", func() bool {
			return c.Timings().FirstAudio > 0 && c.Timings().FirstVideo > 0
		})
	}
	return all
}

// TestFootprintOfAViewer: memory and goroutines of a viewer of one camera.
func TestFootprintOfAViewer(t *testing.T) {
	const few, many = 50, 200
	n := lab.StartNode(t)
	meeting := n.NewMeeting(t, "Viewers", map[string]any{"max_participants": many + 1})
	join(t, n, meeting.ID, client.JoinOptions{HostKey: meeting.HostKey, DisplayName: "Speaker"}, client.Options{
		Publish: []*client.Publication{camera(t), client.NewMicrophone(clip(t, "tone.ogg").Loop(), nil)},
	})
	figures := newTable(t, "viewers", "goroutines", "resident kB", "live heap kB", "")
	opts := client.Options{Codecs: []string{"video/VP8"}, Transport: client.TransportUDP} // what relays take is theirs
	row := func(name string, u usage, word string) {
		figures.add(name, fmt.Sprintf("%.1f", u.routines), fmt.Sprintf("%.0f", u.resident/1024), fmt.Sprintf("%.0f", u.live/1024), word)
	}
	took := func(size int) usage {
		crowd(t, n, meeting.ID, size, opts)
		<-time.After(3 * time.Second) // what was begun for the joins ends
		return usageOf(t, n)
	}
	before := took(few)
	row(fmt.Sprint(few), before, "")
	after := took(many - few)
	row(fmt.Sprint(many), after, "")
	each := usage{
		routines: (after.routines - before.routines) / (many - few),
		resident: (after.resident - before.resident) / (many - few),
		live:     (after.live - before.live) / (many - few),
	}
	good := each.routines <= mostRoutines && each.resident <= mostMemory
	row("each more", each, verdict(good))
	if !good {
		t.Errorf("a viewer takes %.1f goroutines and %.0f kB; at most %d and %d are meant", each.routines, each.resident/1024, mostRoutines, mostMemory>>10)
	}
	n.Stop(t)
}

// TestFootprintOfAJoin: what joining costs the node's CPU, by the number of slots, when many come at once; and how long it takes to the
// first packet, for one who comes alone.
func TestFootprintOfAJoin(t *testing.T) {
	const joins, rounds, abreast = 64, 5, 16
	n := lab.StartNode(t)
	figures := newTable(t, "slots", "at once", "CPU of a join", "bound", "first audio p50", "p95", "")
	for _, of := range []struct {
		slots, abreast int
		most           time.Duration // CPU
	}{{4, 1, 0}, {4, abreast, mostJoin}, {25, abreast, mostJoinGrid}} {
		var costs, audio []time.Duration // costs on a usual machine, each by what this one was like before and after the round
		slow := slowness(t)
		for range rounds {
			cost, first := costOfJoins(t, n, joins, of.slots, of.abreast)
			then := slowness(t)
			costs, audio = append(costs, time.Duration(float64(cost)*2/(slow+then))), append(audio, first...)
			slow = then
		}
		cost, p50 := percentile(costs, 50), percentile(audio, 50)
		good := of.most == 0 || cost <= of.most
		if !good {
			t.Errorf("a join with %d slots costs %s of CPU, at most %s is meant", of.slots, cost, of.most)
		}
		if alone := of.abreast == 1; alone && p50 > mostAudio {
			good = false
			t.Errorf("the first packet of audio comes after %s, at most %s is meant", p50, mostAudio)
		}
		figures.add(of.slots, of.abreast, cost, of.most, p50, percentile(audio, 95), verdict(good))
	}
	n.Stop(t)
}

// costOfJoins measures joins into a meeting where one person speaks, so many at a time. What the node does all the time, and for
// those who have joined, is not counted.
func costOfJoins(tb testing.TB, n *lab.Node, joins, slots, abreast int) (cost time.Duration, audio []time.Duration) {
	tb.Helper()
	meeting := n.NewMeeting(tb, "Joins", map[string]any{"max_participants": joins + 1})
	speaker := join(tb, n, meeting.ID, client.JoinOptions{HostKey: meeting.HostKey, DisplayName: "Speaker"}, client.Options{
		Publish: []*client.Publication{client.NewMicrophone(clip(tb, "tone.ogg").Loop(), nil)}, VideoSlots: client.NoSlots,
	})
	idle := rate(tb, n)
	began, before := time.Now(), usageOf(tb, n).cpu
	all := make([]*client.Client, joins)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range abreast {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(joins) && !tb.Failed(); i = next.Add(1) {
				var err error
				if all[i-1], err = bringIn(tb, n, meeting.ID, slots); err != nil {
					tb.Error(err)
				}
			}
		})
	}
	if wg.Wait(); tb.Failed() {
		tb.FailNow()
	}
	for _, c := range all {
		lab.Until(tb, 20*time.Second, "sound", func() bool { return c.Timings().FirstAudio > 0 })
		audio = append(audio, c.Timings().FirstAudio)
	}
	used, took := usageOf(tb, n).cpu-before, time.Since(began)
	busy := rate(tb, n)
	for _, c := range append(all, speaker) {
		_ = c.Close()
	}
	rest := (idle + busy) / 2 * took.Seconds()
	return time.Duration((used - rest) / float64(joins) * float64(time.Second)), audio
}

// bringIn brings a viewer in. It is for any goroutine.
func bringIn(tb testing.TB, n *lab.Node, meeting string, slots int) (*client.Client, error) {
	tb.Helper()
	ticket, err := client.JoinMeeting(tb.Context(), n.URL, meeting, client.JoinOptions{DisplayName: "Viewer"})
	if err != nil {
		return nil, err
	}
	c, err := client.Connect(tb.Context(), ticket, client.Options{VideoSlots: slots, Transport: client.TransportUDP})
	if err == nil {
		go drain(c)
	}
	return c, err
}

// rate is the share of a core that the node uses now.
func rate(tb testing.TB, n *lab.Node) float64 {
	tb.Helper()
	began, before := time.Now(), usageOf(tb, n).cpu
	<-time.After(2 * time.Second)
	return (usageOf(tb, n).cpu - before) / time.Since(began).Seconds()
}
