package packet

import (
	"math"
	"sync"
	"testing"
	"time"
)

// film counts a camera of 30 frames a second in three temporal layers (T0 T2 T1 T2), four packets of 1,000 bytes each.
func film(m *Meter, from, until time.Duration) {
	frame := int(from * 30 / time.Second)
	for at := from; at < until; at += time.Second / 30 {
		for range 4 {
			m.Add(1000, uint32(frame*3000), [4]uint8{0, 2, 1, 2}[frame%4], int64(at))
		}
		frame++
	}
}

func TestMeter(t *testing.T) {
	near := func(got, want float64) bool { return math.Abs(got-want) <= 0.07*want }
	var m Meter
	if bits, frames := m.Rate(2, 0); bits != 0 || frames != 0 {
		t.Errorf("%v bit/s, %v frames of nothing", bits, frames)
	}
	begin := time.Hour
	for _, tc := range []struct {
		at   time.Duration // since begin
		want float64       // share of the true rate
	}{{100 * time.Millisecond, 0.2}, {500 * time.Millisecond, 1}, {2 * time.Second, 1}, {5 * time.Second, 1}} {
		m = Meter{}
		film(&m, begin, begin+tc.at+60*time.Millisecond)
		for tid, share := range []float64{0.25, 0.5, 1, 1} {
			bits, frames := m.Rate(uint8(tid), int64(begin+tc.at))
			if tc.at >= time.Second && (!near(float64(bits), tc.want*share*30*4*8000) || !near(frames, tc.want*share*30)) {
				t.Errorf("after %v up to %d: %v bit/s, %v frames", tc.at, tid, bits, frames)
			}
			if tc.at < time.Second && tid == 2 && math.Abs(frames-tc.want*30) > 6 {
				t.Errorf("after %v: %v frames", tc.at, frames)
			}
		}
	}
	if bits, _ := m.Rate(2, int64(begin+7*time.Second)); bits != 0 {
		t.Errorf("%v bit/s after the end", bits)
	}
	film(&m, begin+20*time.Second, begin+22*time.Second)
	if _, frames := m.Rate(2, int64(begin+22*time.Second)); !near(frames, 30) {
		t.Errorf("%v frames after a pause", frames)
	}
}

// TestMeterReaders reads from other goroutines while one counts: for the race detector, and no rate is ever out of the world.
func TestMeterReaders(t *testing.T) {
	var m Meter
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if bits, frames := m.Rate(2, int64(5*time.Second)); bits > 2_000_000 || frames > 60 {
					t.Errorf("%v bit/s, %v frames", bits, frames)
					return
				}
			}
		})
	}
	film(&m, 0, 60*time.Second)
	close(done)
	wg.Wait()
}

// TestMeterUsual: a keyframe of ten times a frame's size moves the usual rate little, a new rate takes over in seconds.
func TestMeterUsual(t *testing.T) {
	var m Meter
	const rate = 30 * 4 * 8000
	film(&m, 0, 10*time.Second)
	for range 40 {
		m.Add(1000, 300*3000, 0, int64(10*time.Second))
	}
	film(&m, 10*time.Second+time.Second/30, 11*time.Second)
	now := int64(11 * time.Second)
	bits, _ := m.Rate(2, now)
	usual := m.Usual(2, now)
	if bits < rate*5/4 || usual < rate*19/20 || usual > rate*6/5 {
		t.Errorf("%d bit/s in the last second, usually %d, of %d", bits, usual, rate)
	}
	for at := 11 * time.Second; at < 17*time.Second; at += 100 * time.Millisecond {
		m.Add(1000, 1, 0, int64(at))
	}
	if usual := m.Usual(2, int64(17*time.Second)); usual > rate/5 {
		t.Errorf("usually %d after six seconds of 80,000", usual)
	}
	if usual := m.Usual(2, int64(19*time.Second)); usual != 0 {
		t.Errorf("usually %d after the end", usual)
	}
}

// TestMeterBegins: a stream is reckoned with by what follows the keyframe that it begins with, soon.
func TestMeterBegins(t *testing.T) {
	const rate = 30 * 4 * 8000
	for end := 200 * time.Millisecond; end < 3*time.Second; end += 100 * time.Millisecond {
		var m Meter
		for range 40 {
			m.Add(1000, 29*3000, 0, int64(time.Second))
		}
		film(&m, time.Second+time.Second/30, time.Second+end)
		if usual := m.Usual(2, int64(time.Second+end)); usual < rate*3/4 || usual > rate*5/4 {
			t.Errorf("usually %d after %s, of %d", usual, end, rate)
		}
	}
}

