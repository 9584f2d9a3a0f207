package path

// class is what a datagram is to a viewer.
type class int

const (
	isReport class = iota // RTCP, or nothing that anybody knows
	isMedia               // RTP
	isCheck               // STUN or DTLS
)

// classify tells by the first two bytes (RFC 7983, RFC 5761).
func classify(b []byte) class {
	switch {
	case len(b) < 2:
		return isReport
	case b[0] < 64:
		return isCheck
	case b[0] < 128 || b[0] > 191:
		return isReport
	case b[1] >= 192 && b[1] <= 223:
		return isReport
	}
	return isMedia
}
