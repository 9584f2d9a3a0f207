package client

import (
	"sync"
	"time"
)

// Timings are the steps of a join, each as a monotonic duration. A step that has not happened is zero. Join to DTLS are
// the lengths of the steps themselves; FirstAudio and FirstVideo are the whole way: the REST call and everything since
// Connect. Reconnecting does not change them.
type Timings struct {
	Join        time.Duration // the REST call
	WebSocket   time.Duration // dialling the socket, upgrade included
	OfferAnswer time.Duration // hello sent to answer read, the time in the lobby included
	ICE         time.Duration // answer applied to ICE connected
	DTLS        time.Duration // ICE connected to SRTP keys agreed
	FirstAudio  time.Duration // to the first audio packet received
	FirstVideo  time.Duration // to the first complete video frame received
}

// stopwatch collects Timings. Marks may come from any goroutine; only the first of each counts.
type stopwatch struct {
	mu      sync.Mutex
	start   time.Time
	answer  time.Time
	ice     time.Time
	timings Timings
}

func newStopwatch(join time.Duration) *stopwatch {
	return &stopwatch{start: time.Now(), timings: Timings{Join: join}}
}

// begin sets the moment that FirstAudio and FirstVideo are counted from.
func (s *stopwatch) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start = time.Now()
}

// snapshot returns the steps measured so far.
func (s *stopwatch) snapshot() Timings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timings
}

func (s *stopwatch) socketOpen(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	setOnce(&s.timings.WebSocket, took)
}

func (s *stopwatch) answered(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if setOnce(&s.timings.OfferAnswer, took) {
		s.answer = time.Now()
	}
}

func (s *stopwatch) iceConnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.answer.IsZero() && setOnce(&s.timings.ICE, time.Since(s.answer)) {
		s.ice = time.Now()
	}
}

func (s *stopwatch) dtlsConnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ice.IsZero() {
		setOnce(&s.timings.DTLS, time.Since(s.ice))
	}
}

func (s *stopwatch) firstAudio() {
	s.mu.Lock()
	defer s.mu.Unlock()
	setOnce(&s.timings.FirstAudio, s.timings.Join+time.Since(s.start))
}

func (s *stopwatch) firstVideo() {
	s.mu.Lock()
	defer s.mu.Unlock()
	setOnce(&s.timings.FirstVideo, s.timings.Join+time.Since(s.start))
}

// setOnce fills an empty step and reports whether it did. A step too short for the clock counts as one nanosecond.
func setOnce(step *time.Duration, d time.Duration) bool {
	if *step != 0 {
		return false
	}
	*step = max(d, 1)
	return true
}
