package packet

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLoss(t *testing.T) {
	const rtt = 50 * time.Millisecond
	type step struct {
		at     time.Duration
		come   []uint16
		forget uint16 // 0: nothing
		due    []uint16
	}
	for name, steps := range map[string][]step{
		"nothing lost":      {{at: 0, come: []uint16{1, 2, 3}}, {at: time.Second}},
		"the first is late": {{at: 0, come: []uint16{2, 1, 3}}, {at: time.Second}},
		"one lost":          {{at: 0, come: []uint16{1, 3, 4, 5}}, {at: 4 * time.Millisecond}, {at: 5 * time.Millisecond, due: []uint16{2}}},
		"little behind it":  {{at: 0, come: []uint16{1, 3}}, {at: 9 * time.Millisecond}, {at: 10 * time.Millisecond, due: []uint16{2}}},
		"asked again after a round trip": {
			{at: 0, come: []uint16{1, 3}},
			{at: 10 * time.Millisecond, due: []uint16{2}},
			{at: 40 * time.Millisecond},
			{at: 70 * time.Millisecond},
			{at: 73 * time.Millisecond, due: []uint16{2}},
		},
		"only out of order": {{at: 0, come: []uint16{1, 3}}, {at: 4 * time.Millisecond, come: []uint16{2}}, {at: time.Second / 2}},
		"as late as others before": {
			{at: 0, come: []uint16{1, 3, 4, 5}},
			{at: 20 * time.Millisecond, come: []uint16{2, 7, 8, 9}},
			{at: 25 * time.Millisecond},
			{at: 32 * time.Millisecond},
			{at: 33 * time.Millisecond, due: []uint16{6}},
		},
		"late a minute ago": {
			{at: 0, come: []uint16{1, 3, 4, 5}},
			{at: 20 * time.Millisecond, come: []uint16{2}},
			{at: time.Minute, come: []uint16{7, 8, 9}},
			{at: time.Minute + 4*time.Millisecond},
			{at: time.Minute + 5*time.Millisecond, due: []uint16{6}},
		},
		"after a stall": {
			{at: 0, come: []uint16{1, 3, 4, 5}},
			{at: time.Millisecond},
			{at: 101 * time.Millisecond},
			{at: 105 * time.Millisecond, due: []uint16{2}},
		},
		"answers that take longer than a round trip": {
			{at: 0, come: []uint16{1, 3, 5, 6, 7}},
			{at: 10 * time.Millisecond, due: []uint16{2, 4}},
			{at: 20 * time.Millisecond},
			{at: 50 * time.Millisecond},
			{at: 72 * time.Millisecond, come: []uint16{2}},
			{at: 75 * time.Millisecond},
			{at: 100 * time.Millisecond},
			{at: 130 * time.Millisecond},
			{at: 135 * time.Millisecond, due: []uint16{4}},
		},
		"retransmitted": {
			{at: 0, come: []uint16{1, 4}},
			{at: 10 * time.Millisecond, due: []uint16{2, 3}},
			{at: 40 * time.Millisecond},
			{at: 41 * time.Millisecond, come: []uint16{2, 2}},
			{at: 70 * time.Millisecond},
			{at: 73 * time.Millisecond, due: []uint16{3}},
		},
		"over a wrap":             {{at: 0, come: []uint16{65534, 1}}, {at: 10 * time.Millisecond, due: []uint16{65535, 0}}},
		"forgotten at a keyframe": {{at: 0, come: []uint16{1, 3, 6}, forget: 5}, {at: 10 * time.Millisecond, due: []uint16{5}}},
		"a big jump":              {{at: 0, come: []uint16{1, 3, 1000, 1002}}, {at: 10 * time.Millisecond, due: []uint16{1001}}},
		"far behind":              {{at: 0, come: []uint16{1000, 1002, 1}}, {at: 10 * time.Millisecond, due: []uint16{1001}}},
		"never missed":            {{at: 0, come: []uint16{10, 12, 9, 10}}, {at: 10 * time.Millisecond, due: []uint16{11}}},
	} {
		t.Run(name, func(t *testing.T) {
			var l Loss
			for _, s := range steps {
				for _, seq := range s.come {
					l.Received(seq, int64(s.at))
				}
				if s.forget != 0 {
					l.Forget(s.forget)
				}
				if s.come != nil {
					continue
				}
				if got := l.Due(int64(s.at), rtt, nil); !slices.Equal(got, s.due) {
					t.Errorf("at %v: due %v, want %v", s.at, got, s.due)
				}
			}
		})
	}
}

