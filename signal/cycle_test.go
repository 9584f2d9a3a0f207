package signal

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var calls []time.Duration
		c := startCycle(10*time.Second, func() {
			calls = append(calls, time.Since(began))
			<-time.After(3 * time.Second)
		})
		<-time.After(24 * time.Second) // in the middle of the second call
		c.stop()
		if took := time.Since(began); took != 26*time.Second {
			t.Errorf("stop returned after %s, want when the call has ended", took)
		}
		<-time.After(time.Minute)
		if len(calls) != 2 || calls[0] != 10*time.Second || calls[1] != 23*time.Second {
			t.Errorf("called after %v", calls)
		}
	})
}

// TestCyclesTogether: cycles that began apart come due together, none too early.
func TestCyclesTogether(t *testing.T) {
	c := &cycle{every: 15 * time.Second}
	first := time.Now()
	due := map[time.Time]int{}
	for i := range 100 {
		began := first.Add(time.Duration(i) * 10 * time.Millisecond)
		wait := c.wait(began)
		if wait < c.every || wait >= c.every+together {
			t.Fatalf("%s", wait)
		}
		due[began.Add(wait).Round(0)]++
	}
	if len(due) > 5 {
		t.Errorf("100 cycles of a second come due at %d moments", len(due))
	}
}
