package lean

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pion/dtls/v3"
)

const (
	exporterLabel = "EXTRACTOR-dtls_srtp" // of SRTP keys (RFC 5764, section 4.2)
	masterKey     = 16                    // bytes, of AEAD_AES_128_GCM
	masterSalt    = 12
	peeked        = 2 * aes.BlockSize // bytes of payload that a peek shows
)

var errNoGCM = errors.New("the server did not choose AEAD_AES_128_GCM")

// keys are those of one viewer: for RTP from the server and for RTCP to it. They are used by one goroutine at a time.
type keys struct {
	rtp     cipher.AEAD
	block   cipher.Block // the same key
	rtpSalt [masterSalt]byte

	rtcp     cipher.AEAD
	rtcpSalt [masterSalt]byte
	index    uint32 // of the last packet sealed

	// Memory that would escape in each call.
	iv      [16]byte
	stream  [peeked]byte
	clear   [peeked]byte
	control [16]byte
}

// exportKeys takes the keys from a finished handshake in which the viewer was the client.
func exportKeys(conn *dtls.Conn) (*keys, error) {
	if profile, ok := conn.SelectedSRTPProtectionProfile(); !ok || profile != dtls.SRTP_AEAD_AES_128_GCM {
		return nil, errNoGCM
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return nil, errors.New("the handshake has no state")
	}
	m, err := state.ExportKeyingMaterial(exporterLabel, nil, 2*(masterKey+masterSalt))
	if err != nil {
		return nil, fmt.Errorf("export SRTP keys: %w", err)
	}
	salts := m[2*masterKey:]
	return newKeys(m[masterKey:2*masterKey], salts[masterSalt:], m[:masterKey], salts[:masterSalt])
}

// newKeys derives the session keys (RFC 3711, section 4.3) from the server's and the viewer's own master keys.
func newKeys(theirKey, theirSalt, ownKey, ownSalt []byte) (*keys, error) {
	const labelRTP, labelRTCP = 0, 3
	k := &keys{}
	var err error
	if k.block, k.rtp, err = derive(theirKey, theirSalt, labelRTP, &k.rtpSalt); err != nil {
		return nil, err
	}
	_, k.rtcp, err = derive(ownKey, ownSalt, labelRTCP, &k.rtcpSalt)
	return k, err
}

// derive makes a cipher and its salt. The label of the salt is two above that of the key.
func derive(master, masterSalt []byte, label byte, salt *[masterSalt]byte) (cipher.Block, cipher.AEAD, error) {
	kdf, err := aes.NewCipher(master)
	if err != nil {
		return nil, nil, err
	}
	output := func(label byte) (out [aes.BlockSize]byte) {
		var x [aes.BlockSize]byte
		copy(x[:], masterSalt)
		x[7] ^= label
		kdf.Encrypt(out[:], x[:])
		return out
	}
	key, saltBlock := output(label), output(label+2)
	copy(salt[:], saltBlock[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return block, aead, err
}

// nonce is that of an RTP packet (RFC 7714, section 8.1), in the first 12 bytes of iv.
func (k *keys) nonce(h *header, roc uint32) {
	k.iv[0], k.iv[1] = k.rtpSalt[0], k.rtpSalt[1]
	binary.BigEndian.PutUint32(k.iv[2:], h.ssrc^binary.BigEndian.Uint32(k.rtpSalt[2:]))
	binary.BigEndian.PutUint32(k.iv[6:], roc^binary.BigEndian.Uint32(k.rtpSalt[6:]))
	binary.BigEndian.PutUint16(k.iv[10:], h.seq^binary.BigEndian.Uint16(k.rtpSalt[10:]))
}

// read decrypts the RTP packet b in place and returns its payload without padding, or that it is not authentic.
func (k *keys) read(h *header, roc uint32, b []byte) (payload []byte, forged bool) {
	k.nonce(h, roc)
	payload, err := k.rtp.Open(b[h.size:h.size], k.iv[:12], b[h.size:], b[:h.size])
	if err != nil {
		return nil, true
	}
	if h.padded && len(payload) > 0 {
		payload = payload[:max(0, len(payload)-int(payload[len(payload)-1]))]
	}
	return payload, false
}

// peek returns the first bytes of a payload without authenticating it, which takes the whole packet: GCM encrypts in
// counter mode, and the payload begins with counter 2 (NIST SP 800-38D, section 7.1). It is valid until the next call.
func (k *keys) peek(h *header, roc uint32, b []byte) []byte {
	k.nonce(h, roc)
	n := min(peeked, h.payload)
	for at := 0; at < n; at += aes.BlockSize {
		binary.BigEndian.PutUint32(k.iv[12:], uint32(2+at/aes.BlockSize))
		k.block.Encrypt(k.stream[at:], k.iv[:])
	}
	for i := range n {
		k.clear[i] = b[h.size+i] ^ k.stream[i]
	}
	return k.clear[:n]
}

// sealRTCP appends the SRTCP packet (RFC 7714, section 9) of a compound packet to dst.
func (k *keys) sealRTCP(dst, b []byte) []byte {
	const clear, encrypted = 8, 1 << 31
	k.index = (k.index + 1) &^ encrypted
	iv, aad := k.control[:12], append(b[:clear:clear], 0, 0, 0, 0)
	copy(iv, k.rtcpSalt[:])
	for i := range 4 {
		iv[2+i] ^= b[4+i]
	}
	binary.BigEndian.PutUint32(iv[8:], k.index^binary.BigEndian.Uint32(k.rtcpSalt[8:]))
	binary.BigEndian.PutUint32(aad[clear:], k.index|encrypted)
	dst = append(dst, b[:clear]...)
	dst = k.rtcp.Seal(dst, iv, b[clear:], aad)
	return append(dst, aad[clear:]...)
}

// stream follows the sequence numbers of one SSRC past their wrapping (RFC 3711, section 3.3.1).
type stream struct {
	ssrc    uint32
	roc     uint32 // rollover counter of highest
	highest uint16
	started bool
}

// index returns the rollover counter that goes with seq, which comes out of order by less than 2^15.
func (s *stream) index(seq uint16) uint32 {
	switch ahead := int16(seq - s.highest); {
	case !s.started:
		s.started, s.highest = true, seq
	case ahead > 0:
		if seq < s.highest {
			s.roc++
		}
		s.highest = seq
	case seq > s.highest:
		return s.roc - 1
	}
	return s.roc
}
