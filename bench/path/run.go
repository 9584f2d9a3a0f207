package path

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// The contenders, in the order in which each round has them.
const (
	Floor   = "floor"   // sendmmsg of 64 datagrams at a time, without encryption
	Offload = "offload" // the same in runs that the kernel cuts up
	Parley  = "parley"
	Before  = "before" // another build of Parley
	Pion    = "pion"
)

// Programs are the binaries of the contenders. Before may be empty: then there is no such contender.
type Programs struct{ Floor, Parley, Before, Pion string }

// Options say how to measure.
type Options struct {
	Programs Programs
	Window   time.Duration // of one contender in one round
	Rounds   int           // at first
	Most     int           // rounds, where the first have not decided
	Pion     bool          // measure pion too
	Paced    bool          // measure at a real pace too
	Earlier  Kept          // to compare with
	Log      io.Writer     // is told what is done
}

// samples are the windows of the contenders, one a round each.
type samples struct {
	load   Load
	paced  bool
	micros map[string][]float64
	cores  map[string][]float64
	others []float64 // of all windows
	lost   uint64
	spoilt int // windows that were measured again
}

// mostSpoilt windows of a load are measured again.
const mostSpoilt = 12

var errSpoilt = errors.New("the window is spoilt")

// Measure runs a load: the contenders take turns, so that whatever else the machine does meets all of them alike.
func Measure(ctx context.Context, load Load, opts Options) (rows []Row, err error) {
	contenders, err := gather(ctx, load, opts)
	defer func() {
		for _, c := range contenders {
			err = errors.Join(err, c.close())
		}
	}()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", load.Name, err)
	}
	paces := []bool{false}
	if opts.Paced && load.Pace > 0 {
		paces = append(paces, true)
	}
	for _, paced := range paces {
		s := &samples{load: load, paced: paced, micros: map[string][]float64{}, cores: map[string][]float64{}}
		if err := s.collect(ctx, contenders, opts); err != nil {
			return nil, fmt.Errorf("%s: %w", load.Name, err)
		}
		rows = append(rows, s.row())
	}
	return rows, nil
}

// gather starts the contenders of a load. It returns those that it has started also when one cannot be.
func gather(ctx context.Context, load Load, opts Options) (all []*contender, err error) {
	fmt.Fprintf(opts.Log, "%s: everybody joins\n", load)
	floor, err := newFloor(ctx, opts.Programs.Floor, load)
	if err != nil {
		return nil, err
	}
	all = append(all, floor, floor.withOffload())
	for _, build := range []struct{ name, binary string }{{Parley, opts.Programs.Parley}, {Before, opts.Programs.Before}} {
		if build.binary == "" {
			continue
		}
		parley, err := newParley(ctx, build.name, build.binary, load)
		if err != nil {
			return all, err
		}
		all = append(all, parley)
	}
	if !opts.Pion {
		return all, nil
	}
	pion, err := newPion(ctx, opts.Programs.Pion, load)
	if err != nil {
		return all, err
	}
	return append(all, pion), nil
}

// collect measures rounds until the comparison with earlier results is decided, or there have been enough. All rounds count.
func (s *samples) collect(ctx context.Context, contenders []*contender, opts Options) error {
	for _, c := range contenders { // caches, and Parley's and pion's memory, are as they will be
		if _, err := s.window(ctx, c, opts); err != nil {
			return err
		}
	}
	for round := 1; ; round++ {
		for _, c := range contenders {
			w, err := s.window(ctx, c, opts)
			if err != nil {
				return err
			}
			s.micros[c.name] = append(s.micros[c.name], w.micros())
			s.cores[c.name] = append(s.cores[c.name], w.cores())
			s.others = append(s.others, w.others)
			s.lost += w.dropped
			fmt.Fprintf(opts.Log, "%-8s round %d  %7.3f µs  %.2f cores  %8.0f packets/s  %d dropped, %d stalls, others took %.0f %%\n",
				c.name, round, w.micros(), w.cores(), float64(w.forwarded)/w.took.Seconds(), w.dropped, w.stalls, 100*w.others)
		}
		if round >= opts.Most || round >= opts.Rounds && s.decided(opts.Earlier) {
			return nil
		}
	}
}

// window measures a contender. A window in which packets were lost on their way to the server, or in it, says nothing of what one
// costs: it is told, counted and measured again, but not often. Its figures are not looked at.
func (s *samples) window(ctx context.Context, c *contender, opts Options) (window, error) {
	for {
		w, err := c.measure(ctx, s.load, s.paced, opts.Window)
		if !errors.Is(err, errSpoilt) || s.spoilt == mostSpoilt {
			return w, err
		}
		s.spoilt++
		fmt.Fprintf(opts.Log, "%-8s spoilt: %v\n", c.name, err)
	}
}

// decided says whether more rounds would hardly change the verdict.
func (s *samples) decided(earlier Kept) bool {
	row := s.row()
	was, old := earlier.find(row)
	return old == nil || judge(row.Floor, was.Floor) != undecided
}

// row sums the samples up.
func (s *samples) row() Row {
	row := Row{
		Load: s.load.Name, Paced: s.paced, Rounds: len(s.micros[Parley]), Micros: map[string]float64{}, Cores: map[string]float64{},
		Floor: compare(s.micros[Parley], s.micros[Floor]), Dropped: s.lost, Spoilt: s.spoilt,
		Others: median(s.others),
	}
	for name, all := range s.micros {
		row.Micros[name], row.Cores[name] = median(all), median(s.cores[name])
	}
	if before := s.micros[Before]; len(before) > 0 {
		ratio := compare(s.micros[Parley], before)
		row.Before = &ratio
	}
	if pion := s.micros[Pion]; len(pion) > 0 {
		ratio := compare(s.micros[Parley], pion)
		row.Pion = &ratio
		row.PionViewers = s.load.Viewers
		if s.load.PionMost > 0 {
			row.PionViewers = min(s.load.Viewers, s.load.PionMost)
		}
	}
	return row
}
