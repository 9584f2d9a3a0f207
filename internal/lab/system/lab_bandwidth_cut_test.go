package system_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parley-sfu/parley/bench/plot"
	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
	"github.com/parley-sfu/parley/signal/wire"
)

// The link between two regions loses half of what it needs, and gets it back: the sound goes on, the queue stays short, pictures
// get smaller, the least important first, and large again.
func TestLabBandwidthLinkCut(t *testing.T) {
	const cameras, viewers = 4, 2
	long := either(20*time.Second, 8*time.Second)
	queue, lost := either(50*time.Millisecond, stageQueue), either(0.0, 0.05)
	w := lab.StartWorld(t, lab.Path{Delay: 20 * time.Millisecond}, 1, "eu", "us")
	eu, us := w.Regions[0], w.Regions[1]
	meeting := w.NewMeeting(t, "A link is cut to half")
	loudest := publishReels(t, eu.Nodes[0], meeting.ID, cameras, false)[0].Self().ID
	var crowd []*spectator
	for i := range viewers {
		c := us.Join(t, us.Nodes[0], meeting.ID, client.JoinOptions{DisplayName: fmt.Sprint("Viewer ", i+1), Role: "viewer"},
			client.Options{VideoSlots: cameras, AudioSlots: stageVoices})
		go drain(c)
		askInOrder(t, c)
		crowd = append(crowd, watchClient(t, c, newClocks()))
	}
	time.Sleep(5 * time.Second)
	media := lab.MediaBetween(eu, us)
	before, since := w.WAN.Count(media).Bytes, time.Now()
	time.Sleep(5 * time.Second)
	demand := float64(8*(w.WAN.Count(media).Bytes-before)) / time.Since(since).Seconds()
	w.WAN.Late()
	begun := time.Now()
	cut := lab.Path{Delay: 20 * time.Millisecond, Rate: int(demand / 2), Queue: stageQueue}
	w.WAN.SetOneWay(eu, us, cut)
	time.Sleep(long)
	mended := time.Now()
	cut.Rate = int(2 * demand)
	w.WAN.SetOneWay(eu, us, cut)
	time.Sleep(long)
	end := time.Now()
	log := bottleneckLog(w.WAN.Passages(eu, us))
	tellLate(t, w)
	figures := newTable(t, "a link that needs "+megabits(demand), "viewer", "sound lost", "frozen", "paused", "layers, who speaks first, then by priority", "wait p95", "used", "")
	var seen []glance
	for i, who := range crowd {
		seen = who.finish()
		for _, part := range []struct {
			name     string
			from, to time.Time
			rate     float64
		}{{"cut to half", begun, mended, demand / 2}, {"mended", mended, end, 2 * demand}} {
			got := between(seen, part.from, part.to)
			then := part.from.Add(3 * time.Second)
			calm := percentile(log.between(then, part.to).waits(), 95)
			order := layersOf(seen, loudest, part.to.Add(-3*time.Second), part.to)
			good := got.audioLoss() <= lost && calm <= queue && (falls(order) || !full()) && (part.name != "mended" || order[len(order)-1] > 2.5)
			judge(t, figures, good, part.name+" at "+megabits(part.rate), i+1, fmt.Sprint(got.audioLost, " of ", got.audioPackets), percent(got.freezeRatio()),
				percent(got.paused/max(0.001, got.watched+got.paused)), fmt.Sprintf("%.1f", order), calm, percent(log.rate(then, part.to, nil)/part.rate))
		}
	}
	figures.add("bound", "", percent(lost), "", "", either("falling; above 2.5 in the end", "above 2.5 in the end"), queue, "", "")
	rate, wait := log.curves(begun, end)
	cutAt := mended.Sub(begun).Seconds()
	picture(t, "cut", plot.Timeline{Title: "A link between regions is cut to half of its demand, and mended", Panels: []plot.Panel{
		{Unit: "Mbit/s", Traces: []plot.Trace{
			{Name: "carried", Points: rate},
			{Name: "the link", Steps: true, Points: []plot.Point{{X: 0, Y: demand / 2e6}, {X: cutAt, Y: 2 * demand / 1e6}, {X: end.Sub(begun).Seconds(), Y: 2 * demand / 1e6}}},
		}},
		{Unit: "longest wait, ms", Limit: 50, Traces: []plot.Trace{{Name: "in the queue", Points: wait}}},
		{Unit: "pictures at a viewer", Traces: layerTraces(seen, begun)},
	}})
}

// askInOrder asks for large pictures in all slots, the first of which are the most important.
func askInOrder(t *testing.T, c *client.Client) {
	t.Helper()
	var slots []wire.SlotRequest
	for _, one := range c.SlotStats() {
		if one.Slot.Kind == "video" {
			slots = append(slots, wire.SlotRequest{MID: one.Slot.MID, MaxWidth: 1280, MaxHeight: 720, Priority: 10 - len(slots)})
		}
	}
	if err := c.Subscribe(t.Context(), slots...); err != nil {
		t.Fatal(err)
	}
}

// layersOf are the mean layers of the pictures in a time: of who speaks, which comes before all others, and then in the order of the slots.
func layersOf(looks []glance, speaks string, from, to time.Time) (layers []float64) {
	looks = within(looks, from, to)
	sums := map[string]float64{}
	var order []string
	for _, l := range looks {
		for _, s := range l.Streams {
			if s.Kind != "video" {
				continue
			}
			if _, known := sums[s.Participant]; !known {
				order = append(order, s.Participant)
			}
			sums[s.Participant] += rank(s) / float64(len(looks))
		}
	}
	if i := slices.Index(order, speaks); i > 0 {
		order = slices.Insert(slices.Delete(order, i, i+1), 0, speaks)
	}
	for _, who := range order {
		layers = append(layers, sums[who])
	}
	return layers
}

// falls says whether no picture is clearly better than a more important one.
func falls(layers []float64) bool {
	for i := 1; i < len(layers); i++ {
		if layers[i] > layers[i-1]+0.5 {
			return false
		}
	}
	return len(layers) > 0
}
