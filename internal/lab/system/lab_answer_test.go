package system_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

// Offers are answered as quickly in the regions that a room's home is not in as in its own: its word is there already.
func TestLabOfferToAnswer(t *testing.T) {
	const meetings, people, bound = 4, 20, 30 * time.Millisecond
	const pace = 100 * time.Millisecond // between two who come through one node
	w := lab.StartWorld(t, lab.Overseas(), 1, "eu", "us", "ap")
	figures := newTable(t, "offer → answer, a camera each", "p50", "p95", "bound for p50", "")
	took := map[string][]time.Duration{}
	for range meetings {
		meeting := w.Regions[0].Nodes[0].NewMeeting(t, "Answered at once", nil).ID
		staying := []*person{attend(t, w.Regions[0].Nodes[0], meeting, "first", false)}
		home := homeOf(t, w, meeting).Region.Name
		for _, r := range w.Regions {
			where := map[bool]string{true: "in the home's region", false: "away from it"}[r.Name == home]
			took[where+", the first"] = append(took[where+", the first"], answerTime(t, r, meeting, 0))
			staying = append(staying, attend(t, r.Nodes[0], meeting, "staying in "+r.Name, false))
			for range people {
				answered := answerTime(t, r, meeting, pace)
				for _, row := range []string{where + ", later ones", r.Name + ", later ones"} {
					took[row] = append(took[row], answered)
				}
			}
		}
		for _, p := range staying {
			_ = p.Close()
		}
	}
	for _, row := range []string{
		"in the home's region, the first", "in the home's region, later ones", "away from it, the first", "away from it, later ones", "eu, later ones", "us, later ones", "ap, later ones",
	} {
		p50, p95 := percentile(took[row], 50), percentile(took[row], 95)
		figures.add(fmt.Sprintf("%s (%d)", row, len(took[row])), p50, p95, bound, verdict(p50 < bound))
	}
	if p50 := percentile(took["away from it, later ones"], 50); p50 >= bound {
		t.Errorf("away from the home p50 = %s, want less than %s", p50, bound)
	}
}

// answerTime lets somebody with a camera come and go, waits a while, and returns how long the answer took.
func answerTime(tb testing.TB, r *lab.Region, meeting string, pace time.Duration) time.Duration {
	tb.Helper()
	c := r.Join(tb, r.Nodes[0], meeting, client.JoinOptions{DisplayName: "passer-by"}, client.Options{
		VideoSlots: 2, AudioSlots: 1, Publish: []*client.Publication{client.NewCamera(clip(tb, "vp8-q.ivf").Loop())},
	})
	go drain(c)
	defer c.Close()
	defer time.Sleep(pace)
	lab.Until(tb, 10*time.Second, "an answer", func() bool { return c.Timings().OfferAnswer > 0 })
	return c.Timings().OfferAnswer
}
