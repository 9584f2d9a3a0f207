package rtc

import "encoding/binary"

// received is the receiving state of one SSRC: which packets have come (RFC 3711 sections 3.3.1 and 3.3.2). It changes only with
// packets that are authentic, and is kept only of SSRCs that had one.
type received struct {
	highest uint64 // index: rollover counter and sequence number
	started bool
	seen    [replayWindow / 64]uint64 // the newest indexes, as bits at their remainders
}

const (
	replayWindow = 1024 // packets; older ones are taken for replayed
	halfWrap     = 1 << 15
	lastIndex    = 1<<48 - 1
)

// index returns the index that goes best with a sequence number, which is more than lastIndex when the key is used up.
func (r *received) index(seq uint16) uint64 {
	if !r.started {
		return uint64(seq)
	}
	index, newest := r.highest&^0xffff|uint64(seq), uint16(r.highest)
	switch {
	case newest >= halfWrap && seq < newest-halfWrap:
		index += 1 << 16
	case newest < halfWrap && seq > newest && seq-newest > halfWrap && r.highest>>16 > 0:
		index -= 1 << 16
	}
	return index
}

// fresh reports whether a packet with an index may be taken: it has not come yet, as far back as is known.
func (r *received) fresh(index uint64) bool {
	switch {
	case index > lastIndex:
		return false
	case !r.started || index > r.highest:
		return true
	}
	return r.highest-index < replayWindow && r.seen[index/64%uint64(len(r.seen))]>>(index%64)&1 == 0
}

// take notes that an authentic, fresh packet has come.
func (r *received) take(index uint64) {
	switch {
	case !r.started || index > r.highest && index-r.highest >= replayWindow:
		r.seen = [len(r.seen)]uint64{}
	case index > r.highest:
		for i := r.highest + 1; i < index; i++ {
			r.seen[i/64%uint64(len(r.seen))] &^= 1 << (i % 64)
		}
	}
	if !r.started || index > r.highest {
		r.started, r.highest = true, index
	}
	r.seen[index/64%uint64(len(r.seen))] |= 1 << (index % 64)
}

// nonce is that of AEAD_AES_128_GCM: two zero octets, SSRC, rollover counter, sequence number; all xor the salt (RFC 7714
// section 8.1).
func nonce(iv, salt *[12]byte, ssrc, roc uint32, seq uint16) {
	iv[0], iv[1] = salt[0], salt[1]
	binary.BigEndian.PutUint32(iv[2:], ssrc^binary.BigEndian.Uint32(salt[2:]))
	binary.BigEndian.PutUint32(iv[6:], roc^binary.BigEndian.Uint32(salt[6:]))
	binary.BigEndian.PutUint16(iv[10:], seq^binary.BigEndian.Uint16(salt[10:]))
}
