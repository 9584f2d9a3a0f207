package udp

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// stream plays a socket on which a datagram comes every so often, and returns how many reads it took and the longest that a
// datagram waited. Working a read off takes so long, and so long more for each datagram.
func stream(p *pace, every, during, work, more time.Duration) (reads int, longest time.Duration) {
	next, now := int64(0), int64(0)
	for now < int64(during) {
		now += p.pause(now)
		now = max(now, next) // asleep until one has come
		longest = max(longest, time.Duration(now-next))
		n := 0
		for ; next <= now && n < maxRead; next += int64(every) {
			n++
		}
		p.read(n, maxRead, now)
		reads++
		now += int64(work) + int64(n)*int64(more)
	}
	return reads, longest
}

func TestPace(t *testing.T) {
	const apart, work = 400 * time.Microsecond, 10 * time.Microsecond
	for _, tc := range []struct {
		name        string
		every       time.Duration
		least, most float64 // datagrams a read
		longest     time.Duration
	}{
		{"audio", 20 * time.Millisecond, 1, 1, 0},
		{"one a millisecond", time.Millisecond, 1, 1, 0},
		{"too thin to gather two", 250 * time.Microsecond, 1, 1, 0},
		{"thick", 100 * time.Microsecond, 3.5, 5, apart},
		{"thicker", 20 * time.Microsecond, 15, 25, apart},
		{"more than a read takes", 2 * time.Microsecond, 40, maxRead, 3 * apart},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPace(apart)
			stream(&p, tc.every, 50*time.Millisecond, work, 0)
			p = pace{least: int64(apart), apart: int64(apart), thick: p.thick}
			reads, longest := stream(&p, tc.every, time.Second, work, 0)
			got := float64(time.Second/tc.every) / float64(reads)
			if got < tc.least*0.97 || got > tc.most*1.01 || longest > tc.longest {
				t.Errorf("%.2f datagrams a read, want %.2f to %.2f; longest wait %s, want at most %s", got, tc.least, tc.most, longest, tc.longest)
			}
		})
	}
}

// TestPaceFollowsTheWork: reads of what takes long to be worked off are further apart, so that the reader has time, up to a bound.
func TestPaceFollowsTheWork(t *testing.T) {
	const apart = 300 * time.Microsecond
	for _, tc := range []struct {
		name        string
		every       time.Duration
		work, more  time.Duration // for a read, and for each datagram
		least, most float64       // datagrams a read
		longest     time.Duration
	}{
		{"little work", 100 * time.Microsecond, 20 * time.Microsecond, 10 * time.Microsecond, 2.9, 4, apart},
		{"bursts, and time enough", 2 * time.Millisecond, 200 * time.Microsecond, 50 * time.Microsecond, 0.9, 1.1, apart},
		{"one goes to many", time.Millisecond, 400 * time.Microsecond, 300 * time.Microsecond, 7, 8.5, 8 * time.Millisecond},
		{"all that there is time for", time.Millisecond, time.Millisecond, 700 * time.Microsecond, 7.5, 8.5, 8 * time.Millisecond},
		{"more than there is time for, alone", 500 * time.Microsecond, 2 * time.Millisecond, 50 * time.Microsecond, 15, 17, 8 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPace(apart)
			reads, longest := stream(&p, tc.every, 5*time.Second, tc.work, tc.more)
			if got := float64(5*time.Second/tc.every) / float64(reads); got < tc.least || got > tc.most || longest > tc.longest {
				t.Errorf("%.2f datagrams a read, want %.1f to %.1f; longest wait %s, want at most %s", got, tc.least, tc.most, longest, tc.longest)
			}
		})
	}
}

func TestPaceForgetsAfterSilence(t *testing.T) {
	p := newPace(400 * time.Microsecond)
	stream(&p, 50*time.Microsecond, time.Second, 10*time.Microsecond, 0)
	now := int64(2 * time.Second)
	for range 10 {
		if d := p.pause(now); d != 0 {
			t.Fatalf("waits %s after a second of silence", time.Duration(d))
		}
		p.read(1, maxRead, now)
		now += int64(100 * time.Microsecond)
	}
}

// TestPaceIsBounded: whatever comes when, no pause is longer than what is between two reads, and none follows a full read.
func TestPaceIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPace(time.Duration(rapid.Int64Range(0, int64(time.Millisecond)).Draw(t, "apart")))
		now, full := int64(0), false
		for range rapid.IntRange(1, 300).Draw(t, "reads") {
			now += rapid.OneOf(rapid.Int64Range(0, 1000), rapid.Int64Range(0, 2*paceWindow)).Draw(t, "later")
			d := p.pause(now)
			if d < 0 || d > p.apart || p.apart > max(p.least, mostApart) || full && d != 0 {
				t.Fatalf("a pause of %d, reads %d apart, full %v", d, p.apart, full)
			}
			now += d
			n := rapid.IntRange(1, maxRead).Draw(t, "n")
			p.read(n, maxRead, now)
			full = n == maxRead
		}
	})
}
