package client

import "time"

// ntpOffset is the seconds from the epoch of NTP, 1900, to that of Unix.
const ntpOffset = 2208988800

// wallClock tells the wall's time without its steps: it is read once and carried on by the monotonic clock. Every sender
// of a client shares one, so the sender reports of audio and video agree to the microsecond whatever the wall does.
type wallClock struct{ origin time.Time }

func newWallClock() wallClock { return wallClock{origin: time.Now()} }

// ntp returns the 64-bit NTP timestamp (RFC 3550, section 4) of a moment.
func (c wallClock) ntp(at time.Time) uint64 {
	steady := c.origin.Round(0).Add(at.Sub(c.origin))
	return toNTP(steady)
}

func toNTP(t time.Time) uint64 {
	seconds := uint64(t.Unix() + ntpOffset)
	fraction := uint64(t.Nanosecond()) << 32 / uint64(time.Second)
	return seconds<<32 | fraction
}

func fromNTP(ntp uint64) time.Time {
	seconds := int64(ntp>>32) - ntpOffset
	nanos := (ntp & 0xffff_ffff) * uint64(time.Second) >> 32
	return time.Unix(seconds, int64(nanos))
}
