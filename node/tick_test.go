package node

import (
	"slices"
	"testing"
	"time"
)

// TestBeat: ticks keep their numbers and their time, whether the ticker rests or is hurried; those that reports and the like are due with are
// never slept through, and what a machine that stood still has missed is not made up for.
func TestBeat(t *testing.T) {
	const ms = time.Millisecond
	began := time.Now()
	for name, tc := range map[string]struct {
		do   func(b *beat, at func(time.Duration) time.Time)
		want []uint64 // the ticks turned with, and the next
		due  time.Duration
	}{
		"always urgent": {func(b *beat, at func(time.Duration) time.Time) {
			for i := range time.Duration(3) {
				b.next(true, at((i+1)*10*ms))
			}
		}, []uint64{1, 2, 3, 4}, 40 * ms},
		"at rest": {func(b *beat, at func(time.Duration) time.Time) {
			b.next(false, at(10*ms))
			b.next(false, at(40*ms))
		}, []uint64{1, 4, 8}, 80 * ms},
		"hurried": {func(b *beat, at func(time.Duration) time.Time) {
			b.next(false, at(10*ms))
			b.next(false, at(40*ms))
			b.hurry(at(51 * ms))
			b.hurry(at(52 * ms))
			b.next(true, at(60*ms))
		}, []uint64{1, 4, 6, 7}, 70 * ms},
		"hurried at once": {func(b *beat, at func(time.Duration) time.Time) {
			b.next(false, at(10*ms))
			b.next(false, at(40*ms))
			b.hurry(at(41 * ms))
		}, []uint64{1, 4, 5}, 50 * ms},
		"late": {func(b *beat, at func(time.Duration) time.Time) {
			b.next(true, at(10*ms))
			b.next(false, at(900*ms))
			b.hurry(at(900 * ms))
		}, []uint64{1, 2, 4}, 900 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			b := beat{due: began.Add(tickEvery), count: 1}
			var turned []uint64
			tc.do(&b, func(after time.Duration) time.Time {
				if b.last != 0 && (len(turned) == 0 || turned[len(turned)-1] != b.last) {
					turned = append(turned, b.last)
				}
				return began.Add(after)
			})
			if turned = append(turned, b.last, b.count); !slices.Equal(slices.Compact(turned), tc.want) {
				t.Errorf("turned with %v, want %v", turned, tc.want)
			}
			if got := b.due.Sub(began); got != tc.due {
				t.Errorf("due after %s, want %s", got, tc.due)
			}
		})
	}
}
