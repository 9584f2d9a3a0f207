package lean

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	for name, tc := range map[string]struct {
		perSecond float64 // packets, of each of 100 viewers
		pictures  int32
		want      time.Duration
	}{
		"a page of thumbnails": {800, 1, 10 * time.Millisecond},
		"floods":               {100_000, 1, calm},
		"one picture":          {100, 1, calmest},
		"sound alone":          {50, 0, silent},
		"nothing":              {0, 0, silent},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReader()
			r.watched.Store(tc.pictures)
			for range 50 {
				r.pace = r.paced(r.pace, int(tc.perSecond*100*r.pace.Seconds()), 100)
			}
			if r.pace < tc.want*95/100 || r.pace > tc.want*105/100 {
				t.Errorf("turns every %s, want %s", r.pace, tc.want)
			}
		})
	}
}
