package system_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-sfu/parley/bench/plot"
	"github.com/parley-sfu/parley/internal/lab"
)

// A downlink is what is promised of a viewer behind a bottleneck. A run of all tests has much less of it.
type downlink struct {
	rates  []int         // of the bottleneck, one after the other, in bits a second
	each   time.Duration // for which each stays
	settle time.Duration
	share  float64       // of the rate that is used
	wait   time.Duration // in the queue, for 95 of 100 packets
	freeze float64       // share of the time
	loss   float64       // of sound, after repair
	skew   float64       // of sound and picture, in milliseconds
}

func downlinks() downlink {
	if full() {
		return downlink{
			rates: []int{5_000_000, 1_000_000, 400_000, 5_000_000}, each: 20 * time.Second,
			settle: 3 * time.Second, share: 0.85, wait: 100 * time.Millisecond, freeze: 0.01, skew: 20,
		}
	}
	return downlink{
		rates: []int{5_000_000, 1_000_000}, each: 10 * time.Second,
		settle: 5 * time.Second, share: 0.35, wait: 150 * time.Millisecond, freeze: 0.4, loss: 0.02, skew: 100,
	}
}

// A contender is a receiver at a server, who watches nine cameras.
type contender struct {
	name  string
	comes func(*testing.T) (*stage, *spectator)
	other bool // its server is another's: nothing is promised of it
}

// contenders are all in a full run, and in a short one a client in Go: two processors that have other tests carry no browser with nine
// pictures.
func contenders() []contender {
	all := []contender{{name: "Go", comes: func(t *testing.T) (*stage, *spectator) {
		s := newStage(t, openWay(), stageCameras, true)
		return s, s.watch("Viewer")
	}}}
	if !full() {
		return all
	}
	return append(all, contender{name: "browser", comes: func(t *testing.T) (*stage, *spectator) {
		s := newStage(t, openWay(), stageCameras, false)
		return s, s.browse("bandwidth-statistics")
	}}, contender{name: "Janus, asked for q", comes: janusFor(0), other: true}, contender{name: "Janus, asked for f", comes: janusFor(2), other: true})
}

// A client in Go, and in a full run a browser, watch nine cameras over a downlink that changes; the same browser does at Janus, too.
func TestLabBandwidthSteps(t *testing.T) {
	d := downlinks()
	figures := newTable(t, "receiver", "downlink", "settled after", "used then", "wait p95", "did not fit", "frozen", "announced as paused", "mean layer (f is 3)", "sound lost", "made up", "")
	figures.add("bound", "", d.settle, ">= "+percent(d.share), d.wait, "", percent(d.freeze), "", "", percent(d.loss), "", "")
	for _, c := range contenders() {
		t.Run(c.name, func(t *testing.T) {
			s, who := c.comes(t)
			d.show(s, c, who, figures)
		})
	}
}

// openWay is a way without a bottleneck, on which people come.
func openWay() lab.Path { return lab.Path{Delay: 20 * time.Millisecond} }

// stepWay is a home's way with a bottleneck.
func stepWay(rate int) lab.Path {
	return lab.Path{Delay: 20 * time.Millisecond, Rate: rate, Queue: stageQueue}
}

// show goes through the rates, judges and draws.
func (d downlink) show(s *stage, c contender, who *spectator, figures *table) {
	t := s.t
	s.shape(stepWay(d.rates[0]))
	time.Sleep(5 * time.Second) // to get used to the first rate is another matter
	s.home.Passages(s.node.Region)
	s.world.WAN.Late()
	begun := time.Now()
	var steps []time.Time
	for _, rate := range d.rates {
		steps = append(steps, time.Now())
		s.shape(stepWay(rate))
		time.Sleep(d.each)
	}
	steps = append(steps, time.Now())
	log, looks := bottleneckLog(s.home.Passages(s.node.Region)), who.finish()
	tellLate(t, s.world)
	d.draw(t, c.name, begun, steps, log, looks)
	for i := range d.rates {
		d.judgeStep(t, c, i, steps, log, looks, figures)
	}
	d.judgeSkew(t, begun, steps[len(steps)-1], looks)
}

