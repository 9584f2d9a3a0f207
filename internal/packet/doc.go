// Package packet is the ground that the SFU forwards media on: RTP headers read and written in place, pooled packets with
// reference counts, the cache that answers NACKs, and the arithmetic that turns the packets of changing sources into one
// continuous outgoing stream.
//
// It knows bytes, counters and times, and nothing else: no sockets, no goroutines, no timers, no rooms. Times are passed
// in as nanoseconds of any monotonic clock; RTP and NTP times keep the units of RFC 3550. Nothing here allocates per
// packet, and nothing reads a clock.
//
// Unless a type says otherwise it is not safe for concurrent use: its owner serialises the calls. Types are useful as
// their zero value unless they have a constructor.
package packet
