package system_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
)

// Somebody is heard and seen by a client in Go and by a browser, over ways that lose packets or do not: no sound of theirs stays lost, and
// the browser plays it with the picture that belongs to it.
func TestLabVoice(t *testing.T) {
	long := either(30*time.Second, 10*time.Second)
	const unheard, underWay = 0.001, 1 // part lost, and packets that may be on their way again when it is counted
	apart := either(20.0, 60)          // ms, in the middle: a busy machine plays pictures when it can
	s := newStage(t, lab.Path{Delay: 20 * time.Millisecond}, 1, false)
	home := *s
	home.home = lab.NewHome(t, s.world, lab.Open())
	program, page := s.watch("Program"), home.browse("")
	ways := []lossyWay{{name: "none", trip: 40 * time.Millisecond}, {name: "none", trip: 160 * time.Millisecond}}
	for _, trip := range []time.Duration{40 * time.Millisecond, 160 * time.Millisecond} {
		ways = append(ways, lossyWay{name: "5 %", trip: trip, loss: 0.05, burst: 1})
	}
	type span struct{ from, to time.Time }
	var spans []span
	for _, w := range ways {
		way := lab.Path{Delay: w.trip / 2, Loss: w.loss, Burst: w.burst}
		s.shape(way)
		home.shape(way)
		time.Sleep(8 * time.Second)
		from := time.Now()
		time.Sleep(long)
		spans = append(spans, span{from, time.Now()})
	}
	tellLate(t, s.world)
	figures := newTable(t, "loss", "round trip", "receiver", "sound's packets", "lost after repair", "made up", "sound kept, ms", "picture after sound, ms: p5", "p50", "p95", "")
	for i, who := range []*spectator{program, page} {
		seen := who.finish()
		for n, w := range ways {
			got := between(of(s.senders[0].Self().ID, seen), spans[n].from, spans[n].to)
			good := float64(got.audioLost-underWay) <= unheard*float64(got.audioPackets)
			cells := []any{w.name, w.trip, []string{"Go", "browser"}[i], got.audioPackets, got.audioLost, percent(got.concealment()), fmt.Sprintf("%.0f", kept(seen, spans[n].from, spans[n].to))}
			behind := lags(seen, spans[n].from, spans[n].to)
			for _, q := range []float64{0.05, 0.5, 0.95} {
				cells = append(cells, fmt.Sprintf("%.0f", quantile(behind, q)))
			}
			if i == 1 && (full() || w.loss == 0) { // what comes again by retransmission is late for longer than a short run lasts
				good = good && math.Abs(quantile(behind, 0.5)) <= apart
			}
			judge(t, figures, good, cells...)
		}
	}
	figures.add("bound", "", "", "", percent(unheard), "", "", "", fmt.Sprintf("%.0f (browser)", apart), "", "")
}

// of has only what comes of one participant.
func of(id string, looks []glance) []glance {
	only := make([]glance, len(looks))
	for i, l := range looks {
		only[i].At = l.At
		for _, s := range l.Streams {
			if s.Participant == id {
				only[i].Streams = append(only[i].Streams, s)
			}
		}
	}
	return only
}

// kept is for how many milliseconds a browser keeps sound in its buffer; 0 for who has none.
func kept(looks []glance, from, to time.Time) float64 {
	var buffered, emitted float64
	looks = within(looks, from, to)
	for i, sign := range map[int]float64{0: -1, len(looks) - 1: 1} {
		for _, s := range looks[i].Streams {
			if s.Kind == "audio" {
				buffered, emitted = buffered+sign*s.Buffered, emitted+sign*s.Emitted
			}
		}
	}
	return 1000 * buffered / max(1, emitted)
}

// lags are by how many milliseconds a browser plays a picture later than the sound that was captured with it, in each look.
func lags(looks []glance, from, to time.Time) (all []float64) {
	for _, l := range within(looks, from, to) {
		for _, sound := range l.Streams {
			for _, sight := range l.Streams {
				if sound.Kind == "audio" && sight.Kind == "video" && sound.Participant == sight.Participant && sound.Late != 0 && sight.Late != 0 {
					all = append(all, sight.Late-sound.Late)
				}
			}
		}
	}
	return all
}
