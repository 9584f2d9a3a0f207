package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parley-sfu/parley/bench/plot"
	"github.com/parley-sfu/parley/bench/server"
)

// A Plan says how long and how lively it is. Defaults is an hour.
type Plan struct {
	Binary   string
	Duration time.Duration
	Seats    int           // people in the room, always
	Every    time.Duration // between two events: a guest is replaced, or loses the socket and resumes
	Sample   time.Duration
	Log      io.Writer
}

// Defaults returns a plan of an hour with 12 people, of whom one is replaced or cut off every second.
func Defaults() Plan {
	return Plan{Duration: time.Hour, Seats: 12, Every: time.Second, Sample: 2 * time.Second, Log: io.Discard}
}

// cutEvery is which of the events are lost sockets; the others are replaced guests.
const cutEvery = 3

// A Series is one figure of the node over time, in seconds since the beginning.
type Series struct {
	Name, Unit  string
	Interesting float64 // the growth, as a share, from which it is worth a word
	Points      []plot.Point
}

// Growth is what the last three quarters of the series do: the first is for everything to find its size. What has stopped growing by
// half-time was longer about it, and does not grow: a leak goes on.
func (s Series) Growth() plot.Growth {
	g := plot.Grows(s.Points[len(s.Points)/4:], s.Interesting)
	late := plot.Grows(s.Points[len(s.Points)/2:], s.Interesting*2/3) // of the same slope, two thirds of the growth
	g.Grows = g.Grows && late.Grows
	return g
}

// enough is how many samples Growth needs to judge by: its shorter stretch is half of them.
const enough = 2 * plot.Fewest

// A Report is what was seen.
type Report struct {
	Series       []*Series
	Replaced     int
	Cut, Resumed int // sockets of those who were replaced: that were cut, and after which they were back in the room
	Silent       int // guests who had received nothing when they were replaced
}

// Fault names every series that grows, and what else must not be.
func (r *Report) Fault() error {
	var faults []error
	for _, s := range r.Series {
		if n := len(s.Points); n < enough {
			faults = append(faults, fmt.Errorf("%d samples of %s are too few to say whether it grows: it takes %d", n, s.Name, enough))
		} else if g := s.Growth(); g.Grows {
			faults = append(faults, fmt.Errorf("%s grew by %.1f %% in the last three quarters: noise does not explain it", s.Name, 100*g.Share))
		}
	}
	if r.Cut > 0 && r.Resumed == 0 {
		faults = append(faults, fmt.Errorf("%d sockets were cut, and nobody came back", r.Cut))
	}
	if r.Silent > 0 {
		faults = append(faults, fmt.Errorf("%d guests received nothing", r.Silent))
	}
	return errors.Join(faults...)
}

// run is a plan being carried out.
type run struct {
	plan   Plan
	node   *server.Parley
	seats  []*seat
	report Report
}

// Run carries a plan out.
func Run(ctx context.Context, plan Plan) (report *Report, err error) {
	node, err := server.StartParley(ctx, plan.Binary)
	if err != nil {
		return nil, err
	}
	r := &run{plan: plan, node: node, report: Report{Series: []*Series{
		{Name: "goroutines", Unit: "goroutines", Interesting: 0.02},
		{Name: "files", Unit: "open files", Interesting: 0.02},
		{Name: "memory", Unit: "MB resident", Interesting: 0.05},
		{Name: "heap", Unit: "MB in use", Interesting: 0.05},
		{Name: "target", Unit: "MB that the next collection waits for", Interesting: 0.05}, // twice what the last one left
	}}}
	defer func() {
		for _, s := range r.seats {
			err = errors.Join(err, s.leave())
		}
		err = errors.Join(err, node.Stop())
	}()
	meeting, err := node.Meeting(ctx, 2*plan.Seats, 2*plan.Seats) // who has just left still counts for a moment
	if err != nil {
		return nil, err
	}
	for range plan.Seats {
		s := &seat{node: node, meeting: meeting}
		r.seats = append(r.seats, s)
		if err := s.enter(ctx); err != nil {
			return nil, err
		}
	}
	return &r.report, r.churn(ctx)
}

// churn makes events and takes samples until the time is over.
func (r *run) churn(ctx context.Context) error {
	begun := time.Now()
	event, sample := time.NewTicker(r.plan.Every), time.NewTicker(r.plan.Sample)
	defer event.Stop()
	defer sample.Stop()
	for number := 0; time.Since(begun) < r.plan.Duration; {
		select {
		case <-event.C:
			if err := r.happen(ctx, number); err != nil {
				return err
			}
			number++
		case <-sample.C:
			if err := r.look(ctx, time.Since(begun)); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// happen makes the event of a number: it goes round the seats, and every seat has its turn of both kinds.
func (r *run) happen(ctx context.Context, number int) error {
	s := r.seats[number%len(r.seats)]
	if round := number / len(r.seats); (number+round)%cutEvery == 0 {
		s.lose()
		return nil
	}
	r.report.Replaced++
	r.report.Cut += s.cut
	r.report.Resumed += int(s.resumed.Load())
	if s.received() == 0 {
		r.report.Silent++
	}
	if err := s.leave(); err != nil {
		return err
	}
	return s.enter(ctx)
}

// look takes one sample of everything.
func (r *run) look(ctx context.Context, at time.Duration) error {
	const routines, heap, target = "go_goroutines", "go_memstats_heap_inuse_bytes", "go_memstats_next_gc_bytes"
	metrics, err := r.node.Metrics(ctx, routines, heap, target)
	if err != nil {
		return err
	}
	files, err := r.node.Files()
	if err != nil {
		return err
	}
	memory, err := r.node.Memory()
	if err != nil {
		return err
	}
	const mega = 1e6
	values := []float64{metrics[routines], files, memory / mega, metrics[heap] / mega, metrics[target] / mega}
	for i, s := range r.report.Series {
		s.Points = append(s.Points, plot.Point{X: at.Seconds(), Y: values[i]})
	}
	const toldEvery = 30
	if len(r.report.Series[0].Points)%toldEvery == 1 {
		fmt.Fprintf(r.plan.Log, "%6.0f s: %.0f goroutines, %.0f files, %.0f MB resident, %.0f MB heap, collected at %.0f; %d replaced, %d of %d resumed\n",
			at.Seconds(), values[0], values[1], values[2], values[3], values[4], r.report.Replaced, r.report.Resumed, r.report.Cut)
	}
	return nil
}
