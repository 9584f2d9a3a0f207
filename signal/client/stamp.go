package client

import (
	"encoding/binary"
	"time"
)

// StampSize is how many bytes a stamp adds to the last packet of a frame. A stamp is the time at which the frame was due
// to be sent, by the sender's clock: four fixed bytes and the nanoseconds since 1970. A sender that is late does not make latencies
// smaller by that. It sits behind the payload, where no forwarder looks and where decoders have stopped reading, so it survives every hop
// and every rewriting on the way.
const StampSize = 12

const stampMagic = 0x9a52_4c53

// appendStamp returns the payload with a stamp behind it.
func appendStamp(payload []byte, at time.Time) []byte {
	payload = binary.BigEndian.AppendUint32(payload, stampMagic)
	return binary.BigEndian.AppendUint64(payload, uint64(at.UnixNano()))
}

// ParseStamp reads the stamp behind the payload of a frame's last packet, and reports whether there is one.
func ParseStamp(payload []byte) (time.Time, bool) {
	if len(payload) < StampSize {
		return time.Time{}, false
	}
	tail := payload[len(payload)-StampSize:]
	if binary.BigEndian.Uint32(tail) != stampMagic {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(tail[4:]))), true
}
