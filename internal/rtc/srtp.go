package rtc

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/pion/dtls/v3"
	"github.com/pion/srtp/v3"

	"github.com/parley-sfu/parley/internal/packet"
)

// exporterLabel is the DTLS exporter label of SRTP keys (RFC 5764 section 4.2).
const exporterLabel = "EXTRACTOR-dtls_srtp"

var errNoSRTP = errors.New("the handshake chose no SRTP profile")

// Stream is the sending state of one SSRC on one transport. Its user makes sure that only one goroutine at a time sends
// on it; different streams of a transport may send at the same time.
type Stream struct {
	SSRC    uint32
	roc     uint32 // rollover counter (RFC 3711 section 3.3.1)
	highest uint16
	started bool
	iv      [12]byte
}

// index returns the rollover counter that goes with seq. Sequence numbers may come out of order by less than 2^15.
func (s *Stream) index(seq uint16) uint32 {
	if !s.started {
		s.started, s.highest = true, seq
		return s.roc
	}
	if d := int16(seq - s.highest); d > 0 {
		if seq < s.highest {
			s.roc++
		}
		s.highest = seq
	} else if seq > s.highest {
		return s.roc - 1
	}
	return s.roc
}

// crypto seals what this node sends and opens what the remote sends. Sealing with GCM takes no lock: only a stream's own
// state changes. Everything else is behind a mutex.
type crypto struct {
	aead     cipher.AEAD // nil when the profile is AES-CM
	salt     [12]byte
	opener   cipher.AEAD // of the remote's packets; likewise
	openSalt [12]byte

	sendMu sync.Mutex
	send   *srtp.Context // SRTCP, and SRTP where aead is nil

	receiveMu sync.Mutex // guards what follows
	receive   *srtp.Context
	received  map[uint32]*received // by SSRC
	iv        [12]byte             // scratch
}

// newCrypto takes the keys from a finished handshake in which this end was the client or the server.
func newCrypto(state *dtls.State, profile dtls.SRTPProtectionProfile, client bool) (*crypto, error) {
	p := srtp.ProtectionProfile(profile)
	keyLen, err := p.KeyLen()
	if err != nil {
		return nil, err
	}
	saltLen, err := p.SaltLen()
	if err != nil {
		return nil, err
	}
	m, err := state.ExportKeyingMaterial(exporterLabel, nil, 2*(keyLen+saltLen))
	if err != nil {
		return nil, fmt.Errorf("export SRTP keys: %w", err)
	}
	ownKey, theirKey := m[keyLen:2*keyLen], m[:keyLen]
	ownSalt, theirSalt := m[2*keyLen+saltLen:], m[2*keyLen:2*keyLen+saltLen]
	if client {
		ownKey, theirKey, ownSalt, theirSalt = theirKey, ownKey, theirSalt, ownSalt
	}
	c := &crypto{received: map[uint32]*received{}}
	if c.send, err = srtp.CreateContext(ownKey, ownSalt, p); err != nil {
		return nil, err
	}
	if c.receive, err = srtp.CreateContext(theirKey, theirSalt, p, srtp.SRTPReplayProtection(replayWindow), srtp.SRTCPReplayProtection(128)); err != nil {
		return nil, err
	}
	if p == srtp.ProtectionProfileAeadAes128Gcm {
		c.aead, c.salt, err = gcm(ownKey, ownSalt)
		if err == nil {
			c.opener, c.openSalt, err = gcm(theirKey, theirSalt)
		}
	}
	return c, err
}

// gcm derives the session key and salt of SRTP (RFC 3711 section 4.3, labels 0 and 2) for AEAD_AES_128_GCM (RFC 7714).
func gcm(masterKey, masterSalt []byte) (cipher.AEAD, [12]byte, error) {
	var salt [12]byte
	kdf, err := aes.NewCipher(masterKey)
	if err != nil {
		return nil, salt, err
	}
	derive := func(label byte) [16]byte {
		var x, out [16]byte
		copy(x[:], masterSalt)
		x[7] ^= label
		kdf.Encrypt(out[:], x[:])
		return out
	}
	key, saltBlock := derive(0), derive(2)
	copy(salt[:], saltBlock[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, salt, err
	}
	aead, err := cipher.NewGCM(block)
	return aead, salt, err
}

// seal encrypts the RTP packet buf[:n] in place and returns its new length; cap(buf) is at least n+sealOverhead. It
// returns 0 when the packet cannot be sealed.
func (c *crypto) seal(s *Stream, buf []byte, headerLen, n int) int {
	if c.aead == nil {
		return c.sealSlowly(buf, n)
	}
	seq := binary.BigEndian.Uint16(buf[2:])
	roc := s.index(seq)
	nonce(&s.iv, &c.salt, s.SSRC, roc, seq)
	sealed := c.aead.Seal(buf[headerLen:headerLen], s.iv[:], buf[headerLen:n], buf[:headerLen])
	return headerLen + len(sealed)
}

// sealSlowly is for clients that know only AES128_CM_HMAC_SHA1_80.
func (c *crypto) sealSlowly(buf []byte, n int) int {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	sealed, err := c.send.EncryptRTP(nil, buf[:n], nil)
	if err != nil || len(sealed) > cap(buf) {
		return 0
	}
	return copy(buf[:len(sealed)], sealed)
}

// open decrypts an RTP packet with header h into dst, which is no part of b and as long at least, and returns its length. It
// fails for packets that are not authentic, and for those that have come before.
func (c *crypto) open(dst, b []byte, h *packet.Header) (int, error) {
	c.receiveMu.Lock()
	defer c.receiveMu.Unlock()
	if c.opener == nil {
		return c.openSlowly(dst, b)
	}
	if len(b) < h.HeaderLen+sealOverhead {
		return 0, errNotAuthentic
	}
	r := c.received[h.SSRC]
	if r == nil {
		r = &received{}
	}
	index := r.index(h.Sequence)
	if !r.fresh(index) {
		return 0, errReplayed
	}
	nonce(&c.iv, &c.openSalt, h.SSRC, uint32(index>>16), h.Sequence)
	head := copy(dst, b[:h.HeaderLen])
	opened, err := c.opener.Open(dst[head:head], c.iv[:], b[head:], b[:head])
	if err != nil {
		return 0, errNotAuthentic
	}
	if !r.started {
		c.received[h.SSRC] = r
	}
	r.take(index)
	return head + len(opened), nil
}

var (
	errNotAuthentic = errors.New("an SRTP packet that is not authentic")
	errReplayed     = errors.New("an SRTP packet that has come before")
)

// openSlowly is for remotes that know only AES128_CM_HMAC_SHA1_80. receiveMu is held.
func (c *crypto) openSlowly(dst, b []byte) (int, error) {
	out, err := c.receive.DecryptRTP(dst[:0], b, nil)
	if err != nil {
		return 0, err
	}
	if &out[0] != &dst[0] {
		copy(dst, out)
	}
	return len(out), nil
}

func (c *crypto) sealRTCP(b []byte) ([]byte, error) {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	return c.send.EncryptRTCP(nil, b, nil)
}

func (c *crypto) openRTCP(b []byte) ([]byte, error) {
	c.receiveMu.Lock()
	defer c.receiveMu.Unlock()
	return c.receive.DecryptRTCP(nil, b, nil)
}
