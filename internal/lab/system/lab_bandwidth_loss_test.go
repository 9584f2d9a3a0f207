package system_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-sfu/parley/bench/plot"
	"github.com/parley-sfu/parley/internal/lab"
)

// A lossy way, and what is promised of what comes over it.
type lossyWay struct {
	name   string
	trip   time.Duration // there and back
	loss   float64
	burst  float64
	bounds bool // the residual loss has one
}

func lossyWays() (all []lossyWay) {
	if !full() {
		return []lossyWay{{"5 %", 40 * time.Millisecond, 0.05, 1, true}}
	}
	for _, trip := range []time.Duration{40 * time.Millisecond, 160 * time.Millisecond} {
		all = append(all, lossyWay{"1 %", trip, 0.01, 1, true}, lossyWay{"5 %", trip, 0.05, 1, true},
			lossyWay{"10 %", trip, 0.1, 1, false}, lossyWay{"3 % in bursts of 5", trip, 0.03, 5, false})
	}
	return all
}

// A browser watches three cameras over ways that lose packets in both directions; how often its pictures freeze counts. Beside it
// a client in Go does, which counts what is still missing after repair; it has no buffer that grows with the round trip, and how
// often it freezes says little.
func TestLabBandwidthLoss(t *testing.T) {
	const cameras = 3 // two processors decode them whatever else they do
	long := either(20*time.Second, 8*time.Second)
	lost, freezes := either(0.001, 0.01), either(0.01, 0.1)
	unheard := either(0.001, 0.005)
	s := newStage(t, lab.Path{Delay: 20 * time.Millisecond}, cameras, false)
	home := *s
	home.home = lab.NewHome(t, s.world, lab.Open())
	program, page := s.watch("Program"), (*spectator)(nil)
	if full() {
		page = home.browse("")
	}
	type span struct{ from, to time.Time }
	var spans []span
	for _, w := range lossyWays() {
		way := lab.Path{Delay: w.trip / 2, Loss: w.loss, Burst: w.burst}
		s.shape(way)
		home.shape(way)
		time.Sleep(3 * time.Second)
		from := time.Now()
		time.Sleep(long)
		spans = append(spans, span{from, time.Now()})
	}
	tellLate(t, s.world)
	figures := newTable(t, "loss", "round trip", "receiver", "pictures' packets", "lost after repair", "sound's packets", "lost after repair", "frozen", "paused", "mean layer", "made up", "")
	var chart [2]plot.Trace
	for i, who := range []*spectator{program, page} {
		if who == nil {
			continue
		}
		name := []string{"Go", "browser"}[i]
		chart[i].Name = name
		seen := who.finish()
		for n, w := range lossyWays() {
			got := between(seen, spans[n].from, spans[n].to)
			good := i == 0 || got.freezeRatio() <= freezes
			if w.bounds {
				good = good && got.videoLoss() <= lost && got.audioLoss() <= unheard
			}
			judge(t, figures, good, w.name, w.trip, name, got.videoPackets, percent(got.videoLoss()), got.audioPackets, percent(got.audioLoss()),
				percent(got.freezeRatio()), percent(got.paused/max(0.001, got.watched+got.paused)), fmt.Sprintf("%.2f", got.layers), percent(got.concealment()))
			chart[i].Points = append(chart[i].Points, plot.Point{X: float64(n + 1), Y: 100 * got.freezeRatio()})
		}
	}
	figures.add("bound", "", "", "", percent(lost)+" up to 5 %", "", percent(unheard)+" up to 5 %", percent(freezes)+" (browser)", "", "", "", "")
	picture(t, "loss", plot.Timeline{Title: "Frozen pictures in the order of the table", Panels: []plot.Panel{
		{Unit: "frozen, %", Limit: 100 * freezes, Traces: chart[:]},
	}})
}