// TestMeterBeginsWithTwo: nor is it taken for several times as much when somebody who has come asks for another keyframe soon.
func TestMeterBeginsWithTwo(t *testing.T) {
	const rate, frame = 30 * 4 * 8000, time.Second / 30
	for second := 1; second < 30; second++ {
		var m Meter
		for n := range 90 {
			at := time.Second + time.Duration(n)*frame
			packets := 4
			if n == 0 || n == second {
				packets = 40
			}
			for range packets {
				m.Add(1000, uint32(n*3000), 0, int64(at))
			}
			if usual := m.Usual(0, int64(at)); n > second && usual > rate*3/2 {
				t.Errorf("usually %d with the second keyframe %s behind the first, %s later, of %d", usual, time.Duration(second)*frame, time.Duration(n-second)*frame, rate)
			}
		}
	}
}

// TestMeterBeginsInTheMiddle: a stream whose first frame that comes is of an upper layer, and larger than those below, is reckoned with like any other.
func TestMeterBeginsInTheMiddle(t *testing.T) {
	const rate = 30 * 4 * 8000
	var m Meter
	for range 40 {
		m.Add(1000, 0, 2, int64(time.Second))
	}
	for end := 200 * time.Millisecond; end < 3*time.Second; end += 100 * time.Millisecond {
		film(&m, time.Second+end-100*time.Millisecond, time.Second+end)
		for temporal := range uint8(MaxTemporal) {
			if usual := m.Usual(temporal, int64(time.Second+end)); usual < 0 || usual > 2*rate {
				t.Errorf("usually %d up to layer %d after %s, of %d", usual, temporal, end, rate)
			}
		}
	}
}

// TestMeterBeginsInABurst: a stream that begins with half a second of frames at once, which others had seen, is reckoned with by the time in which they were made.
func TestMeterBeginsInABurst(t *testing.T) {
	const rate, frame = 30 * 4 * 8000, time.Second / 30
	var m Meter
	for n := range 15 {
		for range 4 {
			m.Add(1000, uint32(n*3000), 0, int64(time.Second))
		}
	}
	for n := range 60 {
		at := time.Second + time.Duration(n)*frame
		for range 4 {
			m.Add(1000, uint32((15+n)*3000), 0, int64(at))
		}
		if usual := m.Usual(0, int64(at)); n > 1 && (usual < rate*7/10 || usual > rate*13/10) {
			t.Errorf("usually %d after %s, of %d", usual, at-time.Second, rate)
		}
	}
}

// TestMeterBeginsAgain: a stream that comes again with a keyframe is reckoned with by what was usual of it before.
func TestMeterBeginsAgain(t *testing.T) {
	var m Meter
	const rate = 30 * 4 * 8000
	film(&m, 0, 10*time.Second)
	for range 40 {
		m.Add(1000, 300*3000, 0, int64(15*time.Second))
	}
	film(&m, 15*time.Second+time.Second/30, 15*time.Second+400*time.Millisecond)
	if usual := m.Usual(2, int64(15*time.Second+400*time.Millisecond)); usual < rate*9/10 || usual > rate*11/10 {
		t.Errorf("usually %d after a pause and a keyframe, of %d", usual, rate)
	}
}

// TestMeterComesAgain: a stream with a keyframe each second that has come for half of one is known for what it takes once it has come again for a bit more
// than a second, and not only after several.
func TestMeterComesAgain(t *testing.T) {
	const frame = time.Second / 30
	var m Meter
	play := func(from, until time.Duration) {
		for n := 0; from+time.Duration(n)*frame < until; n++ {
			packets := 4
			if n%30 == 0 {
				packets = 64 // half of all
			}
			at := from + time.Duration(n)*frame
			for range packets {
				m.Add(1000, uint32(at*9/100_000), 0, int64(at))
			}
		}
	}
	const rate = (29*4 + 64) * 8000
	play(time.Second, time.Second+500*time.Millisecond)
	if reckoned := m.Usual(0, int64(1500*time.Millisecond)) + m.Spare(); reckoned < rate*9/10 || reckoned > rate*11/10 {
		t.Errorf("reckoned with %d after half a second, of %d", reckoned, rate)
	}
	for _, tc := range []struct{ from, lasts time.Duration }{{10 * time.Second, 1300 * time.Millisecond}, {20 * time.Second, 900 * time.Millisecond}} {
		play(tc.from, tc.from+tc.lasts)
		if usual := m.Usual(0, int64(tc.from+tc.lasts)); usual < rate*9/10 || usual > rate*11/10 {
			t.Errorf("usually %d after %s, of %d", usual, tc.from+tc.lasts, rate)
		}
		if spare := m.Spare(); spare != 0 {
			t.Errorf("%d to spare of what is known", spare)
		}
	}
}
