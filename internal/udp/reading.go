package udp

import (
	"sync/atomic"
	"time"
)

// reading is how far a socket's reader is. It is safe for concurrent use.
type reading struct {
	base  time.Time    // fixed once the socket is open
	since atomic.Int64 // when the first datagram of those at hand came, in nanoseconds since base; 0 while the reader waits
}

// begin notes datagrams that the reader is given.
func (r *reading) begin(ms []Message) {
	if len(ms) > 0 {
		r.since.Store(max(1, int64(time.Since(r.base)-ms[0].Waited)))
	}
}

// done notes that nothing is left to be read.
func (r *reading) done() { r.since.Store(0) }

// behind is how old what is being worked off is.
func (r *reading) behind() time.Duration {
	since := r.since.Load()
	if since == 0 {
		return 0
	}
	return time.Since(r.base) - time.Duration(since)
}
