package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorder keeps the order in which stages stopped.
type recorder struct {
	mu      sync.Mutex
	stopped []string
}

// stage runs until it is asked to stop, then takes the given time.
func (r *recorder) stage(name string, takes time.Duration) stage {
	return stage{name: name, run: func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(takes)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stopped = append(r.stopped, name)
		return nil
	}}
}

func TestStagesStopInReverse(t *testing.T) {
	boom := errors.New("boom")
	for _, tc := range []struct {
		name    string
		slow    time.Duration // that the middle stage takes to stop
		breaks  func(ctx context.Context) error
		asked   bool // to stop, after a minute
		want    []string
		faults  []string
		elapsed time.Duration
	}{
		{name: "asked", slow: time.Second, asked: true, want: []string{"api", "node", "bus"}, elapsed: time.Minute + time.Second},
		{
			name: "one breaks", breaks: func(context.Context) error { return boom },
			want: []string{"api", "node", "bus"}, faults: []string{"broken: boom"},
		},
		{
			name: "one ends by itself", breaks: func(context.Context) error { return nil },
			want: []string{"api", "node", "bus"}, faults: []string{"broken: ended by itself"},
		},
		{
			name: "one hangs", slow: time.Hour, asked: true,
			want: []string{"api", "bus"}, faults: []string{"node: did not stop within 8s"}, elapsed: time.Minute + stopLimit,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tc.asked {
					time.AfterFunc(time.Minute, cancel)
				}
				var r recorder
				stages := []stage{r.stage("bus", 0), r.stage("node", tc.slow), r.stage("api", 0)}
				if tc.breaks != nil {
					stages = append(stages, stage{name: "broken", run: tc.breaks})
				}
				begin := time.Now()
				err := runStages(ctx, slog.New(slog.DiscardHandler), stages)
				if got := time.Since(begin); got != tc.elapsed {
					t.Errorf("took %s, want %s", got, tc.elapsed)
				}
				r.mu.Lock()
				if !slices.Equal(r.stopped, tc.want) {
					t.Errorf("stopped %v, want %v", r.stopped, tc.want)
				}
				r.mu.Unlock()
				if (err == nil) != (len(tc.faults) == 0) {
					t.Errorf("err = %v, want %v", err, tc.faults)
				}
				for _, fault := range tc.faults {
					if err == nil || !strings.Contains(err.Error(), fault) {
						t.Errorf("err = %v, want %q in it", err, fault)
					}
				}
				time.Sleep(2 * time.Hour) // the stage that hangs ends at last
			})
		})
	}
}

func TestAStageWaitsForTheOneBelow(t *testing.T) {
	for _, tc := range []struct {
		name  string
		after time.Duration // that the lower stage takes to be ready
		want  time.Duration // that the upper one waits
	}{
		{"that is soon ready", time.Second, time.Second},
		{"that is not ready for long", time.Hour, readyLimit},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				ready := make(chan struct{})
				time.AfterFunc(tc.after, func() { close(ready) })
				begin := time.Now()
				var waited time.Duration
				upper := stage{name: "upper", run: func(ctx context.Context) error {
					waited = time.Since(begin)
					cancel()
					<-ctx.Done()
					return nil
				}}
				lower := new(recorder).stage("lower", 0)
				lower.ready = ready
				if err := runStages(ctx, slog.New(slog.DiscardHandler), []stage{lower, upper}); err != nil {
					t.Error(err)
				}
				if waited != tc.want {
					t.Errorf("waited %s, want %s", waited, tc.want)
				}
			})
		})
	}
}
