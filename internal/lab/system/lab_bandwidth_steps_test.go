package system_test

import (
	"fmt"
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
		rates: []int{5_000_000, 1_000_000}, each: 8 * time.Second,
		settle: 6 * time.Second, share: 0.6, wait: 250 * time.Millisecond, freeze: 0.1, loss: 0.02, skew: 100,
	}
}

// A client in Go watches nine cameras over a downlink that changes.
func TestLabBandwidthSteps(t *testing.T) {
	s := newStage(t, stepWay(downlinks().rates[0]), stageCameras, true)
	downlinks().show(s, "steps-go", s.watch("Viewer"))
}

// A browser does the same.
func TestLabBandwidthStepsBrowser(t *testing.T) {
	if !full() {
		t.Log("two processors carry one of these at a time: `make bandwidth` has the browser")
		return
	}
	s := newStage(t, stepWay(downlinks().rates[0]), stageCameras, false)
	downlinks().show(s, "steps-browser", s.browse("bandwidth-statistics"))
}

// stepWay is a home's way with a bottleneck.
func stepWay(rate int) lab.Path {
	return lab.Path{Delay: 20 * time.Millisecond, Rate: rate, Queue: stageQueue}
}

// show goes through the rates, judges and draws.
func (d downlink) show(s *stage, name string, who *spectator) {
	t := s.t
	time.Sleep(5 * time.Second) // the join is another matter
	s.home.Passages(s.node.Region)
	begun := time.Now()
	var steps []time.Time
	for _, rate := range d.rates {
		steps = append(steps, time.Now())
		s.shape(stepWay(rate))
		time.Sleep(d.each)
	}
	steps = append(steps, time.Now())
	log, looks := bottleneckLog(s.home.Passages(s.node.Region)), who.finish()
	d.draw(t, name, begun, steps, log, looks)
	d.judgeSteps(t, steps, log, looks)
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

func (d downlink) judgeSteps(t *testing.T, steps []time.Time, log bottleneckLog, looks []glance) {
	figures := newTable(t, "downlink", "settled after", "used then", "wait p95", "did not fit", "frozen", "announced as paused", "mean layer (f is 3)", "sound lost", "made up", "")
	for i, rate := range d.rates {
		from, to := steps[i], steps[i+1]
		then := from.Add(min(3*time.Second, d.each/2))
		settled := log.settles(from, to, rate, d.share, d.wait)
		used := log.rate(then, to, nil) / float64(rate)
		calm := log.between(then, to)
		wait := percentile(calm.waits(), 95)
		got := between(looks, from, to)
		good := settled >= 0 && settled <= d.settle && used >= d.share && wait <= d.wait && got.freezeRatio() <= d.freeze && got.audioLoss() <= d.loss
		judge(t, figures, good, megabits(float64(rate)), soon(settled), percent(used), wait, percent(log.between(from, to).overflow()), percent(got.freezeRatio()),
			percent(got.paused/max(0.001, got.paused+got.watched)), fmt.Sprintf("%.2f", got.layers), fmt.Sprint(got.audioLost, " of ", got.audioLost+got.audioPackets), percent(got.concealment()))
	}
	figures.add("bound", d.settle, ">= "+percent(d.share), d.wait, "", percent(d.freeze), "", "", percent(d.loss), "", "")
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
	picture(t, name, plot.Timeline{Title: "A downlink that changes: " + name, Panels: []plot.Panel{
		{Unit: "Mbit/s", Traces: []plot.Trace{{Name: "carried", Points: rate}, link}},
		{Unit: "longest wait, ms", Limit: 100, Traces: []plot.Trace{{Name: "in the queue", Points: wait}}},
		{Unit: "pictures", Traces: layerTraces(looks, begun)},
	}})
}
