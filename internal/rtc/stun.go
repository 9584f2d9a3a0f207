package rtc

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // STUN's integrity is HMAC-SHA1 (RFC 8489 section 14.5)
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"sync"
)

type transaction [12]byte

// stunMessage is the little of a STUN message (RFC 8489) that finding its agent and knowing its sender takes.
type stunMessage struct {
	request   bool // a request or an indication; otherwise a response
	success   bool // a success response
	id        transaction
	ufrag     string // of the receiver: the part of USERNAME before the colon
	integrity int    // where the MESSAGE-INTEGRITY attribute begins; 0: it has none
}

const (
	stunHeader    = 20
	stunCookie    = 0x2112A442
	stunClassMask = 0x0110
	stunRequest   = 0x0000
	stunSuccess   = 0x0100
	stunUsername  = 0x0006
	stunIntegrity = 0x0008
	maxUfrag      = 256 // RFC 8839
)

// parseSTUN reads a message's header, user name and where its integrity is; ok is false for anything that is not STUN.
func parseSTUN(b []byte) (m stunMessage, ok bool) {
	if len(b) < stunHeader || b[0] > 3 || binary.BigEndian.Uint32(b[4:]) != stunCookie {
		return m, false
	}
	class := binary.BigEndian.Uint16(b) & stunClassMask
	m.request, m.success = class == stunRequest, class == stunSuccess
	copy(m.id[:], b[8:stunHeader])
	end := stunHeader + int(binary.BigEndian.Uint16(b[2:]))
	if end > len(b) {
		return m, false
	}
	for at := stunHeader; end-at >= 4; {
		size := int(binary.BigEndian.Uint16(b[at+2:]))
		if size > end-at-4 {
			return m, false
		}
		switch binary.BigEndian.Uint16(b[at:]) {
		case stunUsername:
			if m.ufrag == "" {
				m.ufrag = localFragment(b[at+4 : at+4+size])
			}
		case stunIntegrity:
			if size == sha1.Size {
				m.integrity = at
			}
			return m, true // what follows is not authenticated
		}
		at = min(end, at+4+(size+3)&^3)
	}
	return m, true
}

func localFragment(username []byte) string {
	for i, c := range username {
		if c == ':' {
			return string(username[:min(i, maxUfrag)])
		}
	}
	return ""
}

// password checks short-term integrity (RFC 8489 section 9.1) without allocating. It is safe for concurrent use.
type password struct {
	mu  sync.Mutex
	mac hash.Hash // nil: none is known yet, so nothing is authentic
	sum []byte
}

func (p *password) set(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mac = hmac.New(sha1.New, []byte(s))
}

// signed reports whether who sent the message knows the password.
func (p *password) signed(b []byte, m *stunMessage) bool {
	if m.integrity == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mac == nil {
		return false
	}
	// The sum is over a header that says that the message ends with the integrity attribute.
	var header [stunHeader]byte
	copy(header[:], b)
	binary.BigEndian.PutUint16(header[2:], uint16(m.integrity+4+sha1.Size-stunHeader))
	p.mac.Reset()
	p.mac.Write(header[:])
	p.mac.Write(b[stunHeader:m.integrity])
	p.sum = p.mac.Sum(p.sum[:0])
	return subtle.ConstantTimeCompare(p.sum, b[m.integrity+4:m.integrity+4+sha1.Size]) == 1
}
