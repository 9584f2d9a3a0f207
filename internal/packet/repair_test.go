package packet

import (
	"cmp"
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"
)

// repairLink is a stream of packets over a link that loses, delays and reorders, between two processes that both stand still now and
// then. What is asked for comes again, over the same link.
type repairLink struct {
	rng    *rand.Rand
	rtt    time.Duration
	loss   float64       // share of packets lost, retransmitted ones too
	jitter time.Duration // later by up to this
	stalls time.Duration // a process stands still for up to this, every half second on average

	every    time.Duration // from packet to packet; 0 is 2 ms
	apart    bool          // retransmissions are told from packets that are sent for the first time
	probes   bool          // the sender sends what it was asked for twice, to see what the path carries
	measured time.Duration // the round trip as it was measured; 0 is rightly

	transit transit
	asleep  [2]int64 // until when sender and receiver stand still
}

// arriving is a packet, or when ask is set a request for one.
type arriving struct {
	at     int64
	seq    uint16
	ask    bool
	resent bool
}

type transit []arriving

func (t transit) Len() int           { return len(t) }
func (t transit) Less(i, j int) bool { return t[i].at < t[j].at }
func (t transit) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *transit) Push(x any)        { *t = append(*t, x.(arriving)) }
func (t *transit) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

func (r *repairLink) send(a arriving, now int64) (lost bool) {
	if r.rng.Float64() < r.loss {
		return true
	}
	a.at = now + int64(r.rtt)/2
	if r.jitter > 0 {
		a.at += r.rng.Int64N(int64(r.jitter))
	}
	heap.Push(&r.transit, a)
	return false
}

// awake reports whether a process runs at now, and lets it fall asleep at times.
func (r *repairLink) awake(process int, now int64) bool {
	if now >= r.asleep[process] && r.stalls > 0 && r.rng.IntN(500) == 0 {
		r.asleep[process] = now + r.rng.Int64N(int64(r.stalls))
	}
	return now >= r.asleep[process]
}

// outcome is what became of a minute.
type outcome struct {
	sent, lost, asked, residual int
	wait                        time.Duration // mean from sending to having what was lost
}

// run lets a minute pass in steps of a millisecond.
func (r *repairLink) run(l *Loss) (o outcome) {
	const step, minute = int64(time.Millisecond), int64(time.Minute)
	sentAt, lostOnes, repaired := map[uint16]int64{}, map[uint16]bool{}, 0
	var read []arriving // what waits in the receiver's socket
	var requests []uint16
	seq := uint16(0)
	pace, measured := int64(cmp.Or(r.every, 2*time.Millisecond)), cmp.Or(r.measured, r.rtt)
	for now := int64(1); now < minute; now += step {
		for len(r.transit) > 0 && r.transit[0].at <= now {
			a := heap.Pop(&r.transit).(arriving)
			if a.ask {
				requests = append(requests, a.seq)
			} else {
				read = append(read, a)
			}
		}
		if r.awake(0, now) {
			for o.sent < int(now/pace) {
				sentAt[seq] = now
				delete(lostOnes, seq)
				if r.send(arriving{seq: seq}, now) {
					o.lost++
					lostOnes[seq] = true
				}
				seq++
				o.sent++
			}
			for _, again := range requests {
				r.send(arriving{seq: again, resent: r.apart}, now)
				if r.probes {
					r.send(arriving{seq: again, resent: r.apart}, now+int64(50*time.Millisecond))
				}
			}
			requests = requests[:0]
		}
		if !r.awake(1, now) {
			continue
		}
		// The ticker of a process that wakes up may be first, or its reader.
		for range 2 {
			if r.rng.IntN(2) == 0 {
				for _, a := range read {
					l.received(a.seq, now, a.resent)
					if lostOnes[a.seq] {
						delete(lostOnes, a.seq)
						repaired++
						o.wait += time.Duration(now - sentAt[a.seq])
					}
				}
				read = read[:0]
			} else if now/step%10 == 0 {
				for _, missing := range l.Due(now, measured, nil) {
					o.asked++
					r.send(arriving{seq: missing, ask: true}, now)
				}
			}
		}
	}
	o.residual = o.lost - repaired
	if repaired > 0 {
		o.wait /= time.Duration(repaired)
	}
	return o
}