// judgeSkew tells of lip sync: what the server's reports allow, and what a browser makes of it, which keeps sound and pictures as it
// likes.
func (d downlink) judgeSkew(t *testing.T, from, to time.Time, looks []glance) {
	if all := skews(looks, from, to); len(all) > 0 {
		figures := newTable(t, "sound before the picture, ms", "p5", "p50", "p95", "bound", "")
		low, high := quantile(all, 0.05), quantile(all, 0.95)
		judge(t, figures, max(-low, high) <= d.skew, fmt.Sprint("by the server's reports, of ", len(all), " pairs"),
			fmt.Sprintf("%.1f", low), fmt.Sprintf("%.1f", quantile(all, 0.5)), fmt.Sprintf("%.1f", high), fmt.Sprintf("± %g", d.skew))
	}
	if sound, sight := buffers(looks, from, to); sound > 0 {
		figures := newTable(t, "kept by the browser, mean", "sound", "pictures", "sound before the picture")
		figures.add("ms", fmt.Sprintf("%.1f", sound), fmt.Sprintf("%.1f", sight), fmt.Sprintf("%.1f", sight-sound))
	}
}

// judgeStep judges the time at one rate.
func (d downlink) judgeStep(t *testing.T, c contender, i int, steps []time.Time, log bottleneckLog, looks []glance, figures *table) {
	from, to, rate := steps[i], steps[i+1], d.rates[i]
	then := from.Add(min(3*time.Second, d.each/2))
	whole := ""
	if !c.other && !lacking(looks, then, to) {
		whole = ", all that is wanted"
	}
	settled := log.settles(from, to, rate, d.share, d.wait)
	used := log.rate(then, to, nil) / float64(rate)
	wait := percentile(log.between(then, to).waits(), 95)
	got := between(looks, from, to)
	if !c.other {
		tellFreezes(t, looks, from, to)
	}
	good := settled >= 0 && settled <= d.settle && used >= d.share && wait <= d.wait && got.freezeRatio() <= d.freeze && got.audioLoss() <= d.loss
	cells := []any{
		c.name, megabits(float64(rate)), soon(settled), percent(used) + whole, wait, percent(log.between(from, to).overflow()), percent(got.freezeRatio()),
		percent(got.paused / max(0.001, got.paused+got.watched)), fmt.Sprintf("%.2f", got.layers),
		fmt.Sprint(got.audioLost, " of ", got.audioLost+got.audioPackets), percent(got.concealment()),
	}
	if c.other {
		figures.add(append(cells, verdict(good))...)
		return
	}
	judge(t, figures, good, cells...)
}

// lacking says whether any picture was smaller than it would have been, or paused, for want of bandwidth.
func lacking(looks []glance, from, to time.Time) bool {
	return slices.ContainsFunc(within(looks, from, to), func(g glance) bool {
		return slices.ContainsFunc(g.Streams, func(s stream) bool { return s.Kind == "video" && s.Reason == "bandwidth" })
	})
}

// soon is a duration, or that it never came.
func soon(d time.Duration) any {
	if d < 0 {
		return "never"
	}
	return d
}

func (d downlink) draw(t *testing.T, name string, begun time.Time, steps []time.Time, log bottleneckLog, looks []glance) {
	link := plot.Trace{Name: "the link", Steps: true}
	for i, rate := range d.rates {
		link.Points = append(link.Points, plot.Point{X: steps[i].Sub(begun).Seconds(), Y: float64(rate) / 1e6})
	}
	end := steps[len(steps)-1]
	link.Points = append(link.Points, plot.Point{X: end.Sub(begun).Seconds(), Y: float64(d.rates[len(d.rates)-1]) / 1e6})
	rate, wait := log.curves(begun, end)
	picture(t, "steps-"+strings.ReplaceAll(strings.ToLower(name), ", asked for ", "-"), plot.Timeline{Title: "A downlink that changes: " + name, Panels: []plot.Panel{
		{Unit: "Mbit/s", Traces: []plot.Trace{{Name: "carried", Points: rate}, link}},
		{Unit: "longest wait, ms", Limit: 100, Traces: []plot.Trace{{Name: "in the queue", Points: wait}}},
		{Unit: "pictures", Traces: layerTraces(looks, begun)},
	}})
}