func TestLossGivesUp(t *testing.T) {
	var l Loss
	l.Received(1, 0)
	l.Received(3, 0)
	asks := 0
	for now := int64(0); now <= lossForget; now += int64(time.Millisecond) {
		asks += len(l.Due(now, 0, nil))
	}
	if asks != lossAsks || l.Missing() != 0 {
		t.Errorf("%d asks, %d still missing", asks, l.Missing())
	}
}

// TestLossTooLate: nothing is asked for that would come more than a second late.
func TestLossTooLate(t *testing.T) {
	const rtt = 300 * time.Millisecond
	var l Loss
	l.Received(1, 0)
	l.Received(3, 0)
	last := time.Duration(0)
	for now := time.Duration(0); l.Missing() > 0; now += time.Millisecond {
		if len(l.Due(int64(now), rtt, nil)) > 0 {
			last = now
		}
	}
	if last < 300*time.Millisecond || last+rtt >= time.Second {
		t.Errorf("last asked for after %v", last)
	}
}

// TestLossBounded loses at will: what is waited for is bounded, in order, truly missing, and among the last numbers.
func TestLossBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l Loss
		came := make(map[uint16]bool)
		seq := rapid.Uint16().Draw(t, "start")
		for range 300 {
			seq += rapid.SampledFrom([]uint16{1, 1, 2, 5, 100, 256, 0xFFFE}).Draw(t, "step")
			came[seq] = true
			l.Received(seq, 0)
		}
		due := l.Due(2*lateLeast, 0, nil)
		if len(due) != min(l.Missing(), l.credit/lossShare+len(due)) || l.Missing() > lossBound {
			t.Fatalf("%d due, %d missing", len(due), l.Missing())
		}
		for i, seq := range due {
			if came[seq] || i > 0 && !SeqLess(due[i-1], seq) || !SeqLess(seq, l.highest) {
				t.Fatalf("due %v", due)
			}
		}
	})
}

// TestLossRules plays any network against the rules: nothing is asked for that came, or that could not have been missed for
// long; nothing again before an answer could be here; nothing too often, and not more than the share of what came.
func TestLossRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l Loss
		rtt := time.Duration(rapid.IntRange(0, 200).Draw(t, "rtt")) * time.Millisecond
		came, asked, asks := map[uint16]bool{}, map[uint16]int64{}, map[uint16]int{}
		newest, received, total := rapid.Uint16().Draw(t, "start"), 0, 0
		gap := map[uint16]int64{} // when a newer one came
		for now := int64(1); now < int64(3*time.Second); now += int64(10 * time.Millisecond) {
			for range rapid.IntRange(0, 4).Draw(t, "packets") {
				seq := newest + 1
				switch rapid.IntRange(0, 9).Draw(t, "network") {
				case 0:
					seq = newest + 1 + uint16(rapid.IntRange(1, 6).Draw(t, "lost"))
				case 1:
					seq = newest - uint16(rapid.IntRange(0, 12).Draw(t, "late"))
				}
				if received == 0 {
					newest = seq // nothing before the first can be missed
				}
				for missed := newest + 1; SeqLess(missed, seq); missed++ {
					gap[missed] = now
				}
				if SeqLess(newest, seq) {
					newest = seq
				}
				came[seq] = true
				received++
				l.Received(seq, now)
			}
			for _, seq := range l.Due(now, rtt, nil) {
				last, again := asked[seq]
				switch {
				case came[seq]:
					t.Fatalf("%d came", seq)
				case now-gap[seq] < lateLeast:
					t.Fatalf("%d is missed since %v", seq, time.Duration(now-gap[seq]))
				case again && now-last < max(int64(rtt)*5/4, lossAgain):
					t.Fatalf("%d asked for again after %v at %v", seq, time.Duration(now-last), rtt)
				case now-gap[seq]+int64(rtt) >= lossForget:
					t.Fatalf("%d would come %v late", seq, time.Duration(now-gap[seq])+rtt)
				}
				asked[seq] = now
				asks[seq]++
				total++
				if asks[seq] > lossAsks || total > received/lossShare+lossCredit {
					t.Fatalf("asked %d times for %d, %d times in all of %d", asks[seq], seq, total, received)
				}
			}
		}
	})
}
