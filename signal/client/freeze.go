package client

import "time"

const (
	averageOver  = 30 // frames, by the W3C's definition of a freeze
	freezeAtOnce = 150 * time.Millisecond
)

// FreezeMeter counts freezes as the W3C defines them (webrtc-stats, freezeCount): a gap between two shown frames of at
// least three times the average, and of at least 150 ms more than the average, over the last 30 frames. Frames are shown as a player
// with a jitter buffer of at most 400 ms would. The zero value is ready. It belongs to one goroutine.
type FreezeMeter struct {
	resting   bool
	playout   playout
	last      time.Time
	intervals [averageOver]time.Duration
	count     int // of intervals, all told
	sum       time.Duration

	freezes uint64
	total   time.Duration
	longest time.Duration
}

// Whole notes that a frame with that RTP timestamp is whole at now, so that it can be shown.
func (m *FreezeMeter) Whole(timestamp uint32, now time.Time) {
	if !m.resting {
		m.shown(m.playout.shows(timestamp, now))
	}
}

func (m *FreezeMeter) shown(now time.Time) {
	if !m.last.IsZero() {
		gap := now.Sub(m.last)
		if m.frozen(gap) {
			m.freezes++
			m.total += gap
			m.longest = max(m.longest, gap)
		}
		m.learn(gap)
	}
	m.last = now
}

func (m *FreezeMeter) learn(gap time.Duration) {
	place := m.count % averageOver
	m.sum += gap - m.intervals[place]
	m.intervals[place] = gap
	m.count++
}

func (m *FreezeMeter) frozen(gap time.Duration) bool {
	if m.count == 0 {
		return false
	}
	average := m.sum / time.Duration(min(m.count, averageOver))
	return gap >= max(3*average, average+freezeAtOnce)
}

// Interrupt says that the gap before the next frame is none, and that it may be of another source. While it rests nothing is to be shown: what still comes
// was on its way.
func (m *FreezeMeter) Interrupt(rests bool) {
	m.last, m.playout, m.resting = time.Time{}, playout{}, rests
}

// Until returns the freezes so far, with one that is still going on.
func (m *FreezeMeter) Until(now time.Time) (count uint64, total, longest time.Duration) {
	count, total, longest = m.freezes, m.total, m.longest
	if m.last.IsZero() {
		return count, total, longest
	}
	if gap := now.Sub(m.last); m.frozen(gap) {
		count, total, longest = count+1, total+gap, max(longest, gap)
	}
	return count, total, longest
}
