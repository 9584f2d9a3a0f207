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
