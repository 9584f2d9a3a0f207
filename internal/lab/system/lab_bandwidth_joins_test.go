package system_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/parley-sfu/parley/bench/lean"
	"github.com/parley-sfu/parley/bench/plot"
	"github.com/parley-sfu/parley/internal/lab"
	"github.com/parley-sfu/parley/signal/client"
)

// Very many join within a few seconds: the cameras are hardly asked for keyframes, and everybody has a picture soon after they are
// connected.
func TestLabBandwidthJoins(t *testing.T) {
	const cameras = 3
	crowd, within := either(500, 50), 5*time.Second
	asked, soon := 10, either(400*time.Millisecond, 2*time.Second)
	w := lab.StartWorld(t, lab.Path{}, 1, "eu")
	n := w.Nodes()[0]
	made := n.NewMeeting(t, "Everybody at once", map[string]any{"max_participants": crowd + cameras, "max_cameras": cameras})
	var films []*client.Publication
	for i := range cameras {
		film := camera(t)
		films = append(films, film)
		c := n.Region.Join(t, n, made.ID, client.JoinOptions{DisplayName: fmt.Sprint("Camera ", i+1)}, client.Options{
			VideoSlots: client.NoSlots, AudioSlots: client.NoSlots, Publish: []*client.Publication{film},
		})
		go drain(c)
	}
	time.Sleep(2 * time.Second)
	before := keyframesAsked(films)
	j := &jostle{t: t, node: n, meeting: made.ID, slots: cameras, fleet: runFleet(t)}
	begun := time.Now()
	j.all(crowd, within)
	took := time.Since(begun)
	time.Sleep(2 * time.Second)
	after := keyframesAsked(films)

	figures := newTable(t, fmt.Sprint(crowd, " join"), "measured", "bound", "")
	judge(t, figures, took < 2*within, "all are in after", took, fmt.Sprint("about ", within))
	judge(t, figures, len(j.first) == crowd, "of them got a picture", len(j.first), crowd)
	judge(t, figures, percentile(j.first, 95) <= soon, "from connected to the first frame, p95", percentile(j.first, 95), soon)
	figures.add("the same, p50", percentile(j.first, 50), "", "")
	for i := range films {
		got := after[i] - before[i]
		judge(t, figures, got <= asked, fmt.Sprint("keyframes asked of camera ", i+1, ", of its three layers"), got, asked)
	}
	bars := plot.Trace{Name: "share of viewers"}
	for q := 1; q <= 100; q++ {
		bars.Points = append(bars.Points, plot.Point{X: percentile(j.first, q).Seconds(), Y: float64(q)})
	}
	picture(t, "joins", plot.Timeline{Title: "From connected to the first frame", Panels: []plot.Panel{{Unit: "% of viewers", Limit: 95, Traces: []plot.Trace{bars}}}})
}

// keyframesAsked is how many keyframes were asked of each camera so far.
func keyframesAsked(films []*client.Publication) (counts []int) {
	for _, film := range films {
		asked := 0
		for _, layer := range film.Sent() {
			asked += int(layer.PLIs)
		}
		counts = append(counts, asked)
	}
	return counts
}

// runFleet is a fleet that runs until the test is over.
func runFleet(t *testing.T) *lean.Fleet {
	t.Helper()
	fleet, err := lean.New(lean.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- fleet.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return fleet
}

// A jostle is a crowd that comes in.
type jostle struct {
	t       *testing.T
	node    *lab.Node
	meeting string
	slots   int
	fleet   *lean.Fleet

	mu    sync.Mutex      // protects following
	first []time.Duration // from connected to the first frame
}

// all brings so many viewers in, evenly over a time.
func (j *jostle) all(crowd int, over time.Duration) {
	var wg sync.WaitGroup
	begun := time.Now()
	for i := range crowd {
		time.Sleep(time.Until(begun.Add(over * time.Duration(i) / time.Duration(crowd))))
		wg.Go(func() {
			if err := j.enter(i); err != nil {
				j.t.Errorf("viewer %d: %v", i+1, err)
			}
		})
	}
	wg.Wait()
}

// enter brings one viewer in and waits for its first frame.
func (j *jostle) enter(number int) error {
	const patience = 20 * time.Second
	ctx, cancel := context.WithTimeout(j.t.Context(), patience)
	defer cancel()
	region := j.node.Region
	from := region.HTTPClient()
	ticket, err := client.JoinMeeting(ctx, j.node.URL, j.meeting, client.JoinOptions{
		DisplayName: fmt.Sprint("Viewer ", number+1), Role: "viewer", Region: region.Name, HTTPClient: from,
	})
	if err != nil {
		return err
	}
	var v *lean.Viewer
	err = region.Do(func() (err error) {
		v, err = j.fleet.Join(ctx, ticket, lean.Options{AudioSlots: 1, VideoSlots: j.slots, HTTPClient: from})
		return err
	})
	if err != nil {
		return err
	}
	j.t.Cleanup(func() { _ = v.Close() })
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for v.Timings().FirstVideo == 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("no picture: %w", ctx.Err())
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	steps := v.Timings()
	connected := steps.Join + steps.WebSocket + steps.OfferAnswer + steps.ICE + steps.DTLS
	j.first = append(j.first, max(0, steps.FirstVideo-connected)) // a frame may be there before the client has its keys
	return nil
}
