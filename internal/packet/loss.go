package packet

import "time"

// Loss knows which packets of one incoming stream are missing and when to ask for them again (NACK, RFC 4585).
type Loss struct{}

// Received notes the arrival of seq.
func (l *Loss) Received(seq uint16, now int64) {}

// Due appends the sequence numbers to ask for now to dst.
func (l *Loss) Due(now int64, rtt time.Duration, dst []uint16) []uint16 { return dst }

// Forget drops everything missing in front of seq: nobody needs it once a keyframe starts there.
func (l *Loss) Forget(before uint16) {}

// Missing returns how many packets are waited for.
func (l *Loss) Missing() int { return 0 }
