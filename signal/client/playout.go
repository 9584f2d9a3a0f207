package client

import "time"

const (
	videoClock      = 90_000                 // Hz, of all video (RFC 3551 section 5)
	playoutMemory   = 10 * time.Second       // what was late counts for so long, and at most twice as long
	longestPlayout  = 400 * time.Millisecond // that pictures are kept: more than that, and people talk across each other
	playoutForgives = 2 * time.Second        // of media: a leap by more is another source's clock
)

// playout is the jitter buffer that a player puts between the arrival of pictures and their being seen: they are seen at the pace at which they
// were captured, later by what the latest of the last ten to twenty seconds had taken longer on the way than the quickest. So a picture
// that is late is missing on the screen once, and the next one as late is not. The zero value is ready. It belongs to one goroutine.
type playout struct {
	begun    bool
	stamp    uint32           // of the newest picture
	media    time.Duration    // up to it
	start    time.Time        // when the first one was whole
	turned   time.Duration    // when the older half of the memory was last dropped, since start
	quickest [2]time.Duration // arrival after the first, less the media up to there: of the older half of the memory, and of the newer
	latest   [2]time.Duration
}

// shows returns when a picture is seen that is whole at now.
func (p *playout) shows(timestamp uint32, now time.Time) time.Time {
	step := time.Duration(int32(timestamp-p.stamp)) * time.Second / videoClock
	if !p.begun || step > playoutForgives || step < -playoutForgives {
		*p = playout{begun: true, stamp: timestamp, start: now}
		return now
	}
	p.stamp = timestamp
	p.media += step
	came := now.Sub(p.start)
	late := came - p.media
	if came-p.turned >= playoutMemory {
		p.turned = came
		p.quickest[0], p.latest[0] = p.quickest[1], p.latest[1]
		p.quickest[1], p.latest[1] = late, late
	}
	p.quickest[1], p.latest[1] = min(p.quickest[1], late), max(p.latest[1], late)
	quickest, latest := min(p.quickest[0], p.quickest[1]), max(p.latest[0], p.latest[1])
	due := p.start.Add(p.media + quickest + min(latest-quickest, longestPlayout))
	if due.Before(now) {
		return now
	}
	return due
}