// TestRepair holds repair to what it is for, and to asking for little else.
func TestRepair(t *testing.T) {
	for name, tc := range map[string]struct {
		link      repairLink
		surplus   float64 // most packets asked for beyond what loss takes, as a share of those sent
		slowest   float64 // mean repair in round trips
		remaining float64 // share of packets that never come
	}{
		"a clean link":              {repairLink{rtt: 40 * time.Millisecond}, 0, 0, 0},
		"5 % lost":                  {repairLink{rtt: 40 * time.Millisecond, loss: 0.05}, 0.005, 2.5, 0.0005},
		"5 % lost, far":             {repairLink{rtt: 160 * time.Millisecond, loss: 0.05}, 0.005, 2, 0.0005},
		"10 % lost":                 {repairLink{rtt: 40 * time.Millisecond, loss: 0.1}, 0.01, 2.8, 0.001},
		"out of order":              {repairLink{rtt: 40 * time.Millisecond, jitter: 15 * time.Millisecond}, 0.01, 0, 0},
		"out of order and lost":     {repairLink{rtt: 40 * time.Millisecond, jitter: 15 * time.Millisecond, loss: 0.02}, 0.02, 3.5, 0.0005},
		"thin, far":                 {repairLink{rtt: 80 * time.Millisecond, loss: 0.01, every: 33 * time.Millisecond}, 0.005, 2.3, 0},
		"thin, measured in a stall": {repairLink{rtt: 80 * time.Millisecond, loss: 0.01, every: 33 * time.Millisecond, apart: true, measured: 300 * time.Millisecond}, 0.005, 2.3, 0},
		"probed":                    {repairLink{rtt: 40 * time.Millisecond, loss: 0.05, apart: true, probes: true}, 0.005, 2.5, 0.0005},
		"starved, near":             {repairLink{rtt: time.Millisecond, stalls: 120 * time.Millisecond, loss: 0.01}, 0.005, 40, 0.0005},
		"starved, jitter":           {repairLink{rtt: 2 * time.Millisecond, stalls: 120 * time.Millisecond, jitter: 8 * time.Millisecond}, 0.01, 0, 0},
		"starved, jitter and loss":  {repairLink{rtt: 80 * time.Millisecond, stalls: 120 * time.Millisecond, jitter: 8 * time.Millisecond, loss: 0.01}, 0.015, 3, 0.0005},
	} {
		t.Run(name, func(t *testing.T) {
			r := tc.link
			r.rng = rand.New(rand.NewPCG(1, 2))
			o := r.run(new(Loss))
			inevitable := float64(o.lost) / (1 - tc.link.loss) / (1 - tc.link.loss)
			surplus := (float64(o.asked) - inevitable) / float64(o.sent)
			t.Logf("%d sent, %d lost, %d asked for (%.2f %% too many), %d never came, repaired after %v", o.sent, o.lost, o.asked, surplus*100, o.residual, o.wait)
			if surplus > tc.surplus {
				t.Errorf("%.2f %% asked for without need", surplus*100)
			}
			if tc.slowest > 0 && float64(o.wait) > tc.slowest*float64(tc.link.rtt) {
				t.Errorf("repaired after %v", o.wait)
			}
			if tail := 25; float64(o.residual-tail) > tc.remaining*float64(o.sent) { // the last ones are still on their way
				t.Errorf("%d never came", o.residual)
			}
		})
	}
}

// TestRepairIsBounded: however much is lost, asks are at most a fifth of what comes, and the first credit.
func TestRepairIsBounded(t *testing.T) {
	for _, loss := range []float64{0.2, 0.5, 0.9} {
		r := repairLink{rng: rand.New(rand.NewPCG(3, 4)), rtt: 20 * time.Millisecond, loss: loss}
		o := r.run(new(Loss))
		came := o.sent - o.lost + o.asked // at most
		if o.asked > came/lossShare+lossCredit {
			t.Errorf("at %v lost %d asked for while %d came", loss, o.asked, came)
		}
	}
}
