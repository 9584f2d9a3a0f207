package rate

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheRateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Run(t.Context(), 100, 2*time.Second, func(context.Context) error {
			time.Sleep(30 * time.Millisecond)
			return nil
		})
		if r.Asked != 200 || r.Failed != 0 || r.P50.Round(time.Millisecond) != 30*time.Millisecond || r.Late != 0 {
			t.Errorf("= %v", r)
		}
		if r.Took != 2*time.Second+20*time.Millisecond {
			t.Errorf("took %s", r.Took)
		}
	})
}

// A server that stalls for a second is asked on meanwhile, and each of those questions counts as long as it waited.
func TestAStallIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		r := Run(t.Context(), 100, 2*time.Second, func(context.Context) error {
			if at := time.Since(begun); at >= 500*time.Millisecond && at < 1500*time.Millisecond {
				time.Sleep(1500*time.Millisecond - at)
			}
			return nil
		})
		if r.P95 < 850*time.Millisecond || r.Max < 999*time.Millisecond {
			t.Errorf("= %v: half of the questions waited, for up to a second", r)
		}
	})
}

func TestFaultsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := errors.New("first")
		var calls atomic.Int64
		r := Run(t.Context(), 10, time.Second, func(context.Context) error {
			if calls.Add(1)%2 == 1 {
				return first
			}
			return nil
		})
		if r.Asked != 10 || r.Failed != 5 || !errors.Is(r.Fault, first) {
			t.Errorf("= %v, %v", r, r.Fault)
		}
	})
}

func TestItStopsWhenAskedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 255*time.Millisecond)
		defer cancel()
		if r := Run(ctx, 100, time.Minute, func(context.Context) error { return nil }); r.Asked != 26 {
			t.Errorf("asked %d times in 255 ms at 100 a second", r.Asked)
		}
	})
}
