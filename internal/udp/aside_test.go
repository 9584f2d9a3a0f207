package udp

import (
	"testing"
	"time"
)

// TestLull: what comes alone is read at once, what comes thick together.
func TestLull(t *testing.T) {
	const ms = int64(time.Millisecond)
	for name, tc := range map[string]struct {
		every int64 // between datagrams
		thick bool
	}{
		"rare":     {every: 50 * ms},
		"frequent": {every: 2 * ms, thick: true},
	} {
		t.Run(name, func(t *testing.T) {
			l, now := lull{most: 10 * ms}, int64(0)
			for waiting := 0; now < 3*lullWindow; now += tc.every {
				if waiting++; l.left(now) == 0 {
					l.read(waiting, 64, now)
					waiting = 0
				}
			}
			if left := l.left(l.last); left != 0 != tc.thick || left > 10*ms {
				t.Errorf("the next may wait for %s", time.Duration(left))
			}
			if l.read(64, 64, now); l.left(now) != 0 {
				t.Error("what was left behind waits")
			}
			for range 3 { // a reader that comes by, or an alarm
				now += lullWindow
				l.read(0, 64, now)
			}
			if l.left(now) != 0 {
				t.Error("the first of a calm time waits")
			}
		})
	}
}
