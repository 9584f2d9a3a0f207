package udp

import "time"

// Aside names datagrams that can wait a little for others to be read with: waking a reader costs many times what one of them does.
// They come on sockets of their own, where the system can tell them apart. One that comes alone does not wait.
type Aside struct {
	Classes []Class
	Wait    time.Duration // at most, less than a second; 0: nothing is set aside
}

// Class is datagrams, by the spans that their first two bytes lie in.
type Class struct{ First, Second Span }

// Span is bytes from one to another, both included.
type Span struct{ From, To byte }

// Any is every byte.
func Any() Span { return Span{0, 255} }

// lull says when a socket is read whose datagrams can wait. It is pure arithmetic, on monotonic nanoseconds.
type lull struct {
	most int64 // nanoseconds that a datagram may wait where they come thick

	began int64 // of the present window
	count int   // datagrams read in it
	thick bool  // the window before brought enough
	last  int64 // when the last read was
	full  bool  // it may have left something behind
}

// lullWindow is how long datagrams are counted before it is decided on what came: somebody who joins alone is through by then.
const lullWindow = int64(200 * time.Millisecond)

// left is how long from now on the socket need not be read.
func (l *lull) left(now int64) int64 {
	if !l.thick || l.full {
		return 0
	}
	return max(0, l.last+l.most-now)
}

// read notes that a read brought n datagrams of at most most at now.
func (l *lull) read(n, most int, now int64) {
	l.last, l.full = now, n == most
	l.count += n
	if passed := now - l.began; passed >= lullWindow {
		l.thick = passed < 2*lullWindow && int64(l.count)*l.most >= passed
		l.began, l.count = now, 0
	}
}
