package udp

import "time"

// pace keeps reads apart while datagrams come so thick that each would otherwise be read, answered and slept after by itself:
// going to sleep and being woken costs many times what a datagram does. It is pure arithmetic, on monotonic nanoseconds.
//
// A datagram that comes alone is never held up: only what comes within apart of the read before waits, for the rest of it.
type pace struct {
	apart int64 // nanoseconds from one read to the next; 0: no pace

	began int64 // of the present window
	count int   // datagrams read in it
	thick bool  // the window before brought enough
	last  int64 // when the last read was due
	full  bool  // it may have left something behind
}

// paceWindow is how long datagrams are counted before it is decided on what came.
const paceWindow = int64(10 * time.Millisecond)

// pause says how long to wait before the next read.
func (p *pace) pause(now int64) int64 {
	if now-p.began >= paceWindow {
		// Where a pause brought less than two datagrams, it would only be one more sleep.
		p.thick = now-p.began < 2*paceWindow && int64(p.count)*p.apart >= 2*(now-p.began)
		p.began, p.count = now, 0
	}
	due := p.last + p.apart
	if !p.thick || p.full || due <= now {
		p.last = now
		return 0
	}
	p.last = due
	return due - now
}

// read notes that a read brought n datagrams of at most most.
func (p *pace) read(n, most int) {
	p.count += n
	p.full = n == most
}
