package udp

import "time"

// pace keeps reads apart while datagrams come so thick that each would otherwise be read, answered and slept after by itself:
// going to sleep and being woken costs many times what a datagram does. It is pure arithmetic, on monotonic nanoseconds.
//
// A datagram that comes alone is never held up: only what comes within apart of the read before waits, for the rest of it.
//
// Reads of a reader that is busy for much of the time are further apart, by what working one off takes: much of what a datagram to very many
// costs is shared by those that are sent with it. If it took each at once it would be busy all the time, and its datagrams would wait all the same.
type pace struct {
	least int64 // nanoseconds from one read to the next where datagrams come thick; 0: no pace
	apart int64 // the same, at present

	began int64 // of the present window
	count int   // datagrams read in it
	thick bool  // the window before brought enough
	last  int64 // when the last read was due
	given int64 // when it returned
	full  bool  // it may have left something behind

	worked int64   // nanoseconds of the present window
	share  float64 // of the time that goes into work, over some windows
	busy   bool    // it was much, and has not become little since
}

const (
	// paceWindow is how long datagrams are counted before it is decided on what came.
	paceWindow = int64(10 * time.Millisecond)

	// workShare is how many times what working a read off takes the reads of a busy reader are apart. Who is busy for half of the time gathers
	// two datagrams.
	workShare = 4

	// A reader is busy from muchWork of the time on until it works for less than littleWork of it: datagrams that are gathered take less.
	muchWork, littleWork = 0.3, 0.1

	// mostApart bounds what is added to the age of media.
	mostApart = int64(8 * time.Millisecond)
)

func newPace(least time.Duration) pace { return pace{least: int64(least), apart: int64(least)} }

// pause says how long to wait before the next read.
func (p *pace) pause(now int64) int64 {
	work := int64(0)
	if p.given != 0 {
		work = now - p.given
	}
	p.worked += work
	if passed := now - p.began; passed >= paceWindow {
		// Where a pause brought less than two datagrams, it would only be one more sleep.
		p.thick = passed < 2*paceWindow && int64(p.count)*p.apart >= 2*passed
		p.share += (float64(p.worked)/float64(passed) - p.share) / 8
		p.busy = p.share > muchWork || p.busy && p.share > littleWork
		p.began, p.count, p.worked = now, 0, 0
	}
	target := p.least
	if p.busy {
		target = max(p.least, min(workShare*work, mostApart))
	}
	p.apart += (target - p.apart) / 4
	due := p.last + p.apart
	if !p.thick || p.full || due <= now {
		p.last = now
		return 0
	}
	p.last = due
	return due - now
}

// read notes that a read brought n datagrams of at most most at now.
func (p *pace) read(n, most int, now int64) {
	p.count += n
	p.full, p.given = n == most, now
}
