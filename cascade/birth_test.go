package cascade

import (
	"testing"
	"time"
)

// A link that is not up is given up by how far it has come.
func TestBirth(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for _, tc := range []struct {
		name          string
		adopted, path time.Duration // since it began; path 0: never
		late          time.Duration
	}{
		{"nobody answers checks", ms(100), 0, ms(1600)},
		{"the introduction took long", ms(4000), 0, ms(5000)},
		{"a path, and nothing over it", ms(100), ms(1500), ms(3500)},
		{"a path at last", ms(3900), ms(4500), ms(5000)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			began := time.Now()
			b := birth{began: began, adopted: began.Add(tc.adopted)}
			for at := tc.adopted; ; at += ms(10) {
				if b.late(tc.path != 0 && at >= tc.path, began.Add(at)) {
					if at != tc.late+ms(10) {
						t.Errorf("given up after %v, want more than %v", at, tc.late)
					}
					return
				}
			}
		})
	}
}
